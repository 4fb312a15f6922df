#include "datasets/registration/mutual_information.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace consilium::datasets::registration {
namespace {

constexpr int kBins = MutualInformation::kBins;
// Beside the bins of the moving volume's intensities: the B-spline reaches two bins to each side.
constexpr int kMargin = 2;
constexpr int kMovingBins = kBins + 2 * kMargin;
constexpr double kTail = 0.005;  // of the intensities, on each side
// Of the finest spacing: from this on, places are not between slices.
constexpr double kFinestBetween = 1.5;
constexpr std::size_t kFineBins = 1024;
constexpr std::size_t kMostValues = 1 << 18;  // that percentiles are taken of

// Trilinear; nothing beyond the centres of the outermost voxels, but for half a voxel where an axis
// has but one.
std::optional<double> ValueAt(const Volume& volume, const Vec3& index) {
  std::array<std::size_t, 3> low{};
  std::array<double, 3> share{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double last = double{1} * volume.grid.size[axis] - 1;
    const double slack = last == 0 ? 0.5 : 0;
    if (!(index[axis] >= -slack && index[axis] <= last + slack)) return std::nullopt;
    const double held = std::clamp(index[axis], 0.0, last);
    low[axis] =
        std::min(static_cast<std::size_t>(held), static_cast<std::size_t>(std::max(0.0, last - 1)));
    share[axis] = held - static_cast<double>(low[axis]);
  }
  const std::size_t row = volume.grid.size[0], plane = volume.grid.PlaneCount();
  const float* at = volume.voxels.data() + low[2] * plane + low[1] * row + low[0];
  const std::size_t right = volume.grid.size[0] > 1 ? 1 : 0;
  const std::size_t down = volume.grid.size[1] > 1 ? row : 0;
  const std::size_t up = volume.grid.size[2] > 1 ? plane : 0;
  const auto mix = [](double a, double b, double w) { return a + w * (b - a); };
  const auto in_plane = [&](const float* p) {
    return mix(mix(double{p[0]}, double{p[right]}, share[0]),
               mix(double{p[down]}, double{p[down + right]}, share[0]), share[1]);
  };
  return mix(in_plane(at), in_plane(at + up), share[2]);
}

// The cubic B-spline's weights of the four bins around a place whose share above a bin is `t`.
std::array<double, 4> SplineWeights(double t) {
  const double u = 1 - t;
  return {u * u * u / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * u * u + 3 * u * u * u) / 6,
          t * t * t / 6};
}

double Entropy(const double* mass, int count, double total) {
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    if (mass[i] > 0) sum -= mass[i] / total * std::log(mass[i] / total);
  }
  return sum;
}

double Fraction(double x) { return x - std::floor(x); }

std::uint32_t BlockOf(double spacing_mm, double wanted_mm, std::uint32_t size) {
  const double block = std::clamp(std::floor(wanted_mm / spacing_mm + 1e-6), 1.0, double{1} * size);
  return static_cast<std::uint32_t>(block);
}

}  // namespace

Volume Averaged(const Volume& volume, double spacing_mm) {
  const volumes::Grid& from = volume.grid;
  Volume result;
  result.frame_of_reference = volume.frame_of_reference;
  result.grid = from;
  std::array<std::uint32_t, 3> block{};
  Vec3 first{};  // the centre of the first block
  for (std::size_t axis = 0; axis < 3; ++axis) {
    block[axis] = BlockOf(from.spacing_mm[axis], spacing_mm, from.size[axis]);
    result.grid.size[axis] = from.size[axis] / block[axis];
    result.grid.spacing_mm[axis] = from.spacing_mm[axis] * block[axis];
    first[axis] = (double{1} * block[axis] - 1) / 2;
  }
  result.grid.origin = from.ToPatient(first);
  float lowest = 0;
  bool any = false;
  for (const float value : volume.voxels) {
    if (!std::isfinite(value)) continue;
    lowest = any ? std::min(lowest, value) : value;
    any = true;
  }
  std::vector<double> sums(result.grid.VoxelCount());
  const auto& size = result.grid.size;
  for (std::size_t k = 0; k < std::size_t{size[2]} * block[2]; ++k) {
    for (std::size_t j = 0; j < std::size_t{size[1]} * block[1]; ++j) {
      double* out = sums.data() + (k / block[2] * size[1] + j / block[1]) * size[0];
      const float* in = volume.voxels.data() + (k * from.size[1] + j) * from.size[0];
      for (std::size_t i = 0; i < size[0]; ++i) {
        for (std::uint32_t b = 0; b < block[0]; ++b, ++in) {
          out[i] += double{std::isfinite(*in) ? *in : lowest};
        }
      }
    }
  }
  const double share = 1.0 / (double{1} * block[0] * block[1] * block[2]);
  result.voxels.reserve(sums.size());
  for (const double sum : sums) result.voxels.push_back(static_cast<float>(sum * share));
  return result;
}

Volume Smoothed(const Volume& volume, double spacing_mm) {
  Volume result = volume;
  const auto& size = volume.grid.size;
  const std::array<std::size_t, 3> stride = {1, size[0], volume.grid.PlaneCount()};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (volume.grid.spacing_mm[axis] > spacing_mm || size[axis] < 3) continue;
    const std::size_t across = axis == 0 ? 1 : 0, along = axis == 2 ? 1 : 2;
    for (std::size_t b = 0; b < size[along]; ++b) {
      for (std::size_t a = 0; a < size[across]; ++a) {
        float* at = result.voxels.data() + b * stride[along] + a * stride[across];
        float before = *at;
        for (std::size_t i = 0; i < size[axis]; ++i, at += stride[axis]) {
          const float here = *at, after = i + 1 < size[axis] ? at[stride[axis]] : here;
          *at = (before + 2 * here + after) / 4;
          before = here;
        }
      }
    }
  }
  return result;
}

IntensityScale::IntensityScale(const Volume& volume) {
  const std::size_t step = volume.voxels.size() / kMostValues + 1;
  std::vector<float> values;
  for (std::size_t i = 0; i < volume.voxels.size(); i += step) {
    if (std::isfinite(volume.voxels[i])) values.push_back(volume.voxels[i]);
  }
  const auto at = [&](double share) {
    const auto place = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), values.begin() + place, values.end());
    return double{values[static_cast<std::size_t>(place)]};
  };
  if (!values.empty()) {
    low_ = at(kTail);
    high_ = at(1 - kTail);
    if (!(high_ > low_)) {  // nearly all alike: whatever there is
      low_ = at(0);
      high_ = at(1);
    }
  }
  if (!(high_ > low_)) high_ = low_ + 1;
  std::vector<double> counts(kFineBins);
  for (const float value : values) {
    const double bin = (double{value} - low_) / (high_ - low_) * kFineBins;
    if (bin >= 0 && bin < kFineBins) ++counts[static_cast<std::size_t>(bin)];
  }
  places_ = {0};
  for (const double count : counts) places_.push_back(places_.back() + std::sqrt(count));
  const double all = places_.back();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    places_[i] = all > 0 ? places_[i] / all : static_cast<double>(i) / kFineBins;
  }
}

double IntensityScale::Place(double value) const {
  const double fine = std::clamp((value - low_) / (high_ - low_), 0.0, 1.0) * kFineBins;
  const std::size_t below = std::min(static_cast<std::size_t>(fine), kFineBins - 1);
  const double share = fine - static_cast<double>(below);
  return places_[below] + share * (places_[below + 1] - places_[below]);
}

MutualInformation::MutualInformation(const Volume& fixed, const Volume& moving,
                                     std::uint32_t samples, std::uint32_t first,
                                     std::uint32_t stride)
    : moving_(moving), to_index_(moving.grid), scale_(moving) {
  const IntensityScale scale(fixed);
  // Powers of 1 / 1.2207..., the only real root of x^4 = x + 1.
  constexpr double kRoot = 1.22074408460575947536;
  constexpr std::array<double, 3> kStep = {1 / kRoot, 1 / (kRoot * kRoot),
                                           1 / (kRoot * kRoot * kRoot)};
  const auto& spacing = fixed.grid.spacing_mm;
  const double finest = std::min({spacing[0], spacing[1], spacing[2]});
  samples_.reserve(samples);
  for (std::uint32_t n = 0; n < samples; ++n) {
    const double number = double{1} * first + double{1} * stride * n;
    Vec3 index{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      index[axis] = Fraction(0.5 + number * kStep[axis]) * (double{1} * fixed.grid.size[axis] - 1);
    }
    // Between slices that lie far apart, interpolated values are those of no place.
    for (std::size_t axis = 0; axis < 3; ++axis) {
      if (fixed.grid.spacing_mm[axis] > kFinestBetween * finest)
        index[axis] = std::round(index[axis]);
    }
    const auto value = ValueAt(fixed, index);
    if (!value) continue;
    samples_.push_back({fixed.grid.ToPatient(index),
                        static_cast<int>(std::lround(scale.Place(*value) * (kBins - 1)))});
  }
}

Similarity MutualInformation::At(const RigidTransform& transform) const {
  std::array<double, std::size_t{kBins} * kMovingBins> joint{};
  std::array<double, kBins> of_fixed{};
  std::uint32_t inside = 0;
  for (const Sample& sample : samples_) {
    const auto value = ValueAt(moving_, to_index_(transform(sample.point)));
    if (!value) continue;
    ++inside;
    const double bin = scale_.Place(*value) * (kBins - 1);
    const int low = static_cast<int>(bin);
    const auto weights = SplineWeights(bin - low);
    double* row = joint.data() + sample.bin * kMovingBins + kMargin + low - 1;
    for (std::size_t i = 0; i < weights.size(); ++i) row[i] += weights[i];
    of_fixed[static_cast<std::size_t>(sample.bin)] += 1;
  }
  Similarity result;
  if (inside == 0) return result;
  result.overlap = static_cast<double>(inside) / static_cast<double>(samples_.size());
  std::array<double, kMovingBins> of_moving{};
  for (std::size_t i = 0; i < joint.size(); ++i) of_moving[i % kMovingBins] += joint[i];
  const double total = inside;
  const double fixed_entropy = Entropy(of_fixed.data(), kBins, total);
  const double moving_entropy = Entropy(of_moving.data(), kMovingBins, total);
  const double joint_entropy = Entropy(joint.data(), static_cast<int>(joint.size()), total);
  result.mutual_information = fixed_entropy + moving_entropy - joint_entropy;
  const double lesser = std::min(fixed_entropy, moving_entropy);
  result.coefficient = lesser > 0 ? result.mutual_information / lesser : 0;
  return result;
}

}  // namespace consilium::datasets::registration
