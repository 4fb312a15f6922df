#include "datasets/followup/lesions.h"

#include "tests/catch.h"
#include "tests/datasets/followup/drawn_lesions.h"

namespace consilium::datasets::followup {
namespace {

TEST_CASE("a ball has its volume, its diameter and its centre, also between thick slices") {
  for (const double slices : {1.0, 2.5}) {
    const Grid grid = TestGrid({60, 60, static_cast<std::uint32_t>(60 / slices)}, {1, 1, slices});
    const Vec3 centre = {30.2, 29.7, 30};
    const Lesions found = FindLesions(MaskOf({{centre, 10}}, grid));
    REQUIRE(found.lesions.size() == 1);
    const Lesion& lesion = found.lesions[0];
    CHECK(lesion.volume_ml == Approx(4 * std::numbers::pi / 3).epsilon(0.02));
    CHECK(lesion.longest.length_mm == Approx(20).margin(0.7));
    CHECK(lesion.perpendicular.length_mm == Approx(20).margin(1));
    CHECK(Norm(lesion.centre - centre) < 0.3);
    CHECK(lesion.slice == Approx(30 / slices).margin(1));
  }
}

TEST_CASE("the longest diameter is that of an oblique ellipse, the other one stands on it") {
  // Half axes of 20 and 8 mm, turned by 30 degrees, on pixels of 1 by 0.5 mm.
  const double turn = std::numbers::pi / 6;
  std::vector<std::array<std::uint32_t, 2>> pixels;
  for (std::uint32_t row = 0; row < 120; ++row) {
    for (std::uint32_t column = 0; column < 60; ++column) {
      const double x = column - 30.0, y = 0.5 * row - 30;
      const double along = x * std::cos(turn) + y * std::sin(turn);
      const double across = y * std::cos(turn) - x * std::sin(turn);
      if (std::pow(along / 20, 2) + std::pow(across / 8, 2) <= 1) pixels.push_back({column, row});
    }
  }
  const auto [longest, perpendicular] = DiametersOf(pixels, {1, 0.5});
  CHECK(longest.length_mm == Approx(40).margin(0.8));
  CHECK(perpendicular.length_mm == Approx(16).margin(0.8));
  const Vec3 first = {longest.to[0] - longest.from[0], 0.5 * (longest.to[1] - longest.from[1]), 0};
  const Vec3 second = {perpendicular.to[0] - perpendicular.from[0],
                       0.5 * (perpendicular.to[1] - perpendicular.from[1]), 0};
  CHECK(AngleDegrees(first, second) == Approx(90).margin(0.01));
}

TEST_CASE("one pixel is as long as it is wide") {
  const auto [longest, perpendicular] = DiametersOf({{7, 9}}, {0.8, 0.5});
  CHECK(longest.length_mm == Approx(0.8));
  CHECK(perpendicular.length_mm == Approx(0.5));
  CHECK(longest.from[1] == Approx(9));
}

TEST_CASE("voxels that touch at a corner are one lesion, and small parts are specks") {
  const Grid grid = TestGrid({9, 9, 9}, {4, 4, 4});  // a voxel has 0.064 ml
  targets::Mask mask{grid, std::vector<std::uint8_t>(grid.VoxelCount())};
  const auto set = [&](std::uint32_t i, std::uint32_t j, std::uint32_t k) {
    mask.voxels[(k * 9 + j) * 9 + i] = 1;
  };
  set(0, 0, 0);
  set(1, 1, 1);  // at the corner
  set(8, 8, 8);  // at the volume's own end
  Lesions found = FindLesions(mask, 0);
  REQUIRE(found.lesions.size() == 2);
  CHECK(found.lesions[0].voxels.size() == 2);
  CHECK(found.lesions[0].volume_ml == Approx(0.128));
  CHECK(found.specks == 0);
  found = FindLesions(mask, 0.1);
  CHECK(found.lesions.size() == 1);
  CHECK(found.specks == 1);
  CHECK(FindLesions({grid, std::vector<std::uint8_t>(grid.VoxelCount())}).lesions.empty());
}

TEST_CASE("the volume of a sheared grid's voxels is less by its tilt") {
  Grid grid = TestGrid({9, 9, 9}, {2, 2, 2});
  const double tilt = std::numbers::pi / 6;
  grid.directions[2] = {0, std::sin(tilt), std::cos(tilt)};
  targets::Mask mask{grid, std::vector<std::uint8_t>(grid.VoxelCount(), 1)};
  CHECK(FindLesions(mask).lesions.at(0).volume_ml ==
        Approx(grid.VoxelCount() * 0.008 * std::cos(tilt)));
}

TEST_CASE("of two outlines of the same lesion the first counts; others are added") {
  Lesions lesions = FindLesions(MaskOf({{{20, 20, 40}, 6}}), kSmallestLesion_ml, 1);
  CHECK(AddDisjoint(
            FindLesions(MaskOf({{{22, 20, 40}, 9}, {{60, 60, 40}, 9}}), kSmallestLesion_ml, 2),
            &lesions) == 1);
  REQUIRE(lesions.lesions.size() == 2);
  CHECK(lesions.lesions[0].source == 2);  // the largest first
  CHECK(lesions.lesions[1].source == 1);
}

}  // namespace
}  // namespace consilium::datasets::followup
