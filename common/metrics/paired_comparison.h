#pragma once

// Two models judged on the same examples: is the one better, or is it luck? A site compares on its
// own examples, which never leave it; nothing here adds up across sites.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

// DeLong, DeLong and Clarke-Pearson 1988, by midranks (Sun and Xu 2014): O(n log n).
struct AurocComparison {
  double first = 0, second = 0;              // exact, ties one half
  double first_error = 0, second_error = 0;  // standard errors
  double difference = 0;                     // second - first
  double difference_error = 0;
  Interval difference_95;  // normal, within [-1, 1]
  // Two-sided, of the hypothesis that both are as good. Where the difference does not vary (the
  // same order of all examples): z = 0 and p = 1 when there is none.
  double z = 0, p = 1;
};
// Examples are taken as independent: one image a patient; else see CompareByBootstrap. Scores in
// any unit, larger is more likely positive. kInvalidArgument: lengths differ, NaN.
// kFailedPrecondition: fewer than two positives or two negatives.
absl::StatusOr<AurocComparison> CompareAurocs(std::span<const double> first,
                                              std::span<const double> second,
                                              const std::vector<bool>& targets);

// A metric of the examples with these indices, which may repeat; nothing where it is not defined.
using ExamplesMetric = std::function<std::optional<double>(std::span<const std::size_t> examples)>;

struct BootstrapEstimate {
  double value = 0;      // of all examples once
  Interval interval_95;  // percentiles of the resamples' values
  double error = 0;      // their standard deviation
};

struct BootstrapComparison {
  BootstrapEstimate first, second, difference;  // second - first
  // Two-sided: twice the smaller share of the resamples on one side of no difference, counting one
  // more (Davison and Hinkley 1997), at most 1.
  double p = 1;
  std::uint32_t resamples = 0;  // in which both were defined
};

inline constexpr std::uint32_t kBootstrapResamples = 2'000, kLeastResamples = 100;

// Resamples patients, each with all of his examples, since the examples of one patient are alike
// (the cluster bootstrap, Field and Welsh 2007). `patients`: of each example, any key that is only
// compared. The same seed gives the same result. kInvalidArgument: fewer than kLeastResamples.
// kFailedPrecondition: fewer than two patients, the metric is not defined of all examples, or not
// of at least half of the resamples.
absl::StatusOr<BootstrapEstimate> Bootstrap(std::span<const std::uint64_t> patients,
                                            const ExamplesMetric& metric, std::uint64_t seed,
                                            std::uint32_t resamples = kBootstrapResamples);
// Both on the same resamples.
absl::StatusOr<BootstrapComparison> CompareByBootstrap(
    std::span<const std::uint64_t> patients, const ExamplesMetric& first,
    const ExamplesMetric& second, std::uint64_t seed,
    std::uint32_t resamples = kBootstrapResamples);

}  // namespace consilium::metrics
