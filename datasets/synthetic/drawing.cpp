#include "datasets/synthetic/drawing.h"

#include <algorithm>
#include <cmath>

namespace consilium::datasets::synthetic {

double Smooth(double inside, double softness) {
  const double t = std::clamp(inside / softness, 0.0, 1.0);
  return t * t * (3 - 2 * t);
}

double Ellipsoid::Cover(const Point& at, double edge_mm) const {
  const double u = (at.x - centre.x) / radii.x, v = (at.y - centre.y) / radii.y;
  const double w = (at.z - centre.z) / radii.z;
  const double distance = std::sqrt(u * u + v * v + w * w);
  const double smallest = std::min({radii.x, radii.y, radii.z});
  return Smooth((1 - distance) * smallest + edge_mm / 2, edge_mm);
}

Grain::Grain(std::uint64_t seed, double cell_mm) : cell_mm_(cell_mm) {
  SeededRandom random(seed, "grain");
  for (float& value : values_) value = static_cast<float>(random.Normal());
}

double Grain::At(const Point& at) const {
  const double place[3] = {at.x / cell_mm_, at.y / cell_mm_, at.z / cell_mm_};
  std::uint32_t cell[3][2];
  double share[3];
  for (int axis = 0; axis < 3; ++axis) {
    const double below = std::floor(place[axis]);
    share[axis] = place[axis] - below;
    const auto first = static_cast<std::int64_t>(below);
    cell[axis][0] = static_cast<std::uint32_t>(first) % kSide;
    cell[axis][1] = (cell[axis][0] + 1) % kSide;
  }
  double sum = 0;
  for (int corner = 0; corner < 8; ++corner) {
    const int i = corner & 1, j = corner >> 1 & 1, k = corner >> 2;
    const double weight = (i ? share[0] : 1 - share[0]) * (j ? share[1] : 1 - share[1]) *
                          (k ? share[2] : 1 - share[2]);
    sum += weight * double{values_[(cell[2][k] * kSide + cell[1][j]) * kSide + cell[0][i]]};
  }
  return sum;
}

}  // namespace consilium::datasets::synthetic
