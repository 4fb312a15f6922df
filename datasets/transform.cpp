#include "datasets/transform.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"

namespace consilium::datasets {
namespace {

constexpr double kLowPercentile = 0.5, kHighPercentile = 99.5;
constexpr double kSmallestDeviation = 1e-3;

struct Range {
  float low, high;
};

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

// Between the two nearest ranks, as numpy.percentile does. Reorders `values`.
float Percentile(std::vector<float>& values, double percent) {
  const double rank = percent / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), below, values.end());
  if (below + 1 == values.end()) return *below;
  const float above = *std::min_element(below + 1, values.end());
  return *below + static_cast<float>(rank - std::floor(rank)) * (above - *below);
}

Range PercentileRange(std::vector<float> values) {
  const float low = Percentile(values, kLowPercentile);
  return {low, Percentile(values, kHighPercentile)};
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

// PS3.3 C.11.2.1.1.
float LookedUp(float x, const VoiLut& lut) {
  const auto last = static_cast<double>(lut.brightness.size()) - 1;
  const double index = std::clamp(std::floor(double{x}) - lut.first, 0.0, last);
  return lut.brightness[static_cast<std::size_t>(index)];
}

// Modality values to brightness.
std::vector<float> Brightness(const Image& image, plan::Intensity intensity) {
  std::vector<float> out(image.pixels.size());
  if (intensity == plan::Intensity::kWindow && image.window) {
    std::transform(image.pixels.begin(), image.pixels.end(), out.begin(),
                   [&](float x) { return Windowed(x, *image.window); });
  } else if (intensity == plan::Intensity::kWindow && image.voi_lut) {
    std::transform(image.pixels.begin(), image.pixels.end(), out.begin(),
                   [&](float x) { return LookedUp(x, *image.voi_lut); });
  } else {
    const Range range = intensity == plan::Intensity::kRange
                            ? FullRange(WithoutPadding(image))
                            : PercentileRange(WithoutPadding(image));
    std::transform(image.pixels.begin(), image.pixels.end(), out.begin(),
                   [&](float x) { return Ramp(x, range); });
  }
  if (image.larger_is_darker) {
    for (float& x : out) x = 1 - x;
  }
  return out;
}

// For each output pixel, which source pixels count how much.
struct AxisWeights {
  struct Run {
    std::size_t first = 0;
    std::vector<float> weights;  // empty: outside the image
  };
  std::vector<Run> runs;
};

// `step` source pixels go into one of `size` output pixels; both centres coincide.
AxisWeights MakeAxis(std::size_t source, std::size_t size, double step) {
  AxisWeights axis;
  const auto length = static_cast<double>(source);
  const double origin = length / 2 - static_cast<double>(size) / 2 * step;
  for (std::size_t i = 0; i < size; ++i) {
    AxisWeights::Run run;
    const double start = origin + static_cast<double>(i) * step, end = start + step;
    const double centre = (start + end) / 2;
    if (step >= 1) {  // average over [start, end); the part outside the image counts as 0
      const double from = std::max(0.0, start), to = std::min(length, end);
      constexpr double kSliver = 1e-9;  // rounding must not add a pixel
      if (to - from > kSliver) {
        run.first = static_cast<std::size_t>(from + kSliver);
        for (std::size_t j = run.first; static_cast<double>(j) < to - kSliver; ++j) {
          const double covered =
              std::min(to, static_cast<double>(j + 1)) - std::max(from, static_cast<double>(j));
          run.weights.push_back(static_cast<float>(covered / step));
        }
      }
    } else if (centre > 0 && centre < length) {
      const double position = std::clamp(centre - 0.5, 0.0, length - 1);
      run.first = std::min(static_cast<std::size_t>(position), source - 1);
      const auto share = static_cast<float>(position - static_cast<double>(run.first));
      run.weights = {1 - share};
      if (run.first + 1 < source) run.weights.push_back(share);
    }
    axis.runs.push_back(std::move(run));
  }
  return axis;
}

std::vector<float> Resample(std::span<const float> pixels, std::size_t columns,
                            const AxisWeights& down, const AxisWeights& across) {
  const std::size_t size = down.runs.size();
  std::vector<float> out(size * size, 0.0f), line(columns);
  for (std::size_t y = 0; y < size; ++y) {
    const AxisWeights::Run& rows = down.runs[y];
    if (rows.weights.empty()) continue;
    std::fill(line.begin(), line.end(), 0.0f);
    for (std::size_t j = 0; j < rows.weights.size(); ++j) {
      const float* row = pixels.data() + (rows.first + j) * columns;
      for (std::size_t x = 0; x < columns; ++x) line[x] += rows.weights[j] * row[x];
    }
    for (std::size_t x = 0; x < size; ++x) {
      const AxisWeights::Run& run = across.runs[x];
      float sum = 0;
      for (std::size_t j = 0; j < run.weights.size(); ++j)
        sum += run.weights[j] * line[run.first + j];
      out[y * size + x] = sum;
    }
  }
  return out;
}

}  // namespace

OrRefused<std::vector<float>> Preprocess(const Image& image,
                                         const plan::Preprocessing& preprocessing) {
  CONSILIUM_CHECK(image.rows > 0 && image.columns > 0 &&
                  image.pixels.size() == std::size_t{image.rows} * image.columns);
  const bool spaced = image.row_spacing_mm > 0 && image.column_spacing_mm > 0;
  if (preprocessing.spacing_mm > 0 && !spaced) return Refused{Refusal::kNoPixelSpacing, ""};
  const double row_mm = spaced ? image.row_spacing_mm : 1;
  const double column_mm = spaced ? image.column_spacing_mm : 1;
  const double longer_mm = std::max(image.rows * row_mm, image.columns * column_mm);
  const double output_mm = preprocessing.spacing_mm > 0 ? preprocessing.spacing_mm
                                                        : longer_mm / preprocessing.image_size;
  const std::vector<float> brightness = Brightness(image, preprocessing.intensity);
  return Resample(brightness, image.columns,
                  MakeAxis(image.rows, preprocessing.image_size, output_mm / row_mm),
                  MakeAxis(image.columns, preprocessing.image_size, output_mm / column_mm));
}

void Standardize(std::span<float> pixels) {
  double sum = 0, squares = 0;
  for (const float x : pixels) {
    sum += x;
    squares += double{x} * x;
  }
  const double count = static_cast<double>(pixels.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  const auto shift = static_cast<float>(mean);
  const auto scale = static_cast<float>(1 / std::max(kSmallestDeviation, deviation));
  for (float& x : pixels) x = (x - shift) * scale;
}

}  // namespace consilium::datasets
