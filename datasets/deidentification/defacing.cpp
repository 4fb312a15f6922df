#include "datasets/deidentification/defacing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/status.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr double kCoarseMm = 3;  // the head is looked for on a grid of about this spacing
constexpr double kBrowsBelowVertex = 0.47, kDeepest = 0.27;  // of the head's length
constexpr double kShortestHeadMm = 140, kLongestHeadMm = 220;
constexpr double kBackwardsMm = 1;  // of the plane, for each mm downwards
constexpr double kLeastHeadLitres = 0.4;

using Index = std::array<std::size_t, 3>;

Refused CannotBeFound(std::string_view why) {
  return {Refusal::kRecognizableFace, StrCat("it cannot be removed: ", why)};
}

// The volume at every nth voxel, as head or not.
struct CoarseHead {
  Index step{}, size{};
  std::vector<std::uint8_t> inside;

  std::size_t At(const Index& i) const { return (i[2] * size[1] + i[1]) * size[0] + i[0]; }
};

// Patient coordinates relative to the first voxel.
struct Coordinates {
  std::array<double, 3> back{}, up{};  // mm for each step of a column, row, slice

  explicit Coordinates(const HeadVolume& volume) {
    for (int axis = 0; axis < 3; ++axis) {
      back[axis] = volume.spacing_mm[axis] * volume.axes[axis][1];
      up[axis] = volume.spacing_mm[axis] * volume.axes[axis][2];
    }
  }
  static double Dot(const std::array<double, 3>& by, const Index& i) {
    return by[0] * static_cast<double>(i[0]) + by[1] * static_cast<double>(i[1]) +
           by[2] * static_cast<double>(i[2]);
  }
};

// Between air and tissue: a sixth of the way from the darkest to the brightest two percent.
std::int32_t AirThreshold(std::vector<std::int32_t> sample) {
  const auto at = [&](double fraction) {
    const auto nth = sample.begin() +
                     static_cast<std::ptrdiff_t>(fraction * static_cast<double>(sample.size() - 1));
    std::nth_element(sample.begin(), nth, sample.end());
    return static_cast<double>(*nth);
  };
  const double dark = at(0.02), bright = at(0.98);
  return static_cast<std::int32_t>(dark + (bright - dark) / 6);
}

// Keeps the largest part that hangs together by faces of voxels.
void KeepLargestPart(CoarseHead& head) {
  std::vector<std::uint32_t> part(head.inside.size(), 0);
  std::vector<Index> front;
  std::uint32_t parts = 0, largest = 0;
  std::size_t largest_size = 0;
  Index seed{};
  for (seed[2] = 0; seed[2] < head.size[2]; ++seed[2]) {
    for (seed[1] = 0; seed[1] < head.size[1]; ++seed[1]) {
      for (seed[0] = 0; seed[0] < head.size[0]; ++seed[0]) {
        if (!head.inside[head.At(seed)] || part[head.At(seed)] != 0) continue;
        part[head.At(seed)] = ++parts;
        front.assign(1, seed);
        std::size_t size = 0;
        while (!front.empty()) {
          const Index here = front.back();
          front.pop_back();
          ++size;
          for (int axis = 0; axis < 3; ++axis) {
            for (const int by : {-1, 1}) {
              Index next = here;
              next[axis] += static_cast<std::size_t>(by);  // wraps below 0, out of range then
              if (next[axis] >= head.size[axis]) continue;
              const std::size_t at = head.At(next);
              if (!head.inside[at] || part[at] != 0) continue;
              part[at] = parts;
              front.push_back(next);
            }
          }
        }
        if (size > largest_size) {
          largest = parts;
          largest_size = size;
        }
      }
    }
  }
  for (std::size_t i = 0; i < part.size(); ++i) head.inside[i] = part[i] != 0 && part[i] == largest;
}

CoarseHead FindHead(const HeadVolume& volume) {
  const Index full = {volume.columns, volume.rows, volume.slices};
  CoarseHead head;
  for (int axis = 0; axis < 3; ++axis) {
    head.step[axis] =
        std::max<std::size_t>(1, static_cast<std::size_t>(kCoarseMm / volume.spacing_mm[axis]));
    head.size[axis] = (full[axis] + head.step[axis] - 1) / head.step[axis];
  }
  std::vector<std::int32_t> sample;
  sample.reserve(head.size[0] * head.size[1] * head.size[2]);
  for (std::size_t z = 0; z < full[2]; z += head.step[2]) {
    for (std::size_t y = 0; y < full[1]; y += head.step[1]) {
      for (std::size_t x = 0; x < full[0]; x += head.step[0]) {
        sample.push_back(volume.values[(z * full[1] + y) * full[0] + x]);
      }
    }
  }
  const std::int32_t threshold = AirThreshold(sample);
  head.inside.resize(sample.size());
  std::transform(sample.begin(), sample.end(), head.inside.begin(),
                 [&](std::int32_t value) { return value > threshold ? 1 : 0; });
  KeepLargestPart(head);
  return head;
}

// Calls visit(index in the full volume) for each coarse voxel of the head.
template <class Visit>
void ForEachOf(const CoarseHead& head, const Visit& visit) {
  Index i{};
  for (i[2] = 0; i[2] < head.size[2]; ++i[2]) {
    for (i[1] = 0; i[1] < head.size[1]; ++i[1]) {
      for (i[0] = 0; i[0] < head.size[0]; ++i[0]) {
        if (head.inside[head.At(i)]) {
          visit(Index{i[0] * head.step[0], i[1] * head.step[1], i[2] * head.step[2]});
        }
      }
    }
  }
}

struct Range {
  double least = std::numeric_limits<double>::infinity(), most = -least;
  void Add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  double length() const { return most - least; }
};

// How far up the volume reaches.
double TopOf(const HeadVolume& volume, const Coordinates& at) {
  Range up;
  for (int corner = 0; corner < 8; ++corner) {
    up.Add(Coordinates::Dot(at.up,
                            {corner & 1 ? volume.columns - 1 : 0, corner & 2 ? volume.rows - 1 : 0,
                             corner & 4 ? volume.slices - 1 : 0}));
  }
  return up.most;
}

// Of the coarse head between two heights: from forehead to occiput.
Range Extent(const CoarseHead& head, const Coordinates& at, double from, double to) {
  Range back;
  ForEachOf(head, [&](const Index& i) {
    const double up = Coordinates::Dot(at.up, i);
    if (up >= from && up <= to) back.Add(Coordinates::Dot(at.back, i));
  });
  return back;
}

bool IsSound(const HeadVolume& volume) {
  for (int axis = 0; axis < 3; ++axis) {
    const auto& a = volume.axes[axis];
    const double length = std::hypot(a[0], a[1], a[2]);
    if (!(volume.spacing_mm[axis] > 0) || !(std::abs(length - 1) < 0.01)) return false;
  }
  return volume.columns > 1 && volume.rows > 1 && volume.slices > 1 &&
         volume.values.size() == volume.columns * volume.rows * volume.slices;
}

}  // namespace

OrRefused<std::vector<std::uint8_t>> FaceMask(const HeadVolume& volume) {
  if (!IsSound(volume)) return CannotBeFound("the geometry of the series is not known");
  const Coordinates at(volume);
  const CoarseHead head = FindHead(volume);
  Range up;
  std::size_t voxels = 0;
  ForEachOf(head, [&](const Index& i) {
    up.Add(Coordinates::Dot(at.up, i));
    ++voxels;
  });
  double voxel_mm3 = 1;
  for (int axis = 0; axis < 3; ++axis) {
    voxel_mm3 *= volume.spacing_mm[axis] * static_cast<double>(head.step[axis]);
  }
  if (static_cast<double>(voxels) * voxel_mm3 < kLeastHeadLitres * 1e6) {
    return CannotBeFound("there is no head in the volume");
  }
  if (TopOf(volume, at) - up.most < 0.5 * kCoarseMm) {
    return CannotBeFound("the volume ends below the vertex");
  }
  const double length = std::clamp(Extent(head, at, up.most - 80, up.most - 30).length(),
                                   kShortestHeadMm, kLongestHeadMm);
  const double brows = up.most - kBrowsBelowVertex * length;
  const Range forehead = Extent(head, at, brows, brows + 15);
  std::vector<std::uint8_t> mask(volume.values.size(), 0);
  if (forehead.length() < 0) return mask;  // the volume ends above the brows
  std::size_t n = 0;
  Index i{};
  for (i[2] = 0; i[2] < volume.slices; ++i[2]) {
    for (i[1] = 0; i[1] < volume.rows; ++i[1]) {
      for (i[0] = 0; i[0] < volume.columns; ++i[0], ++n) {
        const double below = brows - Coordinates::Dot(at.up, i);
        if (below <= 0) continue;
        const double depth = std::min(below * kBackwardsMm, kDeepest * length);
        mask[n] = Coordinates::Dot(at.back, i) < forehead.least + depth ? 1 : 0;
      }
    }
  }
  return mask;
}

}  // namespace consilium::datasets::deidentification
