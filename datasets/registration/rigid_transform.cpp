#include "datasets/registration/rigid_transform.h"

#include <cmath>
#include <numbers>

namespace consilium::datasets::registration {
namespace {

constexpr double kNoAngle = 1e-12;

Vec3 Times(const std::array<Vec3, 3>& rows, const Vec3& v) {
  return {Dot(rows[0], v), Dot(rows[1], v), Dot(rows[2], v)};
}

}  // namespace

Vec3 RigidTransform::operator()(const Vec3& point) const {
  return Times(rotation, point - centre) + centre + translation_mm;
}

RigidTransform RigidTransform::Inverse() const {
  RigidTransform inverse;
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      inverse.rotation[row][column] = rotation[column][row];
    }
  }
  inverse.centre = centre;
  inverse.translation_mm = Times(inverse.rotation, translation_mm) * -1;
  return inverse;
}

double RigidTransform::AngleDegrees() const {
  const Vec3 twice_sine = {rotation[2][1] - rotation[1][2], rotation[0][2] - rotation[2][0],
                           rotation[1][0] - rotation[0][1]};
  const double twice_cosine = rotation[0][0] + rotation[1][1] + rotation[2][2] - 1;
  return std::atan2(Norm(twice_sine), twice_cosine) * 180 / std::numbers::pi;
}

RigidTransform MakeRigidTransform(const Vec3& rotation_radians, const Vec3& translation_mm,
                                  const Vec3& centre) {
  RigidTransform transform;
  transform.translation_mm = translation_mm;
  transform.centre = centre;
  const double angle = Norm(rotation_radians);
  if (angle < kNoAngle) return transform;
  const Vec3 axis = rotation_radians * (1 / angle);
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const std::array<Vec3, 3> cross = {
      {{0, -axis[2], axis[1]}, {axis[2], 0, -axis[0]}, {-axis[1], axis[0], 0}}};
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t column = 0; column < 3; ++column) {
      transform.rotation[row][column] = (row == column ? cosine : 0) + sine * cross[row][column] +
                                        (1 - cosine) * axis[row] * axis[column];
    }
  }
  return transform;
}

}  // namespace consilium::datasets::registration
