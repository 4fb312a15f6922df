#pragma once

// What all phantoms are drawn with.

#include <array>
#include <cstdint>
#include <vector>

#include "common/base/random.h"

namespace consilium::datasets::synthetic {

// In the patient's coordinates, millimetres: to the left, to the back, to the head (LPS).
struct Point {
  double x = 0, y = 0, z = 0;
};

// 0 at 0 and below, 1 at `softness` and above, smooth between.
double Smooth(double inside, double softness);

// An ellipsoid along the axes, or an ellipse where z does not count.
struct Ellipsoid {
  Point centre;
  Point radii = {1, 1, 1};
  // 1 inside, 0 outside, smooth over about `edge_mm` at the surface.
  double Cover(const Point& at, double edge_mm = 2) const;
};

// Smooth noise of deviation about 1 without end: normal numbers on a grid, interpolated.
class Grain {
 public:
  Grain(std::uint64_t seed, double cell_mm);
  double At(const Point& at) const;

 private:
  static constexpr std::uint32_t kSide = 16;  // repeats after so many cells
  std::array<float, kSide * kSide * kSide> values_;
  double cell_mm_;
};

}  // namespace consilium::datasets::synthetic
