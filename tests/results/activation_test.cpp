#include "datasets/results/activation.h"

#include <algorithm>
#include <cmath>

#include "tests/catch.h"

namespace consilium::datasets::results {
namespace {

using pipeline::Placement;

// An input of 64 pixels, of an image of 120 columns and 80 rows, shown whole.
Placement Whole() {
  Placement placement;
  placement.rows = 80;
  placement.columns = 120;
  placement.size = 64;
  placement.right = 120;
  placement.bottom = 80;
  placement.columns_a_pixel = placement.rows_a_pixel = 120.0 / 64;
  placement.centre_column = 60;
  placement.centre_row = 40;
  return placement;
}

// 8 x 8, each value over 8 pixels of the input; one is set.
ActivationMap OneSpot(std::uint32_t column, std::uint32_t row) {
  ActivationMap map{.size = 8, .first = 4, .step = 8, .values = std::vector<float>(64, -1.0f)};
  map.values[row * 8 + column] = 2.5f;
  return map;
}

struct Peak {
  std::size_t column = 0, row = 0;
  float value = 0;
};
Peak PeakOf(const std::vector<float>& values, const Placement& placement) {
  const auto at =
      static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
  return {at % placement.columns, at / placement.columns, values[at]};
}

TEST_CASE("an activation is shown at its place of the image, relative to its maximum") {
  const Placement placement = Whole();
  const auto values = OnImage(OneSpot(6, 2), placement);
  REQUIRE(values.size() == 80u * 120);
  const Peak peak = PeakOf(values, placement);
  // The spot's centre on the input is (52, 20): columns 60 + (52 - 32) * 1.875.
  CHECK(std::abs(double(peak.column) + 0.5 - 97.5) <= 1);
  CHECK(std::abs(double(peak.row) + 0.5 - 17.5) <= 1);
  CHECK(peak.value > 0.9f);
  CHECK(values[0] == 0);  // what speaks against it is not shown
}

TEST_CASE("a mirrored input is mirrored back") {
  Placement placement = Whole();
  placement.mirrored = true;
  const Peak peak = PeakOf(OnImage(OneSpot(6, 2), placement), placement);
  CHECK(std::abs(double(peak.column) + 0.5 - (120 - 97.5)) <= 1);
  CHECK(std::abs(double(peak.row) + 0.5 - 17.5) <= 1);
}

TEST_CASE("where the input shows nothing of the image there is no activation") {
  Placement placement = Whole();
  placement.left = 30;
  placement.right = 100;
  ActivationMap map = OneSpot(0, 0);
  std::fill(map.values.begin(), map.values.end(), 1.0f);
  const auto values = OnImage(map, placement);
  const auto at = [&](std::size_t column, std::size_t row) { return values[row * 120 + column]; };
  CHECK(at(29, 40) == 0);
  CHECK(at(30, 40) == 1);
  CHECK(at(99, 40) == 1);
  CHECK(at(100, 40) == 0);
}

TEST_CASE("pixels that are not square are looked up by their own lengths") {
  Placement placement = Whole();
  placement.rows_a_pixel = 80.0 / 64;  // rows are further apart than columns
  const Peak peak = PeakOf(OnImage(OneSpot(2, 6), placement), placement);
  CHECK(std::abs(double(peak.row) + 0.5 - (40 + 20 * 1.25)) <= 1);
  CHECK(std::abs(double(peak.column) + 0.5 - (60 - 12 * 1.875)) <= 1);
}

TEST_CASE("a map in which nothing speaks for the finding shows nothing") {
  ActivationMap map = OneSpot(1, 1);
  std::fill(map.values.begin(), map.values.end(), -0.25f);
  const auto values = OnImage(map, Whole());
  CHECK(std::all_of(values.begin(), values.end(), [](float v) { return v == 0; }));
}

TEST_CASE("A mask of the input lies on the image where the input shows it, mirrored or not") {
  std::vector<std::uint8_t> mask(64 * 64, 0);
  mask[20 * 64 + 10] = 3;  // row 20, column 10
  for (const bool mirrored : {false, true}) {
    Placement placement = Whole();
    placement.mirrored = mirrored;
    const std::vector<std::uint8_t> shown = OnImage(mask, placement);
    REQUIRE(shown.size() == 80 * 120);
    const double column = placement.ImageColumn(10.5), row = placement.ImageRow(20.5);
    CHECK(shown[static_cast<std::size_t>(row) * 120 + static_cast<std::size_t>(column)] == 3);
    const auto pixels = std::count(shown.begin(), shown.end(), 3);
    CHECK((pixels >= 1 && pixels <= 4));  // 1.875 image pixels to one of the input
    CHECK(std::count(shown.begin(), shown.end(), 0) == 80 * 120 - pixels);
  }
}

}  // namespace
}  // namespace consilium::datasets::results
