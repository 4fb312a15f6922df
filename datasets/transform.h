#pragma once

#include <span>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/image.h"
#include "datasets/refusal.h"

namespace consilium::datasets {

// pipeline::MakeInput of an image that is at hand in modality units, with no header to tell of scan
// regions and sides.
//   intensity: kWindow is PS3.3 C.11.2.1.2 and C.11.2.1.3; percentiles interpolate between ranks; a
//              constant image is 0.
//   geometry:  what is kept of the image stays centred and keeps its shape in millimetres where its
//              spacing is known. With spacing_mm the square covers image_size * spacing_mm; else
//              the longer side just fits. What lies outside is 0. Shrinking averages over the
//              covered area, enlarging interpolates linearly.
// `standardize` is not applied here (Standardize). Refused when spacing_mm asks for a spacing that
// the image lacks.
OrRefused<std::vector<float>> Preprocess(const Image& image,
                                         const plan::Preprocessing& preprocessing);

// Subtracts the mean and divides by the standard deviation (at least 1e-3, so that a constant image
// becomes 0).
void Standardize(std::span<float> pixels);

}  // namespace consilium::datasets
