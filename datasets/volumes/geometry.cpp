#include "datasets/volumes/geometry.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace consilium::datasets::volumes {
namespace {

constexpr double kRightAngleTolerance = 1e-4;  // radians

double Determinant(const Grid& grid) {
  return Dot(Cross(grid.directions[0], grid.directions[1]), grid.directions[2]);
}

// How far the grid reaches from its origin along a direction: the lowest and highest projection of
// the centres of its corner voxels.
std::pair<double, double> Reach(const Grid& grid, const Vec3& direction) {
  double low = 0, high = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    const double end =
        Dot(grid.directions[a], direction) * grid.spacing_mm[a] * (double{1} * grid.size[a] - 1);
    low += std::min(0.0, end);
    high += std::max(0.0, end);
  }
  return {low, high};
}

// Rows, columns and normal, perpendicular to each other.
std::array<Vec3, 3> StraightDirections(const Grid& grid) {
  const Vec3 normal = grid.Normal();
  return {grid.directions[0], Cross(normal, grid.directions[0]), normal};
}

std::uint32_t ToSize(double count) {
  return static_cast<std::uint32_t>(
      std::clamp(count, 1.0, double{std::numeric_limits<std::uint32_t>::max()}));
}

}  // namespace

Vec3 operator+(const Vec3& a, const Vec3& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Vec3 operator-(const Vec3& a, const Vec3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
Vec3 operator*(const Vec3& a, double f) { return {a[0] * f, a[1] * f, a[2] * f}; }
double Dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
double Norm(const Vec3& a) { return std::sqrt(Dot(a, a)); }

Vec3 Cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

bool IsFinite(const Vec3& a) {
  return std::isfinite(a[0]) && std::isfinite(a[1]) && std::isfinite(a[2]);
}

double AngleDegrees(const Vec3& a, const Vec3& b) {
  // Unlike the arc cosine, exact also for small angles.
  return std::atan2(Norm(Cross(a, b)), Dot(a, b)) * 180 / std::numbers::pi;
}

Vec3 Grid::ToPatient(const Vec3& index) const {
  return origin + directions[0] * (spacing_mm[0] * index[0]) +
         directions[1] * (spacing_mm[1] * index[1]) + directions[2] * (spacing_mm[2] * index[2]);
}

Vec3 Grid::Normal() const {
  const Vec3 normal = Cross(directions[0], directions[1]);
  return normal * (1 / Norm(normal));
}

double Grid::TiltDegrees() const {
  const double angle = AngleDegrees(Normal(), directions[2]);
  return std::min(angle, 180 - angle);  // left-handed grids are stacked against the normal
}

bool Grid::IsOrthogonal() const {
  return std::abs(Dot(directions[0], directions[1])) < kRightAngleTolerance &&
         std::abs(Dot(directions[0], directions[2])) < kRightAngleTolerance &&
         std::abs(Dot(directions[1], directions[2])) < kRightAngleTolerance;
}

bool IsSound(const Grid& grid) {
  std::size_t voxels = 1;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (grid.size[axis] == 0 || grid.size[axis] > kMaxVoxels / voxels) return false;
    voxels *= grid.size[axis];
    const double spacing = grid.spacing_mm[axis];
    if (!std::isfinite(spacing) || spacing <= 0) return false;
    if (!IsFinite(grid.directions[axis])) return false;
    if (std::abs(Norm(grid.directions[axis]) - 1) > 1e-6) return false;
  }
  return IsFinite(grid.origin) && std::abs(Determinant(grid)) > 1e-3;
}

PatientToIndex::PatientToIndex(const Grid& grid) : origin_(grid.origin) {
  const double determinant = Determinant(grid);
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const Vec3 across = Cross(grid.directions[(axis + 1) % 3], grid.directions[(axis + 2) % 3]);
    rows_[axis] = across * (1 / (determinant * grid.spacing_mm[axis]));
  }
}

Vec3 PatientToIndex::operator()(const Vec3& point) const { return Direction(point - origin_); }

Vec3 PatientToIndex::Direction(const Vec3& vector) const {
  return {Dot(rows_[0], vector), Dot(rows_[1], vector), Dot(rows_[2], vector)};
}

double LargestDistance(const Grid& a, const Grid& b) {
  if (a.size != b.size) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (unsigned corner = 0; corner < 8; ++corner) {
    Vec3 index = {0, 0, 0};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      if ((corner >> axis & 1) != 0) index[axis] = double{1} * a.size[axis] - 1;
    }
    largest = std::max(largest, Norm(a.ToPatient(index) - b.ToPatient(index)));
  }
  return largest;
}

Grid StraightGrid(const Grid& grid) {
  Grid straight = grid;
  straight.directions = StraightDirections(grid);
  if (Determinant(grid) < 0) straight.directions[2] = straight.directions[2] * -1;
  straight.spacing_mm[2] = grid.spacing_mm[2] * Dot(grid.directions[2], straight.directions[2]);
  straight.origin = grid.origin;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const auto [low, high] = Reach(grid, straight.directions[axis]);
    const double spacing = grid.spacing_mm[axis];
    // Whole voxels, so that the first slice stays where it was and is not interpolated at all.
    const double before = std::floor(low / spacing + 1e-3);
    const double after = std::ceil(high / spacing - 1e-3);
    straight.size[axis] = ToSize(after - before + 1);
    straight.origin = straight.origin + straight.directions[axis] * (spacing * before);
  }
  return straight;
}

Grid IsotropicGrid(const Grid& grid, double spacing_mm) {
  Grid isotropic;
  isotropic.directions = grid.directions;
  if (!grid.IsOrthogonal()) {
    isotropic.directions = StraightDirections(grid);
    if (Determinant(grid) < 0) isotropic.directions[2] = isotropic.directions[2] * -1;
  }
  isotropic.spacing_mm = {spacing_mm, spacing_mm, spacing_mm};
  isotropic.origin = grid.origin;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const Vec3& direction = isotropic.directions[axis];
    const auto [low, high] = Reach(grid, direction);
    const double extent =
        high - low + grid.spacing_mm[axis] * Dot(grid.directions[axis], direction);
    isotropic.size[axis] = ToSize(std::ceil(extent / spacing_mm - 1e-3));
    const double first = (low + high) / 2 - spacing_mm * (double{1} * isotropic.size[axis] - 1) / 2;
    isotropic.origin = isotropic.origin + direction * first;
  }
  return isotropic;
}

Grid ReversedSlices(const Grid& grid) {
  Grid reversed = grid;
  reversed.origin = grid.ToPatient({0, 0, double{1} * grid.size[2] - 1});
  reversed.directions[2] = grid.directions[2] * -1;
  return reversed;
}

}  // namespace consilium::datasets::volumes
