#pragma once

// Values to brightness: the step of the pipeline that a plan's `intensity` names.

#include <span>
#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "datasets/image.h"

namespace consilium::datasets::pipeline {

struct Range {
  float low = 0, high = 0;
};

// Percentiles interpolate between the two nearest ranks, as numpy.percentile does; padding counts
// only where there is nothing else.
Range PercentileRange(const Image& image, double low_percent, double high_percent);

// The percentiles that Intensity::kPercentile stretches between.
inline constexpr double kLowPercentile = 0.5, kHighPercentile = 99.5;

// Brightness in [0, 1] of every pixel, higher is brighter: MONOCHROME1 is inverted after windowing.
// A constant image is 0. With preprocessing.blank_padding, padding is 0. `how`, unless null, is
// given what was done, in words and numbers.
std::vector<float> ToBrightness(const Image& image, const plan::Preprocessing& preprocessing,
                                std::string* how = nullptr);

}  // namespace consilium::datasets::pipeline
