#include "site_agent/learning/augmentation.h"

#include <cmath>
#include <vector>

#include "tests/catch.h"

namespace consilium::learning {
namespace {

constexpr std::uint32_t kSize = 64;

std::vector<float> Augmented(std::vector<float> image, std::uint64_t seed) {
  std::vector<float> scratch(image.size());
  SeededRandom random(seed);
  Augment(plan::Augmentation::kRadiograph, {.height = kSize, .width = kSize}, image, {}, scratch,
          random);
  return image;
}

// A bright disc of radius 6 about (x, y).
std::vector<float> Disc(double x, double y) {
  std::vector<float> image(kSize * kSize);
  for (std::uint32_t row = 0; row < kSize; ++row) {
    for (std::uint32_t column = 0; column < kSize; ++column) {
      image[row * kSize + column] = std::hypot(column - x, row - y) < 6 ? 1 : 0;
    }
  }
  return image;
}

double ColumnOfBrightness(const std::vector<float>& image) {
  double sum = 0, moment = 0;
  for (std::size_t i = 0; i < image.size(); ++i) {
    if (image[i] < 0.5) continue;
    sum += image[i];
    moment += image[i] * static_cast<double>(i % kSize);
  }
  return moment / sum;
}

TEST_CASE("Augmentation repeats under a seed and differs under another") {
  const std::vector<float> image = Disc(20, 30);
  CHECK(Augmented(image, 1) == Augmented(image, 1));
  CHECK(Augmented(image, 1) != Augmented(image, 2));
  CHECK(Augmented(image, 1) != image);
}

TEST_CASE("Augmentation never mirrors and moves little") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed " << seed);
    // 5 % of the side, 7 degrees and 8 % at 16 pixels from the centre: at most 3.2 + 2.0 + 1.4
    // pixels.
    CHECK(std::abs(ColumnOfBrightness(Augmented(Disc(16, 32), seed)) - 16) < 7);
  }
}

TEST_CASE("Augmentation keeps the range of an image near what it was, whatever its units") {
  std::vector<float> image = Disc(30, 30);
  for (float& pixel : image) pixel = 1000 + 500 * pixel;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    INFO("seed " << seed);
    for (const float pixel : Augmented(image, seed)) {
      REQUIRE(pixel > 900);
      REQUIRE(pixel < 1700);
    }
  }
}

TEST_CASE("A mask moves with its image, stays whole numbers, and channels move alike") {
  const datasets::InputShape shape{.channels = 2, .height = kSize, .width = kSize};
  for (const auto kind : {plan::Augmentation::kRadiograph, plan::Augmentation::kMirrored}) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      INFO("seed " << seed);
      const std::vector<float> disc = Disc(20, 30);
      std::vector<float> image = disc, mask = disc, scratch(2 * disc.size());
      image.insert(image.end(), disc.begin(), disc.end());
      SeededRandom random(seed);
      Augment(kind, shape, image, mask, scratch, random);
      const std::vector<float> first(image.begin(), image.begin() + kSize * kSize);
      const std::vector<float> second(image.begin() + kSize * kSize, image.end());
      const double column = ColumnOfBrightness(mask);
      CHECK(std::abs(ColumnOfBrightness(first) - column) < 0.5);
      CHECK(std::abs(ColumnOfBrightness(second) - column) < 0.5);
      for (const float value : mask) REQUIRE((value == 0 || value == 1));
    }
  }
}

TEST_CASE("Mirrored images face either way, in about half of the cases") {
  int mirrored = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> image = Disc(12, 32), scratch(image.size());
    SeededRandom random(seed);
    Augment(plan::Augmentation::kMirrored, {.height = kSize, .width = kSize}, image, {}, scratch,
            random);
    mirrored += ColumnOfBrightness(image) > 32;
  }
  CHECK(mirrored > 70);
  CHECK(mirrored < 130);
}

TEST_CASE("An image of one value stays so: nothing dark moves in from beyond the edge") {
  const std::vector<float> flat(kSize * kSize, 3.5f);
  for (const float pixel : Augmented(flat, 3)) REQUIRE(pixel == Approx(3.5f).margin(1e-3));
}

}  // namespace
}  // namespace consilium::learning
