// Known motions of a drawn head are found again, whatever the scale of the intensities.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numbers>

#include "common/base/random.h"
#include "datasets/registration/mutual_information.h"
#include "datasets/registration/nelder_mead.h"
#include "datasets/registration/register.h"
#include "datasets/synthetic/drawing.h"
#include "tests/catch.h"

namespace consilium::datasets::registration {
namespace {

using synthetic::Ellipsoid;
using synthetic::Point;
using volumes::Grid;

constexpr double kRadians = std::numbers::pi / 180;

Point ToPoint(const Vec3& v) { return {v[0], v[1], v[2]}; }

// A head of -1000 to 1000 or so, in the coordinates of the patient before any motion.
double Head(const Vec3& at) {
  static const synthetic::Grain grain(11, 9);
  const Point p = ToPoint(at);
  const auto mix = [](double below, double above, double cover) {
    return below + cover * (above - below);
  };
  double skin = Ellipsoid{{0, 0, 0}, {76, 94, 86}}.Cover(p);
  skin = std::max(skin, Ellipsoid{{0, -94, -24}, {13, 16, 18}}.Cover(p));  // the nose
  skin = std::max(skin, Ellipsoid{{0, 24, -90}, {54, 56, 90}}.Cover(p));   // the neck
  double value = mix(-1000, 40, skin);
  value = mix(value, 700, Ellipsoid{{0, -52, -74}, {44, 30, 12}}.Cover(p));  // the jaw
  value = mix(value, 900, Ellipsoid{{0, 0, 0}, {70, 88, 80}}.Cover(p));
  value = mix(value, 35 + 6 * grain.At(p), Ellipsoid{{0, 0, 0}, {64, 82, 74}}.Cover(p));
  for (const double side : {-1.0, 1.0}) {
    value = mix(value, -80, Ellipsoid{{32 * side, -70, -14}, {19, 22, 17}}.Cover(p));  // orbits
    value = mix(value, 20, Ellipsoid{{32 * side, -76, -14}, {12, 12, 12}}.Cover(p));   // eyes
    value =
        mix(value, 800, Ellipsoid{{58 * side, 12, -38}, {16, 26, 14}}.Cover(p));  // petrous bones
  }
  value = mix(value, 5, Ellipsoid{{-12, -6, 8}, {9, 30, 13}}.Cover(p));
  value = mix(value, 5, Ellipsoid{{13, -4, 8}, {8, 28, 14}}.Cover(p));
  value = mix(value, -900, Ellipsoid{{0, -62, -40}, {18, 14, 12}}.Cover(p));
  return mix(value, 60, Ellipsoid{{24, 30, 22}, {12, 11, 10}}.Cover(p));
}

Grid GridOf(const Vec3& spacing_mm, const Vec3& extent_mm, const Vec3& middle = {0, 0, 0}) {
  Grid grid;
  grid.spacing_mm = spacing_mm;
  grid.origin = middle;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    grid.size[axis] = static_cast<std::uint32_t>(extent_mm[axis] / spacing_mm[axis]);
    grid.origin[axis] -= spacing_mm[axis] * (double{1} * grid.size[axis] - 1) / 2;
  }
  return grid;
}

const Vec3 kWholeHead = {190, 224, 208};

struct Scan {
  Grid grid;
  RigidTransform motion;  // where the patient's points went
  std::function<double(double)> scale = [](double hu) { return hu; };
  double noise = 10;
};

Volume Draw(const Scan& scan, std::uint64_t seed) {
  SeededRandom random(seed);
  const RigidTransform back = scan.motion.Inverse();
  Volume volume{scan.grid, {}, ""};
  volume.voxels.reserve(scan.grid.VoxelCount());
  for (std::uint32_t k = 0; k < scan.grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < scan.grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < scan.grid.size[0]; ++i) {
        const Vec3 at = scan.grid.ToPatient({double{1} * i, double{1} * j, double{1} * k});
        volume.voxels.push_back(
            static_cast<float>(scan.scale(Head(back(at)) + scan.noise * random.Normal())));
      }
    }
  }
  return volume;
}

RigidTransform Motion(const Vec3& degrees, const Vec3& mm) {
  return MakeRigidTransform(degrees * kRadians, mm, {0, 0, 0});
}

// How far the found transform puts points of the head from where they are: the most of the corners
// of a box in it, and the angle between both.
struct Error {
  double mm = 0, degrees = 0;
};
Error ErrorOf(const RigidTransform& found, const RigidTransform& truth) {
  Error error;
  for (unsigned corner = 0; corner < 8; ++corner) {
    const Vec3 at = {(corner & 1) != 0 ? 50.0 : -50, (corner & 2) != 0 ? 60.0 : -60,
                     (corner & 4) != 0 ? 55.0 : -55};
    error.mm = std::max(error.mm, Norm(found(at) - truth(at)));
  }
  RigidTransform between;  // the rotation from the one to the other
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      between.rotation[row][column] = Dot(found.rotation[row], truth.rotation[column]);
    }
  }
  error.degrees = between.AngleDegrees();
  return error;
}

void CheckFound(const Scan& fixed, const Scan& moving, double most_mm) {
  const auto found = Register(Draw(fixed, 1), Draw(moving, 2));
  INFO(found.status().ToString());
  REQUIRE(found.ok());
  const Error error = ErrorOf(found->transform, moving.motion);
  INFO("mutual information " << found->mutual_information << ", coefficient " << found->coefficient
                             << ", overlap " << found->overlap << ", halves "
                             << found->disagreement_mm << " mm; error " << error.mm << " mm, "
                             << error.degrees << " degrees");
  CHECK(error.mm < most_mm);
  CHECK(error.degrees < 0.5);
  CHECK(found->disagreement_mm < 1);
  if (std::getenv("CONSILIUM_SAY_FIGURES") != nullptr) {
    std::printf("error %.3f mm %.3f degrees, coefficient %.3f, overlap %.2f, halves %.3f mm\n",
                error.mm, error.degrees, found->coefficient, found->overlap,
                found->disagreement_mm);
  }
}

TEST_CASE("a known motion is found within half a voxel and half a degree") {
  const Grid grid = GridOf({2, 2, 2}, kWholeHead);
  CheckFound({.grid = grid}, {.grid = grid, .motion = Motion({3, -5, 7}, {9, -6, 12})}, 1);
  CheckFound({.grid = grid}, {.grid = grid, .motion = Motion({0, 0, 0}, {0, 0, 0})}, 1);
}

TEST_CASE("a motion is found when the second scan inverts and bends the intensities") {
  const Grid grid = GridOf({2, 2, 2}, kWholeHead);
  const auto inverted = [](double hu) { return 700 - 0.4 * hu; };
  CheckFound({.grid = grid},
             {.grid = grid, .motion = Motion({-6, 4, -3}, {-14, 8, -5}), .scale = inverted}, 1);
  // Bone dark, water bright, as MR shows them beside CT.
  const auto other_contrast = [](double hu) {
    if (hu < -500) return 20.0;
    return hu > 300 ? 60.0 : 400 - 3 * std::clamp(hu, -50.0, 100.0);
  };
  CheckFound({.grid = grid},
             {.grid = grid, .motion = Motion({5, 2, 4}, {6, 10, -8}), .scale = other_contrast}, 1);
}

TEST_CASE("a CT window that cuts off most values does not lose the motion") {
  const Grid grid = GridOf({2, 2, 2}, kWholeHead);
  const auto brain_window = [](double hu) { return std::clamp(hu, 0.0, 80.0); };
  CheckFound({.grid = grid},
             {.grid = grid, .motion = Motion({2, 6, -4}, {4, -9, 7}), .scale = brain_window}, 1);
}

TEST_CASE("a motion is found between an even and an uneven grid, and under noise") {
  const Scan fixed{.grid = GridOf({1.6, 1.6, 6}, kWholeHead), .noise = 60};
  const Scan moving{.grid = GridOf({2.2, 2.2, 3}, kWholeHead, {12, -20, 40}),
                    .motion = Motion({-4, 3, 6}, {16, -17, 35}),
                    .noise = 60};
  CheckFound(fixed, moving, 1.1);
}

TEST_CASE("a table moved by most of the head is found again") {
  const Grid grid = GridOf({2, 2, 3}, kWholeHead);
  CheckFound({.grid = grid},
             {.grid = GridOf({2, 2, 3}, kWholeHead, {0, 0, -700}),
              .motion = Motion({4, 0, -3}, {5, 3, -690})},
             1);
}

TEST_CASE("volumes that have nothing in common are refused, with figures") {
  const Volume head = Draw({.grid = GridOf({4, 4, 4}, kWholeHead)}, 1);
  Volume noise = head;
  SeededRandom random(5);
  for (float& value : noise.voxels) value = static_cast<float>(random.Normal());
  const auto unrelated = Register(head, noise);
  REQUIRE_FALSE(unrelated.ok());
  CHECK(absl::IsFailedPrecondition(unrelated.status()));
  CHECK_THAT(std::string(unrelated.status().message()), ContainsText("say too little"));
  Volume flat = head;
  std::fill(flat.voxels.begin(), flat.voxels.end(), 7.0f);
  CHECK(absl::IsFailedPrecondition(Register(head, flat).status()));
}

TEST_CASE("a small piece of the first volume is not enough") {
  const Volume head = Draw({.grid = GridOf({4, 4, 4}, kWholeHead)}, 1);
  const Volume piece = Draw({.grid = GridOf({4, 4, 4}, {60, 70, 50}, {30, 30, 40})}, 2);
  const auto found = Register(head, piece);
  REQUIRE_FALSE(found.ok());
  CHECK(absl::IsFailedPrecondition(found.status()));
}

TEST_CASE("volumes that are not sound or hardly larger than a voxel are refused") {
  const Volume head = Draw({.grid = GridOf({8, 8, 8}, kWholeHead)}, 1);
  Volume short_of_voxels = head;
  short_of_voxels.voxels.pop_back();
  CHECK(absl::IsInvalidArgument(Register(head, short_of_voxels).status()));
  Volume tiny = Draw({.grid = GridOf({8, 8, 8}, {40, 40, 40})}, 1);
  CHECK(absl::IsInvalidArgument(Register(tiny, head).status()));
}

TEST_CASE("voxels that are not numbers do not spread") {
  const Grid grid = GridOf({4, 4, 4}, kWholeHead);
  Volume holes = Draw({.grid = grid}, 1);
  SeededRandom random(3);
  for (int i = 0; i < 500; ++i) {
    holes.voxels[random.Below(holes.voxels.size())] = std::nanf("");
  }
  const RigidTransform motion = Motion({3, -2, 4}, {5, 6, -7});
  const auto found = Register(holes, Draw({.grid = grid, .motion = motion}, 2));
  REQUIRE(found.ok());
  CHECK(ErrorOf(found->transform, motion).mm < 2);
}

TEST_CASE("the same volumes give the same transform, bit by bit") {
  const Grid grid = GridOf({4, 4, 4}, kWholeHead);
  const Volume a = Draw({.grid = grid}, 1);
  const Volume b = Draw({.grid = grid, .motion = Motion({1, 2, 3}, {4, 5, 6})}, 2);
  const auto first = Register(a, b), second = Register(a, b);
  REQUIRE((first.ok() && second.ok()));
  CHECK(first->transform.rotation == second->transform.rotation);
  CHECK(first->transform.translation_mm == second->transform.translation_mm);
}

TEST_CASE("a transform and its inverse undo each other, and the angle is what was asked for") {
  const RigidTransform t =
      MakeRigidTransform(Vec3{1, 2, 2} * (25 * kRadians / 3), {4, 5, 6}, {10, -20, 30});
  CHECK(t.AngleDegrees() == Approx(25));
  const Vec3 p = {7, -8, 9};
  CHECK(Norm(t.Inverse()(t(p)) - p) < 1e-12);
  CHECK(Norm(t(Vec3{10, -20, 30}) - Vec3{14, -15, 36}) < 1e-12);
}

TEST_CASE("mutual information is that of the intensities: all of itself, nothing of noise") {
  const Volume head = Draw({.grid = GridOf({4, 4, 4}, kWholeHead)}, 1);
  const Similarity self = MutualInformation(head, head, 20000).At({});
  CHECK(self.overlap == Approx(1));
  CHECK(self.coefficient > 0.6);  // the B-spline spreads even what is the same
  Volume noise = head;
  SeededRandom random(9);
  for (float& value : noise.voxels) value = static_cast<float>(random.Normal());
  CHECK(MutualInformation(head, noise, 20000).At({}).coefficient < 0.03);
}

TEST_CASE("averaging keeps the mean and the middle of a volume") {
  const Volume head = Draw({.grid = GridOf({1, 2, 4}, {60, 60, 60})}, 1);
  const Volume coarse = Averaged(head, 4);
  CHECK(coarse.grid.size == std::array<std::uint32_t, 3>{15, 15, 15});
  CHECK(Norm(coarse.grid.ToPatient({7, 7, 7}) - head.grid.ToPatient({29.5, 14.5, 7})) < 1e-9);
  double before = 0, after = 0;
  for (const float v : head.voxels) before += double{v} / static_cast<double>(head.voxels.size());
  for (const float v : coarse.voxels)
    after += double{v} / static_cast<double>(coarse.voxels.size());
  CHECK(after == Approx(before));
}

TEST_CASE("the simplex finds the bottom of a bent valley") {
  const auto rosenbrock = [](const std::vector<double>& p) {
    return 100 * std::pow(p[1] - p[0] * p[0], 2) + std::pow(1 - p[0], 2);
  };
  const Minimum minimum = Minimise(rosenbrock, {-1.2, 1}, {.first_step = 0.5, .tolerance = 1e-5});
  CHECK(minimum.at[0] == Approx(1).margin(1e-3));
  CHECK(minimum.at[1] == Approx(1).margin(1e-3));
}

}  // namespace
}  // namespace consilium::datasets::registration
