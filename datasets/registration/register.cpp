#include "datasets/registration/register.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/str_format.h"
#include "datasets/registration/mutual_information.h"
#include "datasets/registration/nelder_mead.h"

namespace consilium::datasets::registration {
namespace {

using volumes::Grid;

struct Level {
  double spacing_mm;
  std::uint32_t samples;
  double first_step_mm, tolerance_mm;
};
constexpr Level kLevels[] = {
    {8, 6000, 8, 0.4}, {4, 20000, 3, 0.1}, {kFinestSpacing_mm, 40000, 1, 0.02}};
constexpr int kMostEvaluations = 1500;  // a level

// Starts: along the normal, and across.
constexpr double kNormalReach_mm = 160, kNormalStep_mm = 16, kAcross_mm = 24;
constexpr std::size_t kStartsTried = 4;
constexpr std::uint32_t kFewestAlong = 8;

// Six numbers of one scale: 1 is about a millimetre, also of the rotations.
class Parameters {
 public:
  explicit Parameters(const Grid& fixed) {
    Vec3 middle{};
    double squares = 0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      middle[axis] = (double{1} * fixed.size[axis] - 1) / 2;
      squares += std::pow(middle[axis] * fixed.spacing_mm[axis], 2);
    }
    centre_ = fixed.ToPatient(middle);
    radius_mm_ = std::max(10.0, std::sqrt(squares / 3));
  }

  RigidTransform Transform(const std::vector<double>& p) const {
    const double turn = 1 / radius_mm_;
    return MakeRigidTransform({p[3] * turn, p[4] * turn, p[5] * turn}, {p[0], p[1], p[2]}, centre_);
  }
  const Vec3& centre() const { return centre_; }

 private:
  Vec3 centre_;
  double radius_mm_ = 1;
};

Vec3 CentreOf(const Grid& grid) {
  return grid.ToPatient({(double{1} * grid.size[0] - 1) / 2, (double{1} * grid.size[1] - 1) / 2,
                         (double{1} * grid.size[2] - 1) / 2});
}

Volume Seen(const Volume& volume, const Level& level) {
  return Smoothed(Averaged(volume, level.spacing_mm), 1.5 * level.spacing_mm);
}

// Where the bright voxels are, about.
Vec3 CentreOfBrightness(const Volume& volume) {
  const IntensityScale scale(volume);
  Vec3 sum = {0, 0, 0};
  double weights = 0;
  std::size_t voxel = 0;
  for (std::uint32_t k = 0; k < volume.grid.size[2]; ++k) {
    for (std::uint32_t j = 0; j < volume.grid.size[1]; ++j) {
      for (std::uint32_t i = 0; i < volume.grid.size[0]; ++i, ++voxel) {
        const double weight =
            std::clamp(double{volume.voxels[voxel]}, scale.low(), scale.high()) - scale.low();
        sum = sum + Vec3{double{1} * i, double{1} * j, double{1} * k} * weight;
        weights += weight;
      }
    }
  }
  return weights > 0 ? volume.grid.ToPatient(sum * (1 / weights)) : CentreOf(volume.grid);
}

class Search {
 public:
  Search(const Volume& fixed, const Volume& moving, double least_overlap)
      : fixed_(fixed), moving_(moving), parameters_(fixed.grid), least_overlap_(least_overlap) {}

  Registration Run() {
    std::vector<double> best;
    for (const Level& level : kLevels) {
      const Volume fixed = Seen(fixed_, level), moving = Seen(moving_, level);
      const MutualInformation all(fixed, moving, level.samples);
      if (best.empty()) {
        best = BestOf(Starts(fixed, moving, all), all, level);
      } else {
        best = Improve(best, all, level).at;
      }
      if (&level != std::end(kLevels) - 1) continue;
      const Similarity similarity = all.At(parameters_.Transform(best));
      return {parameters_.Transform(best), similarity.mutual_information, similarity.coefficient,
              similarity.overlap, Disagreement(best, fixed, moving, level)};
    }
    return {};
  }

 private:
  // What is minimised. Where the volumes hardly overlap, few voxels can say much of each other by
  // chance: that is no alignment.
  double Cost(const MutualInformation& metric, const std::vector<double>& p) const {
    const Similarity similarity = metric.At(parameters_.Transform(p));
    return similarity.overlap < least_overlap_ ? 0 : -similarity.mutual_information;
  }

  Minimum Improve(const std::vector<double>& start, const MutualInformation& metric,
                  const Level& level) const {
    return Minimise([&](const std::vector<double>& p) { return Cost(metric, p); }, start,
                    {.first_step = level.first_step_mm,
                     .tolerance = level.tolerance_mm,
                     .most_evaluations = kMostEvaluations});
  }

  // The best shifts of a coarse grid of them about three guesses: nobody moved, middle on middle,
  // bright on bright.
  std::vector<std::vector<double>> Starts(const Volume& fixed, const Volume& moving,
                                          const MutualInformation& metric) const {
    const Vec3 guesses[] = {{0, 0, 0},
                            CentreOf(moving.grid) - CentreOf(fixed.grid),
                            CentreOfBrightness(moving) - CentreOfBrightness(fixed)};
    const auto& [right, down, along] = fixed.grid.directions;
    std::vector<std::pair<double, std::vector<double>>> tried;
    for (const Vec3& guess : guesses) {
      for (double z = -kNormalReach_mm; z <= kNormalReach_mm; z += kNormalStep_mm) {
        for (int across = 0; across < 9; ++across) {
          const Vec3 shift = guess + along * z + right * (kAcross_mm * (across % 3 - 1)) +
                             down * (kAcross_mm * (across / 3 - 1));
          std::vector<double> p = {shift[0], shift[1], shift[2], 0, 0, 0};
          tried.emplace_back(Cost(metric, p), std::move(p));
        }
      }
    }
    std::stable_sort(tried.begin(), tried.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::vector<double>> starts;
    for (auto& [cost, p] : tried) {
      const bool near_another = std::any_of(starts.begin(), starts.end(), [&](const auto& other) {
        return Norm(Vec3{p[0] - other[0], p[1] - other[1], p[2] - other[2]}) < kNormalStep_mm;
      });
      if (!near_another) starts.push_back(std::move(p));
      if (starts.size() == kStartsTried) break;
    }
    return starts;
  }

  std::vector<double> BestOf(const std::vector<std::vector<double>>& starts,
                             const MutualInformation& metric, const Level& level) const {
    Minimum best;
    for (const auto& start : starts) {
      Minimum found = Improve(start, metric, level);
      if (best.at.empty() || found.value < best.value) best = std::move(found);
    }
    return best.at;
  }

  double Disagreement(const std::vector<double>& best, const Volume& fixed, const Volume& moving,
                      const Level& level) const {
    const auto of_half = [&](std::uint32_t first) {
      const MutualInformation half(fixed, moving, level.samples / 2, first, 2);
      return parameters_.Transform(Improve(best, half, level).at);
    };
    const RigidTransform even = of_half(0), odd = of_half(1);
    double largest = 0;
    for (unsigned corner = 0; corner < 8; ++corner) {
      Vec3 index{};
      for (std::size_t axis = 0; axis < 3; ++axis) {
        const double share = (corner >> axis & 1) != 0 ? 0.75 : 0.25;
        index[axis] = share * (double{1} * fixed.grid.size[axis] - 1);
      }
      const Vec3 point = fixed.grid.ToPatient(index);
      largest = std::max(largest, Norm(even(point) - odd(point)));
    }
    return largest;
  }

  const Volume& fixed_;
  const Volume& moving_;
  const Parameters parameters_;
  const double least_overlap_;
};

absl::Status CheckVolume(const Volume& volume) {
  const Grid& grid = volume.grid;
  if (!IsSound(grid) || volume.voxels.size() != grid.VoxelCount()) {
    return absl::InvalidArgumentError("a volume does not hold what its grid says");
  }
  const auto long_axes = std::count_if(grid.size.begin(), grid.size.end(),
                                       [](std::uint32_t n) { return n >= kFewestAlong; });
  if (long_axes < 2) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a volume of %ux%ux%u voxels is too small to be registered", grid.size[0],
                        grid.size[1], grid.size[2]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Registration> Register(const Volume& fixed, const Volume& moving,
                                      const RegistrationLimits& limits) {
  for (const Volume* volume : {&fixed, &moving}) {
    if (absl::Status status = CheckVolume(*volume); !status.ok()) return status;
  }
  const Registration found = Search(fixed, moving, limits.least_overlap).Run();
  if (found.overlap < limits.least_overlap) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the volumes share %.0f %% of the first one's extent; at least %.0f %% are needed",
        100 * found.overlap, 100 * limits.least_overlap));
  }
  if (found.coefficient < limits.least_coefficient) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the volumes say too little of each other: %.3f of the information that one of them has, "
        "where %.3f are needed; are they of the same part of the same patient?",
        found.coefficient, limits.least_coefficient));
  }
  double most = limits.most_disagreement_mm;
  if (most <= 0) {
    most = 3;
    for (const double spacing : fixed.grid.spacing_mm) most = std::max(most, spacing);
  }
  if (found.disagreement_mm > most) {
    return absl::FailedPreconditionError(
        absl::StrFormat("two halves of the volumes' samples disagree by %.1f mm on how the patient "
                        "lay; at most %.1f mm are accepted",
                        found.disagreement_mm, most));
  }
  return found;
}

}  // namespace consilium::datasets::registration
