#pragma once

// Private to common/metrics. What the kinds of sums have in common: bounds that hostile numbers
// cannot pass, and intervals.

#include <cmath>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "common/base/status.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

inline constexpr double kZ95 = 1.959963984540054;  // the normal distribution's 97.5 % quantile
inline constexpr double kSmallestLikelihood = 1e-7;
inline constexpr std::uint64_t kMostExamples = 1ull << 48;
// Volumes travel in units of 10 ml: the squares of a hundred thousand of the largest then fit in
// the ring, and each site rounds them by 3e-6 ml^2 at most.
inline constexpr double kVolumeUnit = 10;

template <class Counts>
std::uint64_t Total(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// Total, but kMostExamples + 1 as soon as it is exceeded, so that hostile counts do not wrap
// around.
template <class Counts>
std::uint64_t BoundedTotal(const Counts& counts) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : counts) {
    if (count > kMostExamples - total) return kMostExamples + 1;
    total += count;
  }
  return total;
}

inline absl::Status Refused(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("metric sums that cannot be: ", what));
}

// Up to the rounding of a long sum.
inline bool Within(double value, double low, double high) {
  const double slack = 1e-6 * (1 + std::abs(high));
  return std::isfinite(value) && value >= low - slack && value <= high + slack;
}

// Of a proportion, or of the mean of numbers from 0 to 1 (then it is wider than the truth).
Interval Wilson(double proportion, double trials);

// Of an estimate between 0 and 1 with this variance, on the logit scale; where that is not defined
// (the estimate is 0 or 1, or does not vary) Wilson's of `trials`, so that it is never a point.
Interval LogitInterval(double estimate, double variance, double trials);

}  // namespace consilium::metrics
