#pragma once

// Contours to voxels. Pure and thread-safe.

#include <vector>

#include "datasets/refusal.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::targets {

// A closed polygon in the patient's coordinates; the last point joins the first.
using Contour = std::vector<volumes::Vec3>;

// The voxels whose centres lie within an odd number of a plane's contours, so that a contour inside
// another one is a hole. A plane goes to the slice it is nearest to, at most half a spacing away;
// where several planes are nearest to one slice, the closest one counts. kOutsideVolume for
// contours beside the volume or across its slices, kDamaged for fewer than three points.
OrRefused<Mask> FillContours(const std::vector<Contour>& contours, const volumes::Grid& grid);

}  // namespace consilium::datasets::targets
