#pragma once

// What becomes of one DICOM image on its way into the network: a frame is chosen, its values are
// brought to units, cropped, turned, mapped to brightness, resampled. A plan's [preprocessing] says
// how (common/plan/plan.h; docs/preprocessing.md has the reasons). Pure; thread-safe.

#include <cstdint>
#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/dicom/image_file.h"
#include "datasets/pipeline/hints.h"
#include "datasets/pipeline/placement.h"
#include "datasets/refusal.h"

namespace consilium::datasets::pipeline {

// The image after one step, for people to look at.
struct Stage {
  // In this order: "stored values", "modality units", "uptake" (of suv), "cropped" (of a crop),
  // "mirrored" (of face_left), "brightness", "input".
  std::string name;
  std::string what;  // what the step did, with its numbers: "rescale slope 1, intercept -1024"
  std::uint32_t rows = 0, columns = 0;
  std::vector<float> pixels;  // channels * rows * columns
  float low = 0, high = 1;    // the values to show as black and as white; low > high shows negative
  std::uint32_t channels = 1;  // 3: red, green and blue, one after the other
};

class StageObserver {
 public:
  virtual ~StageObserver() = default;
  virtual void See(Stage stage) = 0;  // in the order of the steps; the last one is the input
};

// 3 of Channel::kRgb, else 1.
std::uint32_t ChannelsOf(const plan::Preprocessing& preprocessing);
// ChannelsOf * image_size * image_size; of volumes slices times.
std::size_t InputElements(const plan::Preprocessing& preprocessing);

// InputElements brightness values in [0, 1], channel by channel, row by row, higher is brighter
// (MONOCHROME1 inverted). `standardize` is not applied (Standardize in transform.h). `placement`,
// unless null, is told where the input lies on the image. Of kRgb, the three channels are cropped
// and turned as their luminance says, and one range of values for all of them becomes black to
// white, so that the colours stay. Refused: several frames where the plan wants one, grey where it
// wants colour, a spacing or an uptake value that the file does not give, pixels that do not
// decode.
OrRefused<std::vector<float>> MakeInput(dicom::ImageFile& file,
                                        const plan::Preprocessing& preprocessing,
                                        StageObserver* observer = nullptr,
                                        Placement* placement = nullptr);

// The steps from the crop on, of an image already in its channel and units; kGreyImage of kRgb.
OrRefused<std::vector<float>> MakeInput(const Image& image,
                                        const plan::Preprocessing& preprocessing,
                                        const Hints& hints, StageObserver* observer = nullptr,
                                        Placement* placement = nullptr);

}  // namespace consilium::datasets::pipeline
