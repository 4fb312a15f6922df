#include <cmath>
#include <random>

#include "datasets/volumes/volume.h"
#include "tests/catch.h"

namespace consilium::datasets::volumes {
namespace {

// Nothing about it is symmetric: sizes, spacings and directions all differ, and it is turned.
Grid AsymmetricGrid() {
  Grid grid;
  grid.size = {7, 5, 4};
  grid.spacing_mm = {0.7, 1.1, 2.5};
  const double a = 0.3, b = -0.5;
  const Vec3 row = {std::cos(a), std::sin(a), 0};
  const Vec3 column = {-std::sin(a) * std::cos(b), std::cos(a) * std::cos(b), std::sin(b)};
  grid.directions = {row, column, Cross(row, column)};
  grid.origin = {-31.5, 12.25, 107};
  return grid;
}

// Its slices are stacked at 15 degrees to their normal.
Grid TiltedGrid() {
  Grid grid = AsymmetricGrid();
  const double tilt = 15 * 3.14159265358979 / 180;
  grid.directions[2] = grid.directions[2] * std::cos(tilt) + grid.directions[1] * std::sin(tilt);
  return grid;
}

double Field(const Vec3& p) { return 3 + 0.5 * p[0] - 1.25 * p[1] + 2 * p[2]; }

// A linear function of the place in the patient: linear interpolation must reproduce it anywhere.
Volume FieldOn(const Grid& grid) {
  Volume volume{grid, {}, "1.2.3"};
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < grid.size[0]; ++i) {
        volume.voxels.push_back(
            static_cast<float>(Field(grid.ToPatient({double(i), double(j), double(k)}))));
      }
    }
  }
  return volume;
}

Volume NoiseOn(const Grid& grid) {
  Volume volume{grid, std::vector<float>(grid.VoxelCount()), "1.2.3"};
  std::mt19937 random(7);
  for (float& voxel : volume.voxels) voxel = static_cast<float>(random() % 4096);
  return volume;
}

TEST_CASE("an index goes to the patient and comes back, also on a tilted grid") {
  for (const Grid& grid : {AsymmetricGrid(), TiltedGrid(), ReversedSlices(TiltedGrid())}) {
    const PatientToIndex to_index(grid);
    const Vec3 index = {5.25, 0.5, 2.75};
    CHECK(Norm(to_index(grid.ToPatient(index)) - index) < 1e-12);
  }
}

TEST_CASE("the centre of a voxel is where DICOM's equation puts it") {
  Grid grid;
  grid.size = {2, 2, 2};
  grid.spacing_mm = {0.5, 2, 3};
  grid.directions = {{{0, 1, 0}, {0, 0, -1}, {-1, 0, 0}}};  // sagittal
  grid.origin = {10, 20, 30};
  const Vec3 centre = grid.ToPatient({1, 1, 1});
  CHECK(centre[0] == 7);
  CHECK(centre[1] == 20.5);
  CHECK(centre[2] == 28);
}

TEST_CASE("the tilt of a grid is the angle between its normal and its stack") {
  CHECK(AsymmetricGrid().TiltDegrees() < 1e-6);
  CHECK(std::abs(TiltedGrid().TiltDegrees() - 15) < 1e-6);
  CHECK(std::abs(ReversedSlices(TiltedGrid()).TiltDegrees() - 15) < 1e-6);
}

TEST_CASE("unsound grids are known") {
  Grid grid = AsymmetricGrid();
  CHECK(IsSound(grid));
  grid.size = {65536, 65536, 65536};
  CHECK_FALSE(IsSound(grid));
  grid = AsymmetricGrid();
  grid.size[1] = 0;
  CHECK_FALSE(IsSound(grid));
  grid = AsymmetricGrid();
  grid.spacing_mm[2] = std::nan("");
  CHECK_FALSE(IsSound(grid));
  grid = AsymmetricGrid();
  grid.directions[2] = grid.directions[0];
  CHECK_FALSE(IsSound(grid));
}

TEST_CASE("a volume resampled to its own grid is itself, bit by bit") {
  for (const Grid& grid : {AsymmetricGrid(), TiltedGrid()}) {
    const Volume volume = NoiseOn(grid);
    for (const auto way : {Interpolation::kLinear, Interpolation::kNearest}) {
      CHECK(Resample(volume, grid, way, -1)->voxels == volume.voxels);
    }
  }
}

TEST_CASE("a volume in the other slice order and back is itself, bit by bit") {
  for (const Grid& grid : {AsymmetricGrid(), TiltedGrid()}) {
    const Volume volume = NoiseOn(grid);
    for (const auto way : {Interpolation::kLinear, Interpolation::kNearest}) {
      const auto reversed = Resample(volume, ReversedSlices(grid), way, -1);
      REQUIRE(reversed.ok());
      CHECK(reversed->At(3, 1, 0) == volume.At(3, 1, 3));
      CHECK(Resample(*reversed, grid, way, -1)->voxels == volume.voxels);
    }
  }
}

TEST_CASE("a volume on a grid twice as fine and back is itself, bit by bit") {
  for (const Grid& grid : {AsymmetricGrid(), TiltedGrid(), ReversedSlices(TiltedGrid())}) {
    Grid fine = grid;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      fine.size[axis] = 2 * grid.size[axis] - 1;
      fine.spacing_mm[axis] = grid.spacing_mm[axis] / 2;
    }
    const Volume volume = NoiseOn(grid);
    const auto finer = Resample(volume, fine, Interpolation::kLinear, -1);
    REQUIRE(finer.ok());
    CHECK(finer->At(0, 0, 1) == (volume.At(0, 0, 0) + volume.At(0, 0, 1)) / 2);
    CHECK(Resample(*finer, grid, Interpolation::kLinear, -1)->voxels == volume.voxels);
  }
}

TEST_CASE("a mask of a tilted stack comes back from a fine isotropic grid unchanged") {
  for (const Grid& grid : {TiltedGrid(), ReversedSlices(TiltedGrid())}) {
    std::vector<std::uint8_t> mask(grid.VoxelCount());
    std::mt19937 random(11);
    for (auto& voxel : mask) voxel = random() % 3 == 0;
    // A third of the smallest spacing: each voxel of the stack has a voxel's centre near its own.
    const Grid isotropic = IsotropicGrid(grid, 0.15);
    CHECK(isotropic.IsOrthogonal());
    const auto there = ResampleMask(mask, grid, isotropic);
    REQUIRE(there.ok());
    CHECK(*ResampleMask(*there, isotropic, grid) == mask);
  }
}

TEST_CASE("linear interpolation reproduces a linear field wherever the target lies inside") {
  const Volume volume = FieldOn(TiltedGrid());
  for (const Grid& target : {StraightGrid(volume.grid), IsotropicGrid(volume.grid, 0.9)}) {
    const auto moved = Resample(volume, target, Interpolation::kLinear, -1e6f);
    REQUIRE(moved.ok());
    const PatientToIndex to_index(volume.grid);
    std::size_t inside = 0;
    for (std::uint32_t k = 0; k < target.size[2]; ++k) {
      for (std::uint32_t j = 0; j < target.size[1]; ++j) {
        for (std::uint32_t i = 0; i < target.size[0]; ++i) {
          const Vec3 place = target.ToPatient({double(i), double(j), double(k)});
          const Vec3 index = to_index(place);
          const bool within = index[0] >= 0 && index[0] <= 6 && index[1] >= 0 && index[1] <= 4 &&
                              index[2] >= 0 && index[2] <= 3;
          if (!within) continue;
          ++inside;
          CHECK(std::abs(moved->At(i, j, k) - Field(place)) < 1e-3);
        }
      }
    }
    CHECK(inside > 50);
  }
}

TEST_CASE("beyond half a voxel around the outermost centres there is only the outside value") {
  Grid grid;
  grid.size = {2, 1, 1};
  const Volume volume{grid, {10, 20}, ""};
  Grid wide = grid;
  wide.size = {5, 1, 1};
  wide.spacing_mm = {0.6, 1, 1};
  wide.origin = {-1.2, 0, 0};
  const auto moved = Resample(volume, wide, Interpolation::kLinear, -1);
  REQUIRE(moved.ok());
  CHECK(moved->voxels[0] == -1);  // at -1.2
  CHECK(moved->voxels[1] == -1);  // at -0.6
  CHECK(moved->voxels[2] == 10);
  CHECK(moved->voxels[3] == Approx(16));
  CHECK(moved->voxels[4] == 20);  // at 1.2
}

TEST_CASE("a straight grid keeps the planes of a tilted stack and holds all of it") {
  const Grid tilted = TiltedGrid();
  const Grid straight = StraightGrid(tilted);
  CHECK(straight.IsOrthogonal());
  CHECK(straight.size[2] == tilted.size[2]);
  const PatientToIndex to_index(straight);
  for (const double k : {0.0, 3.0}) {
    for (const double j : {0.0, 4.0}) {
      const Vec3 index = to_index(tilted.ToPatient({6, j, k}));
      CHECK(std::abs(index[2] - k) < 1e-9);
      CHECK(index[1] > -0.01);
      CHECK(index[1] < straight.size[1] - 0.99);
    }
  }
  CHECK(LargestDistance(StraightGrid(AsymmetricGrid()), AsymmetricGrid()) < 1e-9);
}

TEST_CASE("an isotropic grid covers the same extent about the same centre") {
  const Grid grid = AsymmetricGrid();  // 4.9 x 5.5 x 10 mm
  const Grid isotropic = IsotropicGrid(grid, 1);
  CHECK(isotropic.size == std::array<std::uint32_t, 3>{5, 6, 10});
  const Vec3 centre = grid.ToPatient({3, 2, 1.5});
  CHECK(Norm(isotropic.ToPatient({2, 2.5, 4.5}) - centre) < 1e-9);
}

TEST_CASE("a grid too large to hold is refused before anything is allocated") {
  const Volume volume = FieldOn(AsymmetricGrid());
  const auto refused =
      Resample(volume, IsotropicGrid(volume.grid, 1e-4), Interpolation::kLinear, 0);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.refused().reason == Refusal::kTooLarge);
}

TEST_CASE("a pair goes to one grid only in one frame of reference") {
  const Volume fixed = NoiseOn(AsymmetricGrid());
  Volume moving = FieldOn(TiltedGrid());
  const auto pair = ResampleOnto(moving, fixed, Interpolation::kLinear, -1024);
  REQUIRE(pair.ok());
  CHECK(LargestDistance(pair->grid, fixed.grid) == 0);
  CHECK(pair->At(0, 0, 0) == moving.At(0, 0, 0));
  moving.frame_of_reference = "1.2.4";
  CHECK(ResampleOnto(moving, fixed, Interpolation::kLinear, 0).refused().reason ==
        Refusal::kOtherFrameOfReference);
  moving.frame_of_reference = "";
  CHECK(ResampleOnto(moving, fixed, Interpolation::kLinear, 0).refused().reason ==
        Refusal::kOtherFrameOfReference);
}

}  // namespace
}  // namespace consilium::datasets::volumes
