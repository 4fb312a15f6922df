// The inputs of a generic plan are those that version 0.4 made: models trained before the pipeline
// had stages must see the same images. The hashes were taken from that version's Preprocess.

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/crypto/sha256.h"
#include "datasets/transform.h"
#include "tests/catch.h"

namespace consilium::datasets {
namespace {

// Blocks and noise of whole numbers, so that no machine computes it differently.
Image Drawn(std::uint32_t rows, std::uint32_t columns, std::uint64_t seed) {
  SeededRandom random(seed);
  Image image;
  image.rows = rows;
  image.columns = columns;
  for (std::uint32_t row = 0; row < rows; ++row) {
    for (std::uint32_t column = 0; column < columns; ++column) {
      const auto block = static_cast<int>((row / 7 * 31 + column / 5 * 17) % 900);
      image.pixels.push_back(static_cast<float>(block + static_cast<int>(random.Below(200)) - 300));
    }
  }
  return image;
}

std::string InputHash(const Image& image, plan::Intensity intensity, std::uint32_t size,
                      double spacing_mm) {
  plan::Preprocessing preprocessing;
  preprocessing.image_size = size;
  preprocessing.intensity = intensity;
  preprocessing.spacing_mm = spacing_mm;
  const auto input = Preprocess(image, preprocessing);
  REQUIRE(input.ok());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(input->data());
  return crypto::Sha256(ByteView(bytes, input->size() * sizeof(float))).Short();
}

}  // namespace

TEST_CASE("A generic plan gives bit for bit the inputs that it always gave") {
  using plan::Intensity;
  Image wide = Drawn(83, 131, 1);
  wide.row_spacing_mm = 0.7;
  wide.column_spacing_mm = 0.9;
  CHECK(InputHash(wide, Intensity::kPercentile, 64, 0) == "e37f46007aa2");
  CHECK(InputHash(wide, Intensity::kRange, 128, 0) == "83185d2dfe9e");
  CHECK(InputHash(wide, Intensity::kPercentile, 64, 1.3) == "055522825937");
  Image inverted = Drawn(150, 90, 2);
  inverted.larger_is_darker = true;
  inverted.window = VoiWindow{150, 700};
  CHECK(InputHash(inverted, Intensity::kWindow, 96, 0) == "0f1efe09d92c");
  Image padded = Drawn(64, 64, 3);
  padded.padding.assign(padded.pixels.size(), false);
  for (std::size_t i = 0; i < padded.pixels.size(); ++i) {
    if (i % 64 >= 10) continue;
    padded.padding[i] = true;
    padded.pixels[i] = -2000;
  }
  CHECK(InputHash(padded, Intensity::kPercentile, 64, 0) == "d24ca16cfe71");
  CHECK(InputHash(padded, Intensity::kWindow, 17, 0) == "be0c5842cc7a");
  Image tabled = Drawn(40, 52, 4);
  tabled.voi_lut = VoiLut{-100, {0, 0.125f, 0.25f, 0.5f, 0.75f, 1}};
  CHECK(InputHash(tabled, Intensity::kWindow, 32, 0) == "7177ebd45164");
}

}  // namespace consilium::datasets
