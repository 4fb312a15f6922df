#include "datasets/results/picture.h"

#include <algorithm>
#include <array>

#include "tests/catch.h"

namespace consilium::datasets::results {
namespace {

Image Ramp(std::uint32_t columns, std::uint32_t rows) {
  Image image;
  image.rows = rows;
  image.columns = columns;
  for (std::uint32_t row = 0; row < rows; ++row) {
    for (std::uint32_t column = 0; column < columns; ++column) {
      image.pixels.push_back(static_cast<float>(column));
    }
  }
  return image;
}

std::array<int, 3> At(const Picture& picture, std::uint32_t row, std::uint32_t column) {
  const std::size_t i = (std::size_t{row} * picture.columns + column) * 3;
  return {picture.rgb[i], picture.rgb[i + 1], picture.rgb[i + 2]};
}

TEST_CASE("a picture keeps the image's shape and brightness, and is grey without activation") {
  const Picture picture = Draw(MakeBackdrop(Ramp(100, 50)), {}, {});
  CHECK(picture.columns == kPictureSide);
  CHECK(picture.rows > kPictureSide / 2);  // and a margin
  CHECK(picture.rows < kPictureSide / 2 + 20);
  const auto left = At(picture, 100, 20), right = At(picture, 100, 740);
  CHECK(left[0] < 20);
  CHECK(right[0] > 235);
  CHECK((left[0] == left[1] && left[1] == left[2]));
}

TEST_CASE("pixels of other lengths than widths become square") {
  Image image = Ramp(50, 50);
  image.row_spacing_mm = 2;
  image.column_spacing_mm = 1;
  const Picture picture = Draw(MakeBackdrop(image), {}, {});
  CHECK(picture.columns == kPictureSide / 2);
  CHECK(picture.rows > kPictureSide);
}

TEST_CASE("larger values are darker where the image says so") {
  Image image = Ramp(64, 64);
  image.larger_is_darker = true;
  const Picture picture = Draw(MakeBackdrop(image), {}, {});
  CHECK(At(picture, 100, 20)[0] > 235);
  CHECK(At(picture, 100, 740)[0] < 20);
}

TEST_CASE("the activation is warm at its place, with a line around it") {
  Image image = Ramp(64, 64);
  std::vector<float> activation(64 * 64, 0.0f);
  for (std::size_t row = 8; row < 24; ++row) {
    for (std::size_t column = 16; column < 32; ++column) activation[row * 64 + column] = 1;
  }
  const Picture picture = Draw(MakeBackdrop(image), activation, {});
  const auto inside = At(picture, 16 * 12, 24 * 12), outside = At(picture, 48 * 12, 24 * 12);
  CHECK(inside[0] > inside[2] + 40);
  CHECK((outside[0] == outside[1] && outside[1] == outside[2]));
  int line = 0;
  for (std::uint32_t column = 0; column < picture.columns; ++column) {
    const auto colour = At(picture, 16 * 12, column);
    line += colour == std::array<int, 3>{255, 220, 0};
  }
  CHECK(line == 2);  // to the left and to the right
}

TEST_CASE("the text stands below the image and never on it") {
  const Image image = Ramp(64, 32);
  const Picture plain = Draw(MakeBackdrop(image), {}, {}),
                with = Draw(MakeBackdrop(image), {}, {"score 0.81", "second"});
  CHECK(with.columns == plain.columns);
  CHECK(with.rows > plain.rows);
  const std::size_t shown = std::size_t{kPictureSide} / 2 * plain.columns * 3;
  CHECK(std::equal(plain.rgb.begin(), plain.rgb.begin() + static_cast<std::ptrdiff_t>(shown),
                   with.rgb.begin()));
  int white = 0;
  for (std::size_t i = shown; i < with.rgb.size(); ++i) white += with.rgb[i] == 255;
  CHECK(white > 100);
}

}  // namespace
}  // namespace consilium::datasets::results
