#include "datasets/transform.h"

#include <cmath>
#include <numeric>

#include "tests/catch.h"

namespace consilium::datasets {
namespace {

Image MakeImage(std::uint32_t rows, std::uint32_t columns, std::vector<float> pixels) {
  Image image;
  image.rows = rows;
  image.columns = columns;
  image.pixels = std::move(pixels);
  return image;
}

std::vector<float> Run(const Image& image, std::uint32_t size, plan::Intensity intensity,
                       double spacing_mm = 0) {
  plan::Preprocessing preprocessing;
  preprocessing.image_size = size;
  preprocessing.intensity = intensity;
  preprocessing.spacing_mm = spacing_mm;
  auto pixels = Preprocess(image, preprocessing);
  REQUIRE(pixels.ok());
  return *pixels;
}

}  // namespace

TEST_CASE("The linear window is that of PS3.3 C.11.2.1.2, with its half pixel") {
  // The standard's note: centre 2048, width 4096 maps 0 to the lowest and 4095 to the highest
  // value.
  Image image = MakeImage(2, 2, {0, 4095, 2047.5f, 5000});
  image.window = VoiWindow{2048, 4096};
  const auto out = Run(image, 2, plan::Intensity::kWindow);
  CHECK(out[0] == 0);
  CHECK(out[1] == Approx(1));
  CHECK(out[2] == Approx(0.5));
  CHECK(out[3] == 1);
}

TEST_CASE(
    "A window of width 1 is a threshold, and exact and sigmoid windows follow their formulas") {
  Image image = MakeImage(2, 2, {99, 100, 101, 110});
  image.window = VoiWindow{100.5, 1};
  CHECK(Run(image, 2, plan::Intensity::kWindow) == std::vector<float>{0, 0, 1, 1});
  image.window = VoiWindow{100, 20, VoiWindow::Function::kLinearExact};
  CHECK(Run(image, 2, plan::Intensity::kWindow)[1] == Approx(0.5));
  CHECK(Run(image, 2, plan::Intensity::kWindow)[3] == Approx(1.0));
  image.window = VoiWindow{100, 20, VoiWindow::Function::kSigmoid};
  CHECK(Run(image, 2, plan::Intensity::kWindow)[3] == Approx(1 / (1 + std::exp(-2.0))));
}

TEST_CASE("MONOCHROME1 is inverted after windowing, so that higher is brighter") {
  Image image = MakeImage(2, 2, {0, 10, 20, 40});
  image.larger_is_darker = true;
  CHECK(Run(image, 2, plan::Intensity::kRange) == std::vector<float>{1, 0.75f, 0.5f, 0});
}

TEST_CASE("Percentiles cut the extremes that the range keeps") {
  std::vector<float> pixels(40 * 40);
  std::iota(pixels.begin(), pixels.end(), 0.0f);
  pixels[7] = 1e6f;
  const Image image = MakeImage(40, 40, pixels);
  CHECK(Run(image, 40, plan::Intensity::kRange)[800] < 0.001f);
  CHECK(Run(image, 40, plan::Intensity::kPercentile)[800] == Approx(0.5).margin(0.01));
  CHECK(Run(image, 40, plan::Intensity::kPercentile)[7] == 1);
}

TEST_CASE("A constant image is 0 everywhere") {
  const Image image = MakeImage(3, 3, std::vector<float>(9, 7.0f));
  CHECK(Run(image, 4, plan::Intensity::kPercentile) == std::vector<float>(16, 0.0f));
}

TEST_CASE("Shrinking averages over the area") {
  const Image image = MakeImage(4, 4, {0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1});
  const auto out = Run(image, 2, plan::Intensity::kRange);
  CHECK(out == std::vector<float>{0.5f, 0, 1, 1});
}

TEST_CASE("Enlarging interpolates linearly") {
  const Image image = MakeImage(2, 2, {0, 1, 0, 1});
  const auto out = Run(image, 4, plan::Intensity::kRange);
  for (const std::size_t row : {0u, 1u, 2u, 3u}) {
    CHECK(out[row * 4] == Approx(0));
    CHECK(out[row * 4 + 1] == Approx(0.25));
    CHECK(out[row * 4 + 2] == Approx(0.75));
    CHECK(out[row * 4 + 3] == Approx(1));
  }
}

TEST_CASE("A wide image is padded above and below, a narrow one at the sides") {
  Image image = MakeImage(2, 4, {1, 1, 1, 1, 0.5f, 1, 1, 0});
  auto out = Run(image, 4, plan::Intensity::kRange);
  CHECK(std::vector<float>(out.begin(), out.begin() + 4) == std::vector<float>(4, 0.0f));
  CHECK(out[4] == 1);
  CHECK(out[8] == Approx(0.5));
  CHECK(std::vector<float>(out.end() - 4, out.end()) == std::vector<float>(4, 0.0f));
}

TEST_CASE("Pixels that are not square are made so") {
  Image image = MakeImage(2, 4, std::vector<float>{1, 1, 1, 1, 1, 1, 1, 0});
  image.row_spacing_mm = 2;  // 4 mm by 4 mm
  image.column_spacing_mm = 1;
  CHECK(Run(image, 4, plan::Intensity::kRange)[0] == 1);
}

TEST_CASE("Resampling by millimetres crops what is too large and pads what is too small") {
  Image image = MakeImage(4, 4, {0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0});
  image.row_spacing_mm = image.column_spacing_mm = 1;
  CHECK(Run(image, 2, plan::Intensity::kRange, 1.0) == std::vector<float>(4, 1.0f));
  const auto padded = Run(image, 8, plan::Intensity::kRange, 1.0);
  CHECK(std::accumulate(padded.begin(), padded.end(), 0.0f) == Approx(4));
  CHECK(padded[3 * 8 + 3] == 1);
  image.row_spacing_mm = 0;
  plan::Preprocessing preprocessing;
  preprocessing.spacing_mm = 1;
  CHECK(Preprocess(image, preprocessing).refused().reason == Refusal::kNoPixelSpacing);
}

TEST_CASE("Standardised pixels have mean 0 and deviation 1") {
  std::vector<float> pixels = {0.1f, 0.2f, 0.4f, 0.9f};
  Standardize(pixels);
  float sum = 0, squares = 0;
  for (const float x : pixels) {
    sum += x;
    squares += x * x;
  }
  CHECK(sum == Approx(0).margin(1e-5));
  CHECK(squares / 4 == Approx(1));
}

}  // namespace consilium::datasets
