#pragma once

#include <cstdint>
#include <span>

#include "common/base/random.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Changes an image as another exposure of the same patient might: rotation up to 7 degrees, shift
// up to 5 % of a side, zoom 0.92 to 1.08, contrast 0.85 to 1.15, brightness up to 0.15 and noise up
// to 0.05 of each channel's own standard deviation. What moves in from beyond the edge repeats the
// edge. kRadiograph is never mirrored: the heart stays on its side; kMirrored is, left to right, in
// one half of the cases. kNone changes nothing;
// kRecording is of spectrograms (recording_augmentation.h).
//
// `image` (shape.ImageElements(), channel by channel; slices of a volume all move alike) is changed
// in place; `scratch` has as many elements. `mask`: empty, or depth x height x width labels that
// make the same movement, each taking its nearest pixel's; brightness, contrast and noise are the
// image's alone. The same random stream gives the same pixels.
void Augment(plan::Augmentation kind, const datasets::InputShape& shape, std::span<float> image,
             std::span<float> mask, std::span<float> scratch, SeededRandom& random);

}  // namespace consilium::learning
