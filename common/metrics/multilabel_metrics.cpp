#include <algorithm>
#include <cmath>

#include "common/metrics/histogram_auroc.h"
#include "common/metrics/multiclass_metrics.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

bool HasAtLeast(const BinarySums& label, std::uint64_t count) {
  return label.PositiveCount() >= count && label.NegativeCount() >= count;
}

}  // namespace

MultilabelSums::MultilabelSums(std::uint32_t label_count) : labels(label_count) {
  CONSILIUM_CHECK(label_count <= kMostClasses);
}

MultilabelSums& MultilabelSums::operator+=(const MultilabelSums& other) {
  CONSILIUM_CHECK(labels.size() == other.labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] += other.labels[i];
  patients += other.patients;
  return *this;
}

std::uint64_t MultilabelSums::Count() const {
  std::uint64_t most = 0;
  for (const BinarySums& label : labels) most = std::max(most, label.Count());
  return most;
}

absl::Status Check(const MultilabelSums& sums) {
  if (sums.labels.empty() || sums.labels.size() > kMostClasses) {
    return Refused(StrCat(sums.labels.size(), " labels: 1 to ", kMostClasses, " can be"));
  }
  std::uint64_t known = 0;  // 100 times 2^48 at most
  for (std::size_t i = 0; i < sums.labels.size(); ++i) {
    if (absl::Status label = Check(sums.labels[i]); !label.ok()) {
      return WithContext(label, StrCat("label ", i));
    }
    known += sums.labels[i].Count();
  }
  if (sums.patients > known) {
    return Refused(StrCat(sums.patients, " patients with ", known, " known labels"));
  }
  return absl::OkStatus();
}

absl::StatusOr<MultilabelMetrics> Compute(const MultilabelSums& sums, double at_specificity) {
  RETURN_IF_ERROR(Check(sums));
  const bool some_large =
      std::any_of(sums.labels.begin(), sums.labels.end(),
                  [](const BinarySums& l) { return HasAtLeast(l, kSmallCount); });
  MultilabelMetrics metrics;
  metrics.examples = sums.Count();
  metrics.patients = sums.patients;
  metrics.labels.resize(sums.labels.size());
  double variance = 0, defined = 0, trials = 0;
  for (std::size_t i = 0; i < sums.labels.size(); ++i) {
    const BinarySums& label = sums.labels[i];
    if (!HasAtLeast(label, some_large ? kSmallCount : 1)) continue;
    ASSIGN_OR_RETURN(metrics.labels[i], Compute(label, at_specificity));
    const auto positives = static_cast<double>(label.PositiveCount());
    const auto negatives = static_cast<double>(label.NegativeCount());
    const Auroc auroc = HistogramAuroc(label.positives, label.negatives, positives, negatives);
    metrics.auroc += auroc.value;
    variance += auroc.variance;
    trials += std::min(positives, negatives);
    ++defined;
  }
  if (defined == 0) {
    return absl::FailedPreconditionError(
        "no label has both a positive and a negative example, so none can be judged");
  }
  metrics.auroc /= defined;
  metrics.auroc_95 = LogitInterval(metrics.auroc, variance / (defined * defined), trials / defined);
  return metrics;
}

}  // namespace consilium::metrics
