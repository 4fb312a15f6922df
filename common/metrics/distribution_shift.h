#pragma once

// Whether two sets of values, one a patient, are of one distribution: what a model was made on, and
// what it meets now.

#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::metrics {

inline constexpr int kShiftBins = 10;              // deciles of the first
inline constexpr std::size_t kLeastForShift = 20;  // values of each

struct Shift {
  // Population stability index over the first's deciles, half a value added to each bin: the sum of
  // (q - p) log(q / p). Below 0.1 nothing, 0.25 and more a change to act upon (Siddiqi 2006).
  double stability_index = 0;
  // What chance alone exceeds once in a hundred times (Yurdakul 2018): of few values much.
  double stability_index_by_chance = 0;
  // Kolmogorov and Smirnov: the largest distance of the two distribution functions, and how often
  // chance gives as much (Stephens 1970).
  double distance = 0, p = 1;
};
// kInvalidArgument: a value is not finite. kFailedPrecondition: fewer than kLeastForShift of one.
absl::StatusOr<Shift> CompareDistributions(std::span<const double> first,
                                           std::span<const double> second);

inline constexpr double kShiftedIndex = 0.25, kShiftedDistance = 0.1, kShiftedP = 0.01;
// Shifted: the index is kShiftedIndex or more and beyond chance; or the distance is
// kShiftedDistance or more, with p below kShiftedP by how many were looked at (Bonferroni).
bool IsShifted(const Shift& shift, std::size_t looked_at);

// The share's quantile, interpolated; of nothing 0.
double Quantile(std::vector<double> values, double share);

}  // namespace consilium::metrics
