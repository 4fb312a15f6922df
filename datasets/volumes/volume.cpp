#include "datasets/volumes/volume.h"

#include <algorithm>
#include <cmath>

#include "common/base/text.h"

namespace consilium::datasets::volumes {
namespace {

// Indices this close to a whole number are that number: rounding in the transforms must not mix a
// neighbour in, nor put the grid's own edge outside.
constexpr double kSnap = 1e-5;

std::optional<Refused> CheckGrids(std::size_t voxels, const Grid& from, const Grid& to) {
  if (!IsSound(from) || voxels != from.VoxelCount()) {
    return Refused{Refusal::kDamaged, "the voxels are not those of the volume's grid"};
  }
  if (IsSound(to)) return std::nullopt;
  const double wanted = double{1} * to.size[0] * to.size[1] * to.size[2];
  if (wanted > double{1} * kMaxVoxels) {
    return Refused{Refusal::kTooLarge, StrCat(wanted / 1e6, " million voxels; at most ",
                                              kMaxVoxels >> 20, " Mi; choose a larger spacing")};
  }
  return Refused{Refusal::kNoGeometry, "a grid to resample to with impossible sizes or spacing"};
}

// One axis of an index: the voxels on both sides and the weight of the second.
struct Tap {
  std::uint32_t low = 0, high = 0;
  float weight = 0;
  bool inside = false;
};

Tap TapAt(double index, std::uint32_t size) {
  Tap tap;
  if (!(index >= -0.5 - kSnap && index <= size - 0.5 + kSnap)) return tap;
  tap.inside = true;
  const double held = std::clamp(index, 0.0, double{1} * size - 1);
  const double whole = std::round(held);
  const double at = std::abs(held - whole) < kSnap ? whole : held;
  tap.low = static_cast<std::uint32_t>(at);
  tap.weight = static_cast<float>(at - tap.low);
  tap.high = tap.weight > 0 ? tap.low + 1 : tap.low;
  return tap;
}

std::int64_t NearestAt(double index, std::uint32_t size) {
  if (!(index >= -0.5 - kSnap && index <= size - 0.5 + kSnap)) return -1;
  // A half goes to the lower voxel, also when rounding noise has lifted it a little.
  return static_cast<std::int64_t>(std::clamp(std::ceil(index - 0.5 - kSnap), 0.0, size - 1.0));
}

// Calls visit(number of the target's voxel, index on the source's grid) for each voxel.
template <class Visit>
void ForEachVoxel(const Grid& from, const Grid& to, const Visit& visit) {
  const PatientToIndex to_index(from);
  const Vec3 step = to_index.Direction(to.directions[0] * to.spacing_mm[0]);
  std::size_t voxel = 0;
  for (std::uint32_t slice = 0; slice < to.size[2]; ++slice) {
    for (std::uint32_t row = 0; row < to.size[1]; ++row) {
      const Vec3 start = to_index(to.ToPatient({0, double{1} * row, double{1} * slice}));
      for (std::uint32_t column = 0; column < to.size[0]; ++column) {
        visit(voxel++, start + step * column);
      }
    }
  }
}

float Linear(const Volume& volume, const Vec3& index, float outside) {
  const Grid& grid = volume.grid;
  const Tap x = TapAt(index[0], grid.size[0]);
  const Tap y = TapAt(index[1], grid.size[1]);
  const Tap z = TapAt(index[2], grid.size[2]);
  if (!x.inside || !y.inside || !z.inside) return outside;
  const auto along_row = [&](std::uint32_t row, std::uint32_t slice) {
    const float low = volume.At(x.low, row, slice);
    if (x.weight == 0) return low;
    return low + x.weight * (volume.At(x.high, row, slice) - low);
  };
  const auto in_plane = [&](std::uint32_t slice) {
    const float low = along_row(y.low, slice);
    return y.weight == 0 ? low : low + y.weight * (along_row(y.high, slice) - low);
  };
  const float low = in_plane(z.low);
  return z.weight == 0 ? low : low + z.weight * (in_plane(z.high) - low);
}

// The number of the voxel around an index, -1 outside.
std::int64_t Nearest(const Grid& grid, const Vec3& index) {
  const std::int64_t column = NearestAt(index[0], grid.size[0]);
  const std::int64_t row = NearestAt(index[1], grid.size[1]);
  const std::int64_t slice = NearestAt(index[2], grid.size[2]);
  if (column < 0 || row < 0 || slice < 0) return -1;
  return (slice * grid.size[1] + row) * grid.size[0] + column;
}

}  // namespace

OrRefused<Volume> Resample(const Volume& volume, const Grid& target, Interpolation interpolation,
                           float outside) {
  if (auto refused = CheckGrids(volume.voxels.size(), volume.grid, target)) return *refused;
  Volume result{target, std::vector<float>(target.VoxelCount()), volume.frame_of_reference};
  ForEachVoxel(volume.grid, target, [&](std::size_t voxel, const Vec3& index) {
    if (interpolation == Interpolation::kLinear) {
      result.voxels[voxel] = Linear(volume, index, outside);
      return;
    }
    const std::int64_t nearest = Nearest(volume.grid, index);
    result.voxels[voxel] = nearest < 0 ? outside : volume.voxels[static_cast<std::size_t>(nearest)];
  });
  return result;
}

OrRefused<std::vector<std::uint8_t>> ResampleMask(const std::vector<std::uint8_t>& mask,
                                                  const Grid& grid, const Grid& target) {
  if (auto refused = CheckGrids(mask.size(), grid, target)) return *refused;
  std::vector<std::uint8_t> result(target.VoxelCount());
  ForEachVoxel(grid, target, [&](std::size_t voxel, const Vec3& index) {
    const std::int64_t nearest = Nearest(grid, index);
    if (nearest >= 0) result[voxel] = mask[static_cast<std::size_t>(nearest)];
  });
  return result;
}

OrRefused<Volume> ResampleOnto(const Volume& moving, const Volume& fixed,
                               Interpolation interpolation, float outside) {
  if (moving.frame_of_reference.empty() || fixed.frame_of_reference.empty()) {
    return Refused{Refusal::kOtherFrameOfReference,
                   "a pair needs the frame of reference of both volumes; one does not say it"};
  }
  if (moving.frame_of_reference != fixed.frame_of_reference) {
    return Refused{Refusal::kOtherFrameOfReference,
                   "the two volumes have different frames of reference: register them first"};
  }
  return Resample(moving, fixed.grid, interpolation, outside);
}

}  // namespace consilium::datasets::volumes
