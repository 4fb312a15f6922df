#include "site_agent/learning/augmentation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "common/base/status.h"

namespace consilium::learning {
namespace {

constexpr double kRotation = 7.0 * std::numbers::pi / 180;
constexpr double kShift = 0.05;
constexpr double kZoom = 0.08;
constexpr double kContrast = 0.15;
constexpr double kBrightness = 0.15;
constexpr double kNoise = 0.05;

// out = in moved by a rotation, zoom and shift about the centre; bilinear.
void Move(std::span<const float> in, std::span<float> out, std::uint32_t size,
          SeededRandom& random) {
  const double angle = random.Uniform(-kRotation, kRotation);
  const double scale = 1 / random.Uniform(1 - kZoom, 1 + kZoom);
  const double shift_x = random.Uniform(-kShift, kShift) * size;
  const double shift_y = random.Uniform(-kShift, kShift) * size;
  const float cosine = static_cast<float>(scale * std::cos(angle));
  const float sine = static_cast<float>(scale * std::sin(angle));
  const float centre = (static_cast<float>(size) - 1) / 2;
  const float last = static_cast<float>(size) - 1;
  const int stride = static_cast<int>(size), last_start = stride - 2;
  for (int y = 0; y < stride; ++y) {
    const float dy = static_cast<float>(y) - centre;
    const float row_x = centre + static_cast<float>(shift_x) - sine * dy;
    const float row_y = centre + static_cast<float>(shift_y) + cosine * dy;
    float* const out_row = out.data() + static_cast<std::size_t>(y) * size;
    for (int x = 0; x < stride; ++x) {
      const float dx = static_cast<float>(x) - centre;
      const float from_x = std::clamp(row_x + cosine * dx, 0.0f, last);
      const float from_y = std::clamp(row_y + sine * dx, 0.0f, last);
      const int x0 = std::min(static_cast<int>(from_x), last_start);
      const int y0 = std::min(static_cast<int>(from_y), last_start);
      const float fx = from_x - static_cast<float>(x0), fy = from_y - static_cast<float>(y0);
      const float* const corner = in.data() + y0 * stride + x0;
      const float above = corner[0] + fx * (corner[1] - corner[0]);
      const float below = corner[stride] + fx * (corner[stride + 1] - corner[stride]);
      out_row[x] = above + fy * (below - above);
    }
  }
}

// Near enough to a normal variate of mean 0 and deviation 1 for noise (the sum of four uniform
// ones), and quick.
float QuickNormal(SeededRandom& random) {
  const std::uint64_t bits = random();
  const auto sum = static_cast<std::int32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) +
                                             (bits >> 32 & 0xffff) + (bits >> 48));
  constexpr float kMean = 2 * 65535.0f, kInverseDeviation = 1 / (65535.0f * 0.57735027f);
  return (static_cast<float>(sum) - kMean) * kInverseDeviation;
}

}  // namespace

void AugmentRadiograph(std::span<float> pixels, std::span<float> scratch, std::uint32_t size,
                       SeededRandom& random) {
  CONSILIUM_CHECK(size >= 2 && pixels.size() == std::size_t{size} * size);
  CONSILIUM_CHECK(scratch.size() == pixels.size());
  Move(pixels, scratch, size, random);

  double sum = 0, squares = 0;
  for (const float value : scratch) {
    sum += value;
    squares += double{value} * value;
  }
  const double count = static_cast<double>(pixels.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  const auto contrast = static_cast<float>(random.Uniform(1 - kContrast, 1 + kContrast));
  const auto offset =
      static_cast<float>(mean + deviation * random.Uniform(-kBrightness, kBrightness));
  const auto noise = static_cast<float>(deviation * random.Uniform(0, kNoise));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] =
        (scratch[i] - static_cast<float>(mean)) * contrast + offset + noise * QuickNormal(random);
  }
}

}  // namespace consilium::learning
