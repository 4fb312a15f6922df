#include "datasets/pipeline/brightness.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace consilium::datasets::pipeline {
namespace {

// The pixels that are part of the image; all, should padding be all there is.
std::vector<float> WithoutPadding(const Image& image) {
  if (image.padding.empty()) return image.pixels;
  std::vector<float> kept;
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    if (!image.padding[i]) kept.push_back(image.pixels[i]);
  }
  return kept.empty() ? image.pixels : kept;
}

Range FullRange(const std::vector<float>& pixels) {
  const auto [low, high] = std::minmax_element(pixels.begin(), pixels.end());
  return {*low, *high};
}

// Reorders `values`.
float Percentile(std::vector<float>& values, double percent) {
  const double rank = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), below, values.end());
  if (below + 1 == values.end()) return *below;
  const float above = *std::min_element(below + 1, values.end());
  return *below + static_cast<float>(rank - std::floor(rank)) * (above - *below);
}

float Ramp(float value, Range range) {
  if (range.high <= range.low) return 0;
  return std::clamp((value - range.low) / (range.high - range.low), 0.0f, 1.0f);
}

// PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT), with an output
// of 0 to 1.
float Windowed(double x, const VoiWindow& window) {
  const double c = window.center, w = window.width;
  switch (window.function) {
    case VoiWindow::Function::kLinear:
      if (x <= c - 0.5 - (w - 1) / 2) return 0;
      if (x > c - 0.5 + (w - 1) / 2) return 1;
      return static_cast<float>((x - (c - 0.5)) / (w - 1) + 0.5);
    case VoiWindow::Function::kLinearExact:
      if (x <= c - w / 2) return 0;
      if (x > c + w / 2) return 1;
      return static_cast<float>((x - c) / w + 0.5);
    case VoiWindow::Function::kSigmoid:
      return static_cast<float>(1.0 / (1.0 + std::exp(-4.0 * (x - c) / w)));
  }
  CONSILIUM_CHECK(false);
}

std::string_view Name(VoiWindow::Function function) {
  switch (function) {
    case VoiWindow::Function::kLinear:
      return "LINEAR";
    case VoiWindow::Function::kLinearExact:
      return "LINEAR_EXACT";
    case VoiWindow::Function::kSigmoid:
      return "SIGMOID";
  }
  return "?";
}

// PS3.3 C.11.2.1.1.
float LookedUp(float x, const VoiLut& lut) {
  const auto last = static_cast<double>(lut.brightness.size()) - 1;
  const double index = std::clamp(std::floor(double{x}) - lut.first, 0.0, last);
  return lut.brightness[static_cast<std::size_t>(index)];
}

Range RampRange(const Image& image, const plan::Preprocessing& preprocessing, std::string* how) {
  Range range;
  std::string_view what;
  switch (preprocessing.intensity) {
    case plan::Intensity::kFixed:
      range = {static_cast<float>(preprocessing.low), static_cast<float>(preprocessing.high)};
      what = "the plan's fixed range";
      break;
    case plan::Intensity::kRange:
      range = FullRange(WithoutPadding(image));
      what = "smallest to largest value";
      break;
    case plan::Intensity::kWindow:
      range = PercentileRange(image, kLowPercentile, kHighPercentile);
      what = "the file has no window, so percentiles 0.5 to 99.5";
      break;
    case plan::Intensity::kPercentile:
      range = PercentileRange(image, kLowPercentile, kHighPercentile);
      what = "percentiles 0.5 to 99.5";
      break;
  }
  if (how != nullptr) {
    *how = absl::StrFormat("%s: %.5g to %.5g become black to white", std::string(what), range.low,
                           range.high);
  }
  return range;
}

}  // namespace

Range PercentileRange(const Image& image, double low_percent, double high_percent) {
  std::vector<float> values = WithoutPadding(image);
  const float low = Percentile(values, low_percent);
  return {low, Percentile(values, high_percent)};
}

std::vector<float> ToBrightness(const Image& image, const plan::Preprocessing& preprocessing,
                                std::string* how) {
  std::vector<float> out(image.pixels.size());
  const auto map = [&](auto brightness) {
    std::transform(image.pixels.begin(), image.pixels.end(), out.begin(), brightness);
  };
  if (preprocessing.intensity == plan::Intensity::kWindow && image.window) {
    map([&](float x) { return Windowed(x, *image.window); });
    if (how != nullptr) {
      *how =
          absl::StrFormat("the file's window: centre %.5g, width %.5g (%s)", image.window->center,
                          image.window->width, std::string(Name(image.window->function)));
    }
  } else if (preprocessing.intensity == plan::Intensity::kWindow && image.voi_lut) {
    map([&](float x) { return LookedUp(x, *image.voi_lut); });
    if (how != nullptr) {
      *how = absl::StrFormat("the file's VOI LUT of %d entries, from %d on",
                             image.voi_lut->brightness.size(), image.voi_lut->first);
    }
  } else {
    const Range range = RampRange(image, preprocessing, how);
    map([&](float x) { return Ramp(x, range); });
  }
  if (image.larger_is_darker) {
    for (float& x : out) x = 1 - x;
    if (how != nullptr) *how += "; then inverted (MONOCHROME1)";
  }
  if (preprocessing.blank_padding && !image.padding.empty()) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (image.padding[i]) out[i] = 0;
    }
    if (how != nullptr) *how += "; padding is black";
  }
  return out;
}

}  // namespace consilium::datasets::pipeline
