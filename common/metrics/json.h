#pragma once

// Metrics as JSON text, the same for runs, local reports and tables; and what may be shown of sites
// that are small.

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

// {"positives", "negatives", "patients", "auroc", "auroc_error_bound", "auroc_low", "auroc_high",
// "auprc", "accuracy", "sensitivity", "at_specificity", "brier", "log_loss", "calibration": [[mean
// score, observed, count]...], "roc": [[false positive rate, true positive rate]...]}. Without
// counts: the first three, and the count in each calibration point, are left out. Numbers keep
// every digit.
std::string ToJson(const BinaryMetrics& metrics, bool with_counts = true);

// The metrics of one site's sums, or {"suppressed": true} when they are too small to show or cannot
// be computed.
std::string SiteJson(const BinarySums& sums, double at_specificity);

// The metrics of all sites' sums together, the same way; without counts unless
// PooledCountsCanBeShown.
std::string PooledJson(const std::map<SiteId, BinarySums>& sites, double at_specificity);

// False when the pooled counts less those of the sites shown would give away a small site's: one
// site alone is suppressed, or all suppressed together have fewer than kSmallCount positives or
// negatives.
bool PooledCountsCanBeShown(const std::map<SiteId, BinarySums>& sites);

// Sums as JSON text and back, exactly. The histograms are written as [bin, count] pairs of the bins
// that are not empty.
std::string ToJson(const BinarySums& sums);
// kInvalidArgument when it is not what ToJson writes; checked with Check().
absl::StatusOr<BinarySums> SumsFromJson(std::string_view json);

}  // namespace consilium::metrics
