#include "datasets/targets/contour_fill.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/text.h"

namespace consilium::datasets::targets {
namespace {

using volumes::Grid;
using volumes::Vec3;

constexpr double kAcrossSlices = 0.25;  // of a spacing: how far a contour may leave its plane
constexpr double kSamePlane = 1e-3;     // of a spacing
constexpr double kOnEdge = 1e-4;
constexpr double kSnap = 1e-5;  // rounding must not move an edge off the voxels' centres

// A contour in the volume's indices.
struct Polygon {
  std::vector<std::array<double, 2>> points;  // column, row
  double plane = 0;                           // slice
};

double Snapped(double index) {
  const double whole = std::round(index);
  return std::abs(index - whole) < kSnap ? whole : index;
}

OrRefused<Polygon> ToPolygon(const Contour& contour, const Grid& grid,
                             const volumes::PatientToIndex& to_index) {
  if (contour.size() < 3) {
    return Refused{Refusal::kDamaged, StrCat("a contour of ", contour.size(), " points")};
  }
  Polygon polygon;
  double least = HUGE_VAL, most = -HUGE_VAL;
  for (const Vec3& point : contour) {
    const Vec3 index = to_index(point);
    for (std::size_t axis = 0; axis < 2; ++axis) {
      if (!(index[axis] >= -0.5 - kOnEdge && index[axis] <= grid.size[axis] - 0.5 + kOnEdge)) {
        return Refused{Refusal::kOutsideVolume, "a contour reaches beside the volume"};
      }
    }
    polygon.points.push_back({Snapped(index[0]), Snapped(index[1])});
    least = std::min(least, index[2]);
    most = std::max(most, index[2]);
    polygon.plane += index[2] / static_cast<double>(contour.size());
  }
  if (!(most - least <= kAcrossSlices)) {
    return Refused{Refusal::kOutsideVolume, "a contour is not parallel to the volume's slices"};
  }
  if (!(polygon.plane >= -0.5 - kOnEdge && polygon.plane <= grid.size[2] - 0.5 + kOnEdge)) {
    return Refused{Refusal::kOutsideVolume, "a contour lies on no slice of the volume"};
  }
  return polygon;
}

// Flips the voxels inside, row by row, between where the row's line enters and leaves. Lower ends
// of edges count and upper ones do not, so that a voxel's centre on an edge belongs to one side.
void Flip(const Polygon& polygon, const Grid& grid, std::uint8_t* slice) {
  std::vector<double> crossings;
  for (std::uint32_t row = 0; row < grid.size[1]; ++row) {
    const double y = row;
    crossings.clear();
    for (std::size_t i = 0; i < polygon.points.size(); ++i) {
      const auto& a = polygon.points[i];
      const auto& b = polygon.points[(i + 1) % polygon.points.size()];
      if ((a[1] <= y) == (b[1] <= y)) continue;
      crossings.push_back(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
    }
    std::sort(crossings.begin(), crossings.end());
    for (std::size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const auto first = static_cast<std::int64_t>(std::max(0.0, std::ceil(crossings[i])));
      const auto end = static_cast<std::int64_t>(
          std::min(double{1} * grid.size[0], std::ceil(crossings[i + 1])));
      for (std::int64_t column = first; column < end; ++column) {
        slice[std::size_t{row} * grid.size[0] + static_cast<std::size_t>(column)] ^= 1;
      }
    }
  }
}

}  // namespace

OrRefused<Mask> FillContours(const std::vector<Contour>& contours, const Grid& grid) {
  if (!IsSound(grid)) return Refused{Refusal::kNoGeometry, "the volume's grid is impossible"};
  const volumes::PatientToIndex to_index(grid);
  std::map<std::uint32_t, std::vector<Polygon>> by_slice;
  for (const Contour& contour : contours) {
    OrRefused<Polygon> polygon = ToPolygon(contour, grid, to_index);
    if (!polygon.ok()) return polygon.refused();
    const double slice = std::clamp(std::round(polygon->plane), 0.0, grid.size[2] - 1.0);
    by_slice[static_cast<std::uint32_t>(slice)].push_back(std::move(*polygon));
  }
  Mask mask{grid, std::vector<std::uint8_t>(grid.VoxelCount())};
  for (const auto& [slice, polygons] : by_slice) {
    const auto away = [k = double{1} * slice](const Polygon& p) { return std::abs(p.plane - k); };
    const Polygon& nearest =
        *std::min_element(polygons.begin(), polygons.end(),
                          [&](const Polygon& a, const Polygon& b) { return away(a) < away(b); });
    for (const Polygon& polygon : polygons) {
      if (std::abs(polygon.plane - nearest.plane) > kSamePlane) continue;
      Flip(polygon, grid, mask.voxels.data() + slice * grid.PlaneCount());
    }
  }
  return mask;
}

}  // namespace consilium::datasets::targets
