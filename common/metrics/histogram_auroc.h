#pragma once

// Private to common/metrics. The area under the ROC curve from two histograms of scores.

#include <cstdint>
#include <span>

#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

struct Auroc {
  double value = 0, error_bound = 0, variance = 0;  // see BinaryMetrics
};

// Of histograms of the same bins, from the lowest score to the highest, that hold as many examples
// as is said: at least one of each.
Auroc HistogramAuroc(std::span<const std::uint64_t> positives,
                     std::span<const std::uint64_t> negatives, double positive_count,
                     double negative_count);

Interval AurocInterval(const Auroc& auroc, double positives, double negatives);

}  // namespace consilium::metrics
