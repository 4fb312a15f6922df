#include "site_agent/learning/augmentation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "common/base/status.h"
#include "site_agent/learning/recording_augmentation.h"

namespace consilium::learning {
namespace {

constexpr double kRotation = 7.0 * std::numbers::pi / 180;
constexpr double kShift = 0.05;
constexpr double kZoom = 0.08;
constexpr double kContrast = 0.15;
constexpr double kBrightness = 0.15;
constexpr double kNoise = 0.05;

// From a pixel of the result to the place of the image that it shows: a rotation, zoom and shift
// about the centre.
class Movement {
 public:
  Movement(std::uint32_t height, std::uint32_t width, SeededRandom& random)
      : height_(static_cast<int>(height)), width_(static_cast<int>(width)) {
    const double angle = random.Uniform(-kRotation, kRotation);
    const double scale = 1 / random.Uniform(1 - kZoom, 1 + kZoom);
    shift_x_ = static_cast<float>(random.Uniform(-kShift, kShift) * width);
    shift_y_ = static_cast<float>(random.Uniform(-kShift, kShift) * height);
    cosine_ = static_cast<float>(scale * std::cos(angle));
    sine_ = static_cast<float>(scale * std::sin(angle));
  }

  // Bilinear.
  void Move(std::span<const float> in, std::span<float> out) const {
    Walk([&](std::size_t pixel, float from_x, float from_y) {
      const int x0 = std::min(static_cast<int>(from_x), width_ - 2);
      const int y0 = std::min(static_cast<int>(from_y), height_ - 2);
      const float fx = from_x - static_cast<float>(x0), fy = from_y - static_cast<float>(y0);
      const float* const corner = in.data() + y0 * width_ + x0;
      const float above = corner[0] + fx * (corner[1] - corner[0]);
      const float below = corner[width_] + fx * (corner[width_ + 1] - corner[width_]);
      out[pixel] = above + fy * (below - above);
    });
  }

  // The nearest pixel, for labels.
  void MoveLabels(std::span<const float> in, std::span<float> out) const {
    Walk([&](std::size_t pixel, float from_x, float from_y) {
      const int x = static_cast<int>(from_x + 0.5f), y = static_cast<int>(from_y + 0.5f);
      out[pixel] = in[static_cast<std::size_t>(y * width_ + x)];
    });
  }

 private:
  template <class Visit>
  void Walk(Visit&& visit) const {
    const float last_x = static_cast<float>(width_) - 1, last_y = static_cast<float>(height_) - 1;
    const float centre_x = last_x / 2, centre_y = last_y / 2;
    std::size_t pixel = 0;
    for (int y = 0; y < height_; ++y) {
      const float dy = static_cast<float>(y) - centre_y;
      const float row_x = centre_x + shift_x_ - sine_ * dy;
      const float row_y = centre_y + shift_y_ + cosine_ * dy;
      for (int x = 0; x < width_; ++x, ++pixel) {
        const float dx = static_cast<float>(x) - centre_x;
        visit(pixel, std::clamp(row_x + cosine_ * dx, 0.0f, last_x),
              std::clamp(row_y + sine_ * dx, 0.0f, last_y));
      }
    }
  }

  const int height_, width_;
  float shift_x_, shift_y_, cosine_, sine_;
};

// Left to right, every row.
void Mirror(std::span<float> rows, std::uint32_t width) {
  for (std::size_t start = 0; start < rows.size(); start += width) {
    std::reverse(rows.begin() + static_cast<std::ptrdiff_t>(start),
                 rows.begin() + static_cast<std::ptrdiff_t>(start + width));
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

// What another exposure does to one channel, in units of its own deviation.
struct Exposure {
  float contrast;
  double brightness, noise;
};

void Expose(std::span<const float> in, std::span<float> out, const Exposure& exposure,
            SeededRandom& random) {
  double sum = 0, squares = 0;
  for (const float value : in) {
    sum += value;
    squares += double{value} * value;
  }
  const double count = static_cast<double>(in.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  const auto offset = static_cast<float>(mean + deviation * exposure.brightness);
  const auto noise = static_cast<float>(deviation * exposure.noise);
  for (std::size_t i = 0; i < in.size(); ++i) {
    out[i] = (in[i] - static_cast<float>(mean)) * exposure.contrast + offset +
             noise * QuickNormal(random);
  }
}

}  // namespace

void Augment(plan::Augmentation kind, const datasets::InputShape& shape, std::span<float> image,
             std::span<float> mask, std::span<float> scratch, SeededRandom& random) {
  if (kind == plan::Augmentation::kNone) return;
  if (kind == plan::Augmentation::kRecording) {
    AugmentRecording(shape, image, scratch, random);
    return;
  }
  const std::size_t plane = std::size_t{shape.height} * shape.width;
  const std::size_t channel = plane * shape.depth;
  CONSILIUM_CHECK(shape.height >= 2 && shape.width >= 2 && shape.channels >= 1);
  CONSILIUM_CHECK(image.size() == shape.ImageElements() && scratch.size() == image.size());
  CONSILIUM_CHECK(mask.empty() || mask.size() == channel);

  if (kind == plan::Augmentation::kMirrored && random.Chance(0.5)) {
    Mirror(image, shape.width);
    Mirror(mask, shape.width);
  }
  const Movement movement(shape.height, shape.width, random);
  if (!mask.empty()) {
    std::copy(mask.begin(), mask.end(), scratch.begin());
    for (std::size_t at = 0; at < mask.size(); at += plane) {
      movement.MoveLabels(scratch.subspan(at, plane), mask.subspan(at, plane));
    }
  }
  for (std::size_t at = 0; at < image.size(); at += plane) {
    movement.Move(image.subspan(at, plane), scratch.subspan(at, plane));
  }
  Exposure exposure{};
  exposure.contrast = static_cast<float>(random.Uniform(1 - kContrast, 1 + kContrast));
  exposure.brightness = random.Uniform(-kBrightness, kBrightness);
  exposure.noise = random.Uniform(0, kNoise);
  for (std::size_t at = 0; at < image.size(); at += channel) {
    Expose(scratch.subspan(at, channel), image.subspan(at, channel), exposure, random);
  }
}

}  // namespace consilium::learning
