#include "datasets/followup/lesions.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "common/base/status.h"

namespace consilium::datasets::followup {
namespace {

using Pixel = std::array<std::uint32_t, 2>;
using Corner = std::array<double, 2>;  // millimetres

double TurnOf(const Corner& o, const Corner& a, const Corner& b) {
  return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

// Andrew's monotone chain (1979): counter-clockwise, without points on its edges.
std::vector<Corner> ConvexHull(std::vector<Corner> points) {
  std::sort(points.begin(), points.end());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  std::vector<Corner> hull;
  for (int side = 0; side < 2; ++side) {
    const std::size_t start = hull.size();
    for (const Corner& point : points) {
      while (hull.size() >= start + 2 && TurnOf(hull[hull.size() - 2], hull.back(), point) <= 0) {
        hull.pop_back();
      }
      hull.push_back(point);
    }
    hull.pop_back();
    std::reverse(points.begin(), points.end());
  }
  return hull;
}

// The middles of the edges of the outermost pixels: where a voxel's share of the mask is a half, so
// that a disc is as wide as it is.
std::vector<Corner> Outline(const std::vector<Pixel>& pixels, const std::array<double, 2>& mm) {
  std::vector<Corner> points;
  for (const auto& [column, row] : pixels) {
    const double x = column * mm[0], y = row * mm[1];
    points.push_back({x - mm[0] / 2, y});
    points.push_back({x + mm[0] / 2, y});
    points.push_back({x, y - mm[1] / 2});
    points.push_back({x, y + mm[1] / 2});
  }
  return ConvexHull(std::move(points));
}

Line LineOf(const Corner& from, const Corner& to, const std::array<double, 2>& mm) {
  return {{from[0] / mm[0], from[1] / mm[1]},
          {to[0] / mm[0], to[1] / mm[1]},
          std::hypot(to[0] - from[0], to[1] - from[1])};
}

// The hull's longest chord across `along`: its length is concave along the axis and bends at
// corners only, so that it is longest at one of them.
Line LongestAcross(const std::vector<Corner>& hull, const Corner& along,
                   const std::array<double, 2>& mm) {
  const auto place = [&](const Corner& p) { return p[0] * along[0] + p[1] * along[1]; };
  const auto height = [&](const Corner& p) { return p[1] * along[0] - p[0] * along[1]; };
  Line best;
  for (const Corner& at : hull) {
    const double cut = place(at);
    Corner low = at, high = at;
    for (std::size_t i = 0; i < hull.size(); ++i) {
      const Corner &a = hull[i], &b = hull[(i + 1) % hull.size()];
      const double from = place(a) - cut, to = place(b) - cut;
      if (from == to || (from < 0) == (to < 0)) continue;
      const double share = from / (from - to);
      const Corner met = {a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])};
      if (height(met) < height(low)) low = met;
      if (height(met) > height(high)) high = met;
    }
    const Line line = LineOf(low, high, mm);
    if (line.length_mm > best.length_mm) best = line;
  }
  return best;
}

std::array<std::uint32_t, 3> PlaceOf(const Grid& grid, std::uint32_t voxel) {
  const auto plane = static_cast<std::uint32_t>(grid.PlaneCount());
  return {voxel % grid.size[0], voxel % plane / grid.size[0], voxel / plane};
}

double VoxelVolume(const Grid& grid) {
  const double skew =
      std::abs(Dot(Cross(grid.directions[0], grid.directions[1]), grid.directions[2]));
  return grid.spacing_mm[0] * grid.spacing_mm[1] * grid.spacing_mm[2] * skew / 1000;
}

// All voxels that hang together with `seed`; takes them out of the mask.
std::vector<std::uint32_t> TakePart(std::uint32_t seed, const Grid& grid,
                                    std::vector<std::uint8_t>* mask) {
  std::vector<std::uint32_t> part = {seed};
  (*mask)[seed] = 0;
  for (std::size_t next = 0; next < part.size(); ++next) {
    const auto at = PlaceOf(grid, part[next]);
    std::array<std::array<std::uint32_t, 2>, 3> range;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      range[axis] = {at[axis] == 0 ? 0 : at[axis] - 1, std::min(at[axis] + 1, grid.size[axis] - 1)};
    }
    for (std::uint32_t k = range[2][0]; k <= range[2][1]; ++k) {
      for (std::uint32_t j = range[1][0]; j <= range[1][1]; ++j) {
        for (std::uint32_t i = range[0][0]; i <= range[0][1]; ++i) {
          const std::uint32_t voxel = (k * grid.size[1] + j) * grid.size[0] + i;
          if ((*mask)[voxel] == 0) continue;
          (*mask)[voxel] = 0;
          part.push_back(voxel);
        }
      }
    }
  }
  std::sort(part.begin(), part.end());
  return part;
}

Lesion Measure(std::vector<std::uint32_t> voxels, const Grid& grid) {
  Lesion lesion;
  lesion.volume_ml = VoxelVolume(grid) * static_cast<double>(voxels.size());
  lesion.low = lesion.high = PlaceOf(grid, voxels.front());
  Vec3 sum = {0, 0, 0};
  std::vector<Pixel> pixels;  // of one slice: voxels rise, so that slices follow each other
  const auto end_slice = [&](std::uint32_t slice) {
    const auto [longest, perpendicular] =
        DiametersOf(pixels, {grid.spacing_mm[0], grid.spacing_mm[1]});
    if (longest.length_mm > lesion.longest.length_mm) {
      lesion.slice = slice;
      lesion.longest = longest;
      lesion.perpendicular = perpendicular;
    }
    pixels.clear();
  };
  std::uint32_t slice = lesion.low[2];
  for (const std::uint32_t voxel : voxels) {
    const auto at = PlaceOf(grid, voxel);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      lesion.low[axis] = std::min(lesion.low[axis], at[axis]);
      lesion.high[axis] = std::max(lesion.high[axis], at[axis]);
      sum[axis] += double{1} * at[axis];
    }
    if (at[2] != slice) end_slice(slice);
    slice = at[2];
    pixels.push_back({at[0], at[1]});
  }
  end_slice(slice);
  lesion.centre = grid.ToPatient(sum * (1 / static_cast<double>(voxels.size())));
  lesion.voxels = std::move(voxels);
  return lesion;
}

void SortBySize(std::vector<Lesion>* lesions) {
  std::stable_sort(lesions->begin(), lesions->end(), [](const Lesion& a, const Lesion& b) {
    return a.voxels.size() != b.voxels.size() ? a.voxels.size() > b.voxels.size()
                                              : a.voxels.front() < b.voxels.front();
  });
}

bool ShareVoxel(const Lesion& a, const Lesion& b) {
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (a.high[axis] < b.low[axis] || b.high[axis] < a.low[axis]) return false;
  }
  return std::any_of(a.voxels.begin(), a.voxels.end(),
                     [&](std::uint32_t voxel) { return b.Holds(voxel); });
}

}  // namespace

bool Lesion::Holds(std::uint32_t voxel) const {
  return std::binary_search(voxels.begin(), voxels.end(), voxel);
}

std::pair<Line, Line> DiametersOf(const std::vector<std::array<std::uint32_t, 2>>& pixels,
                                  const std::array<double, 2>& spacing_mm) {
  CONSILIUM_CHECK(!pixels.empty());
  const std::vector<Corner> hull = Outline(pixels, spacing_mm);
  Corner from = hull[0], to = hull[0];
  double longest = -1;
  for (std::size_t i = 0; i < hull.size(); ++i) {
    for (std::size_t j = i + 1; j < hull.size(); ++j) {
      const double length = std::hypot(hull[j][0] - hull[i][0], hull[j][1] - hull[i][1]);
      if (length <= longest) continue;
      longest = length;
      from = hull[i];
      to = hull[j];
    }
  }
  const Corner along = {(to[0] - from[0]) / longest, (to[1] - from[1]) / longest};
  return {LineOf(from, to, spacing_mm), LongestAcross(hull, along, spacing_mm)};
}

Lesions FindLesions(const targets::Mask& mask, double smallest_ml, int source) {
  CONSILIUM_CHECK(IsSound(mask.grid) && mask.voxels.size() == mask.grid.VoxelCount());
  Lesions found;
  found.grid = mask.grid;
  std::vector<std::uint8_t> left = mask.voxels;
  const double voxel_ml = VoxelVolume(mask.grid);
  for (std::uint32_t voxel = 0; voxel < left.size(); ++voxel) {
    if (left[voxel] == 0) continue;
    std::vector<std::uint32_t> part = TakePart(voxel, mask.grid, &left);
    if (voxel_ml * static_cast<double>(part.size()) < smallest_ml) {
      ++found.specks;
      continue;
    }
    found.lesions.push_back(Measure(std::move(part), mask.grid));
    found.lesions.back().source = source;
  }
  SortBySize(&found.lesions);
  return found;
}

std::uint32_t AddDisjoint(Lesions more, Lesions* to) {
  const std::size_t before = to->lesions.size();
  std::uint32_t left_out = 0;
  for (Lesion& lesion : more.lesions) {
    const bool shares =
        std::any_of(to->lesions.begin(), to->lesions.begin() + static_cast<std::ptrdiff_t>(before),
                    [&](const Lesion& there) { return ShareVoxel(lesion, there); });
    if (shares) {
      ++left_out;
    } else {
      to->lesions.push_back(std::move(lesion));
    }
  }
  to->specks += more.specks;
  SortBySize(&to->lesions);
  return left_out;
}

}  // namespace consilium::datasets::followup
