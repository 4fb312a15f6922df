#include "site_agent/learning/recording_augmentation.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"

namespace consilium::learning {
namespace {

constexpr double kColour = 0.5, kGain = 0.2, kNoise = 0.1;
constexpr std::uint32_t kBlottedShare = 8;

struct Moments {
  float mean = 0, deviation = 0;
};

Moments MomentsOf(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const double count = static_cast<double>(values.size()), mean = sum / count;
  return {static_cast<float>(mean),
          static_cast<float>(std::sqrt(std::max(0.0, squares / count - mean * mean)))};
}

struct Stretch {
  std::uint32_t begin = 0, end = 0;
  bool Holds(std::uint32_t i) const { return i >= begin && i < end; }
};

Stretch RandomStretch(std::uint32_t size, SeededRandom& random) {
  const auto length = static_cast<std::uint32_t>(random.Below(size / kBlottedShare + 1));
  const auto begin = static_cast<std::uint32_t>(random.Below(size - length + 1));
  return {begin, begin + length};
}

}  // namespace

void AugmentRecording(const datasets::InputShape& shape, std::span<float> image,
                      std::span<float> scratch, SeededRandom& random) {
  CONSILIUM_CHECK(shape.channels == 1 && shape.depth == 1 && shape.height > 1 && shape.width > 1);
  CONSILIUM_CHECK(image.size() == shape.ImageElements() && scratch.size() == image.size());
  const std::uint32_t bands = shape.height, frames = shape.width;
  const Moments of = MomentsOf(image);
  const auto shift = static_cast<std::uint32_t>(random.Below(frames));
  const auto gain = static_cast<float>(random.Uniform(1 - kGain, 1 + kGain));
  const double colour = random.Uniform(-kColour, kColour);
  const Stretch blotted_bands = RandomStretch(bands, random);
  const Stretch blotted_frames = RandomStretch(frames, random);
  std::copy(image.begin(), image.end(), scratch.begin());
  for (std::uint32_t band = 0; band < bands; ++band) {
    const double height = 2.0 * band / (bands - 1) - 1;  // -1 to 1
    const float offset = of.mean + static_cast<float>(height * colour) * of.deviation;
    const std::span<const float> from = std::span(scratch).subspan(band * frames, frames);
    const std::span<float> to = image.subspan(band * frames, frames);
    for (std::uint32_t frame = 0; frame < frames; ++frame) {
      const float value = from[(frame + shift) % frames];
      const auto noise = static_cast<float>(kNoise * random.Normal()) * of.deviation;
      const bool blotted = blotted_bands.Holds(band) || blotted_frames.Holds(frame);
      to[frame] = blotted ? of.mean : (value - of.mean) * gain + offset + noise;
    }
  }
}

}  // namespace consilium::learning
