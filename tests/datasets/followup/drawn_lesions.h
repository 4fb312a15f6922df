#pragma once

// Masks of drawn lesions.

#include <cmath>
#include <numbers>
#include <vector>

#include "datasets/followup/lesions.h"
#include "datasets/registration/rigid_transform.h"

namespace consilium::datasets::followup {

struct Ball {
  Vec3 centre{};
  double radius_mm = 5;
};

inline Grid TestGrid(const std::array<std::uint32_t, 3>& size = {80, 80, 50},
                     const Vec3& spacing_mm = {1, 1, 2}) {
  Grid grid;
  grid.size = size;
  grid.spacing_mm = spacing_mm;
  return grid;
}

// The voxels whose centre, taken back by `motion`, lies in one of the balls.
inline targets::Mask MaskOf(const std::vector<Ball>& balls, const Grid& grid = TestGrid(),
                            const registration::RigidTransform& motion = {}) {
  targets::Mask mask{grid, {}};
  const registration::RigidTransform back = motion.Inverse();
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < grid.size[0]; ++i) {
        const Vec3 at = back(grid.ToPatient({double{1} * i, double{1} * j, double{1} * k}));
        bool inside = false;
        for (const Ball& ball : balls) inside = inside || Norm(at - ball.centre) <= ball.radius_mm;
        mask.voxels.push_back(inside);
      }
    }
  }
  return mask;
}

}  // namespace consilium::datasets::followup
