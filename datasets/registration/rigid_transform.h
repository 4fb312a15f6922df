#pragma once

// Motions of a rigid body in the patient's coordinate system (LPS, millimetres). Pure values.

#include <array>

#include "datasets/volumes/geometry.h"

namespace consilium::datasets::registration {

using volumes::Vec3;

// A point p goes to rotation * (p - centre) + centre + translation_mm.
struct RigidTransform {
  std::array<Vec3, 3> rotation = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};  // row by row
  Vec3 translation_mm = {0, 0, 0};
  Vec3 centre = {0, 0, 0};

  Vec3 operator()(const Vec3& point) const;
  RigidTransform Inverse() const;
  double AngleDegrees() const;  // of the rotation about its own axis, 0 to 180
};

// `rotation_radians`: the axis of the rotation, as long as the angle (Rodrigues).
RigidTransform MakeRigidTransform(const Vec3& rotation_radians, const Vec3& translation_mm,
                                  const Vec3& centre);

}  // namespace consilium::datasets::registration
