#include "common/metrics/histogram_auroc.h"

#include <algorithm>
#include <cmath>

#include "common/metrics/sum_checks.h"

namespace consilium::metrics {

// O(bins). DeLong's placements: a positive's is the share of negatives below it, a negative's the
// share of positives above it, ties one half; the AUROC is the mean of either, and its variance the
// sum of the variances of both means.
Auroc HistogramAuroc(std::span<const std::uint64_t> positives,
                     std::span<const std::uint64_t> negatives, double positive_count,
                     double negative_count) {
  CONSILIUM_CHECK(positives.size() == negatives.size());
  Auroc auroc;
  double below = 0;  // negatives in lower bins
  for (std::size_t b = 0; b < positives.size(); ++b) {
    const auto p = static_cast<double>(positives[b]);
    const auto n = static_cast<double>(negatives[b]);
    auroc.value += p * (below + n / 2);
    auroc.error_bound += p * n / 2;
    below += n;
  }
  auroc.value /= positive_count * negative_count;
  auroc.error_bound /= positive_count * negative_count;

  double positive_spread = 0, negative_spread = 0, above = positive_count;
  below = 0;
  for (std::size_t b = 0; b < positives.size(); ++b) {
    const auto p = static_cast<double>(positives[b]);
    const auto n = static_cast<double>(negatives[b]);
    above -= p;
    positive_spread += p * std::pow((below + n / 2) / negative_count - auroc.value, 2);
    negative_spread += n * std::pow((above + p / 2) / positive_count - auroc.value, 2);
    below += n;
  }
  if (positive_count > 1 && negative_count > 1) {
    auroc.variance = positive_spread / (positive_count - 1) / positive_count +
                     negative_spread / (negative_count - 1) / negative_count;
  }
  return auroc;
}

Interval AurocInterval(const Auroc& auroc, double positives, double negatives) {
  return LogitInterval(auroc.value, auroc.variance, std::min(positives, negatives));
}

}  // namespace consilium::metrics
