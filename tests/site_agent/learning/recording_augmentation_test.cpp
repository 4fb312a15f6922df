#include "site_agent/learning/recording_augmentation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "site_agent/learning/batch_loader.h"
#include "tests/catch.h"

namespace consilium::learning {
namespace {

constexpr datasets::InputShape kShape{.height = 16, .width = 64};

// A beat in each band: loud in one column.
std::vector<float> Beat(std::uint32_t column) {
  std::vector<float> image(kShape.ImageElements());
  for (std::uint32_t band = 0; band < kShape.height; ++band) {
    image[band * kShape.width + column] = 8;
  }
  return image;
}

TEST_CASE("Another recording begins at another time, and keeps most of what was heard") {
  std::vector<float> scratch(kShape.ImageElements());
  std::vector<bool> seen(kShape.width);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    std::vector<float> image = Beat(5);
    AugmentRecording(kShape, image, scratch, random);
    std::vector<int> loud(kShape.width);
    for (std::size_t i = 0; i < image.size(); ++i) {
      REQUIRE(std::isfinite(image[i]));
      loud[i % kShape.width] += image[i] > 3;
    }
    const auto best = std::max_element(loud.begin(), loud.end());
    if (*best == 0) continue;  // its time is blotted out
    REQUIRE(*best >= 16 - 16 / 8);
    REQUIRE(std::count_if(loud.begin(), loud.end(), [](int n) { return n > 2; }) == 1);
    seen[static_cast<std::size_t>(best - loud.begin())] = true;
  }
  CHECK(std::count(seen.begin(), seen.end(), true) > kShape.width / 2);
}

TEST_CASE("The same random stream changes a recording in the same way") {
  std::vector<float> scratch(kShape.ImageElements()), a = Beat(9), b = Beat(9), c = Beat(9);
  SeededRandom one(4), same(4), other(5);
  AugmentRecording(kShape, a, scratch, one);
  AugmentRecording(kShape, b, scratch, same);
  AugmentRecording(kShape, c, scratch, other);
  CHECK(a == b);
  CHECK(a != c);
}

// Each example has two parts, of which Get gives the first.
class TwoParts final : public datasets::Dataset {
 public:
  std::size_t size() const override { return 40; }
  std::uint32_t image_size() const override { return kShape.width; }
  datasets::InputShape input_shape() const override { return kShape; }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::ranges::fill(out, 1.0f);
    return GetLabel(index);
  }
  Label GetAnyPart(std::size_t index, SeededRandom& random, std::span<float> out) const override {
    std::ranges::fill(out, random.Chance(0.5) ? 1.0f : 2.0f);
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override { return {0, index}; }
};

TEST_CASE("Training sees any part of a recording, an evaluation always the same") {
  const TwoParts data;
  std::vector<std::size_t> order(data.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto parts = [&](plan::Augmentation augmentation) {
    BatchLoader loader(data, order, {.batch_size = 40, .augmentation = augmentation});
    const Batch batch = loader.Next();
    int second = 0;
    for (std::size_t i = 0; i < batch.count; ++i) {
      second += batch.inputs[i * kShape.ImageElements()] > 1.5f;  // without deviation: no change
    }
    return second;
  };
  CHECK(parts(plan::Augmentation::kNone) == 0);
  const int second = parts(plan::Augmentation::kRecording);
  CHECK(second > 5);
  CHECK(second < 35);
}

}  // namespace
}  // namespace consilium::learning
