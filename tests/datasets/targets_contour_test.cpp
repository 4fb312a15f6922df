#include <cmath>
#include <numeric>

#include "datasets/targets/contour_fill.h"
#include "tests/catch.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::targets {
namespace {

using volumes::Grid;
using volumes::Vec3;

// A rectangle around voxels first..last of a plane, on the edges between voxels.
Contour Around(const Grid& grid, double first_column, double first_row, double last_column,
               double last_row, double slice) {
  return {grid.ToPatient({first_column - 0.5, first_row - 0.5, slice}),
          grid.ToPatient({last_column + 0.5, first_row - 0.5, slice}),
          grid.ToPatient({last_column + 0.5, last_row + 0.5, slice}),
          grid.ToPatient({first_column - 0.5, last_row + 0.5, slice})};
}

std::size_t Count(const Mask& mask) {
  return std::accumulate(mask.voxels.begin(), mask.voxels.end(), std::size_t{0});
}

bool At(const Mask& mask, std::uint32_t column, std::uint32_t row, std::uint32_t slice) {
  return mask.voxels[(slice * mask.grid.size[1] + row) * mask.grid.size[0] + column] != 0;
}

TEST_CASE("a contour fills the voxels whose centres it encloses, on its slice only") {
  for (const Grid& grid :
       {AsymmetricGrid(), AsymmetricGrid(20), ReversedSlices(AsymmetricGrid(20))}) {
    const auto mask = FillContours({Around(grid, 2, 1, 5, 3, 3)}, grid);
    REQUIRE(mask.ok());
    CHECK(Count(*mask) == 4 * 3);
    CHECK(At(*mask, 2, 1, 3));
    CHECK(At(*mask, 5, 3, 3));
    CHECK_FALSE(At(*mask, 6, 3, 3));
    CHECK_FALSE(At(*mask, 5, 4, 3));
    CHECK_FALSE(At(*mask, 3, 2, 2));
  }
}

TEST_CASE("a contour within another one is a hole, whichever comes first") {
  const Grid grid = AsymmetricGrid();
  const Contour outer = Around(grid, 1, 1, 7, 5, 2), inner = Around(grid, 3, 2, 5, 4, 2);
  for (const auto& contours : {std::vector{outer, inner}, std::vector{inner, outer}}) {
    const auto mask = FillContours(contours, grid);
    REQUIRE(mask.ok());
    CHECK(Count(*mask) == 7 * 5 - 3 * 3);
    CHECK_FALSE(At(*mask, 4, 3, 2));
    CHECK(At(*mask, 2, 3, 2));
  }
}

TEST_CASE("a disc's voxels are those whose centres are within its radius") {
  Grid grid;
  grid.size = {41, 41, 1};
  Contour disc;
  for (int i = 0; i < 3600; ++i) {
    const double a = i * 3.14159265358979 / 1800;
    disc.push_back({20.2 + 15.3 * std::cos(a), 19.7 + 15.3 * std::sin(a), 0});
  }
  const auto mask = FillContours({disc}, grid);
  REQUIRE(mask.ok());
  for (std::uint32_t row = 0; row < 41; ++row) {
    for (std::uint32_t column = 0; column < 41; ++column) {
      const double away = std::hypot(column - 20.2, row - 19.7);
      if (std::abs(away - 15.3) < 1e-3) continue;
      CHECK(At(*mask, column, row, 0) == (away < 15.3));
    }
  }
}

TEST_CASE("neighbours that share an edge through voxels' centres share no voxel") {
  const Grid grid = AsymmetricGrid();
  const auto rectangle = [&](double left, double right) {
    return Contour{grid.ToPatient({left, 1, 1}), grid.ToPatient({right, 1, 1}),
                   grid.ToPatient({right, 5, 1}), grid.ToPatient({left, 5, 1})};
  };
  const auto left = FillContours({rectangle(1, 4)}, grid),
             right = FillContours({rectangle(4, 7)}, grid),
             both = FillContours({rectangle(1, 7)}, grid);
  REQUIRE((left.ok() && right.ok() && both.ok()));
  CHECK(Count(*both) == 6 * 4);
  CHECK(Count(*left) + Count(*right) == Count(*both));
}

TEST_CASE("a plane between slices goes to the nearest one, and the nearest plane counts") {
  const Grid grid = AsymmetricGrid();
  const auto mask = FillContours({Around(grid, 0, 0, 2, 2, 1.4)}, grid);
  REQUIRE(mask.ok());
  CHECK(At(*mask, 1, 1, 1));
  CHECK(Count(*mask) == 9);
  // Two planes on one slice do not cancel: the nearer one is its sample.
  const auto two =
      FillContours({Around(grid, 0, 0, 2, 2, 1.3), Around(grid, 0, 0, 1, 1, 0.9)}, grid);
  REQUIRE(two.ok());
  CHECK(Count(*two) == 4);
}

TEST_CASE("contours beside the volume, across its slices or without an inside are refused") {
  const Grid grid = AsymmetricGrid();
  const auto reason = [&](const Contour& contour) {
    const auto mask = FillContours({contour}, grid);
    REQUIRE_FALSE(mask.ok());
    return mask.refused().reason;
  };
  CHECK(reason(Around(grid, 0, 0, 2, 2, 4.6)) == Refusal::kOutsideVolume);
  CHECK(reason(Around(grid, 0, 0, 9, 2, 1)) == Refusal::kOutsideVolume);
  Contour slanted = Around(grid, 0, 0, 2, 2, 1);
  slanted[0] = grid.ToPatient({0, 0, 2});
  CHECK(reason(slanted) == Refusal::kOutsideVolume);
  slanted[0][0] = std::nan("");
  CHECK(reason(slanted) == Refusal::kOutsideVolume);
  CHECK(reason({grid.origin, grid.origin}) == Refusal::kDamaged);
}

}  // namespace
}  // namespace consilium::datasets::targets
