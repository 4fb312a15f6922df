#pragma once

// What a model's evaluation at a site adds up to, whatever the task: sums that add across sites,
// travel in the clear (sealed plans) or masked (secure aggregation), are kept in the ledger as
// JSON, and from which the metrics are computed, of one site or of all together. No prediction of a
// single example is in them.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/task.h"
#include "common/metrics/binary_metrics.h"
#include "common/metrics/detection_metrics.h"
#include "common/metrics/multiclass_metrics.h"
#include "common/metrics/segmentation_metrics.h"
#include "common/metrics/survival_metrics.h"

namespace consilium::metrics {

// kInvalidArgument: a shape that no sums have: no classes, or too many. Who takes a shape from
// elsewhere calls it first; everything below, but what says otherwise, takes such a shape for a
// bug.
absl::Status Check(const TaskShape& shape);

class TaskSums {
 public:
  // Empty sums of that shape; of a binary task without arguments.
  TaskSums() = default;
  explicit TaskSums(const TaskShape& shape);
  TaskSums(BinarySums sums) : sums_(std::move(sums)) {}        // NOLINT: a binary task's are these
  TaskSums(MulticlassSums sums) : sums_(std::move(sums)) {}    // NOLINT
  TaskSums(MultilabelSums sums) : sums_(std::move(sums)) {}    // NOLINT
  TaskSums(SegmentationSums sums) : sums_(std::move(sums)) {}  // NOLINT
  TaskSums(SurvivalSums sums) : sums_(std::move(sums)) {}      // NOLINT
  TaskSums(DetectionSums sums) : sums_(std::move(sums)) {}     // NOLINT

  TaskShape shape() const;
  Task task() const { return shape().task; }
  // Of the task's own kind; asking for another is a bug of the caller's.
  const BinarySums& binary() const { return std::get<BinarySums>(sums_); }
  BinarySums& binary() { return std::get<BinarySums>(sums_); }
  template <class Sums>
  const Sums& As() const {
    return std::get<Sums>(sums_);
  }
  template <class Sums>
  Sums& As() {
    return std::get<Sums>(sums_);
  }

  // Calls `function` with the sums of the task's own kind.
  template <class Function>
  decltype(auto) Visit(const Function& function) const {
    return std::visit(function, sums_);
  }
  template <class Function>
  decltype(auto) Visit(const Function& function) {
    return std::visit(function, sums_);
  }

  // The same shape: else a bug of the caller's, who has Check()ed.
  TaskSums& operator+=(const TaskSums& other);
  std::uint64_t Count() const;     // examples (patients of a segmentation, images of a detection)
  std::uint64_t patients() const;  // of all examples
  bool operator==(const TaskSums&) const = default;

 private:
  std::variant<BinarySums, MulticlassSums, MultilabelSums, SegmentationSums, SurvivalSums,
               DetectionSums>
      sums_;
};

// Refuses (kInvalidArgument) sums of another shape, and sums that cannot be: see each kind's Check.
absl::Status Check(const TaskSums& sums, const TaskShape& shape);

// What the sums show.
struct TaskMetrics {
  TaskShape shape;
  double headline = 0;  // HeadlineName(shape.task)
  Interval headline_95;
  std::uint64_t patients = 0;
  std::variant<BinaryMetrics, MulticlassMetrics, MultilabelMetrics, SegmentationMetrics,
               SurvivalMetrics, DetectionMetrics>
      all;
  // The headline by HeadlineName, then it + "_low" and "_high", then the other single numbers by
  // their keys in ToJson: what an event of a run carries (wire::RunEvent::values). Of a binary task
  // only the AUROC; what is not defined is left out. Counts only `with_counts`.
  std::vector<std::pair<std::string, double>> Values(bool with_counts) const;
};

// `at_specificity` is of binary classifiers. kFailedPrecondition when the metric is not defined (no
// positive, no comparable pair, no example; says which).
absl::StatusOr<TaskMetrics> Compute(const TaskSums& sums, double at_specificity);

// Whether they may be shown of one site, or of all together. What is counted, and must be
// kSmallCount or more:
// binary: positives, and negatives.
// multiclass: the examples of each class that is there.
// multilabel: the positives and the negatives of some label; only such labels are then in Compute.
// segmentation: the patients, and of each structure those who have it, if any has.
// survival: the events, and those without one, if there are any.
// detection: the patients, and of each kind of finding those who have it, if any has.
bool LargeEnoughToShow(const TaskSums& sums);
// As of BinarySums in json.h: false when the pooled counts less those of the sites shown would give
// away a small site's: one site alone is suppressed, or all suppressed together are too few of what
// LargeEnoughToShow counts (of multilabel: for any label, of which each site that has too few of it
// counts as suppressed). True where nothing is suppressed.
bool PooledCountsCanBeShown(const std::map<SiteId, TaskSums>& sites);

// Of a binary task as ToJson(BinaryMetrics) in json.h. Else {"task", HeadlineName, the other single
// numbers, counts with counts}, what is not defined left out, and
// multiclass: "auroc", "auroc_low", "auroc_high", "accuracy", "accuracy_low", "accuracy_high",
//   "balanced_accuracy", "kappa", "quadratic_kappa", "log_loss", "brier"; "examples", "patients";
//   "classes": [{"auroc", "auroc_error_bound", "auroc_low", "auroc_high", "sensitivity",
//   "precision", "positives"} or null, ...], "confusion": [[count...]...] (with counts only)
// multilabel: "auroc" ...; "examples", "patients"; "labels": [as of a binary task, or null, ...]
// segmentation: "dice", "dice_low", "dice_high"; "patients", "images"; "structures": [{"dice",
//   "dice_low", "dice_high", "dice_median", "dice_deviation", "pooled_dice", "hd95_mm", "bias_ml",
//   "low_agreement_ml", "high_agreement_ml", "concordance_correlation", "patients"} or null, ...];
//   and "hd95_mm", the mean over the structures of which it is known
// survival: "concordance" ..., "pooled_concordance", "log_rank_chi2", "log_rank_p",
//   "degrees_of_freedom", "integrated_brier", "integrated_brier_without_risks"; "examples",
//   "patients", "events"; "by_risk": [[[days, survival, at risk with counts]...] of each third]
// detection: "average_precision", ..._low, ..._high, "ap75", "froc_sensitivity", and by boxes of
//   kOperatingScore or more "sensitivity" and "false_alarms" (an image); "patients", "images",
//   "findings"; "kinds": [{"average_precision", "average_precision_error_bound", "ap75",
//   "froc_sensitivity", "sensitivities" (at kFalseAlarmsAnImage), "sensitivity", "false_alarms",
//   "froc": [[false alarms an image, sensitivity]...], "findings", "patients"} or null, ...]
std::string ToJson(const TaskMetrics& metrics, bool with_counts = true);
// The same of one site's sums, or of all sites' together; {"suppressed": true} when they are too
// small to show or nothing can be computed. The pooled without counts unless
// PooledCountsCanBeShown.
std::string SiteJson(const TaskSums& sums, double at_specificity);
std::string PooledJson(const std::map<SiteId, TaskSums>& sites, double at_specificity);

// Sums as JSON text and back, exactly; of a binary task as ToJson(BinarySums) writes them. Checked.
std::string ToJson(const TaskSums& sums);
// kInvalidArgument when it is not what ToJson writes.
absl::StatusOr<TaskSums> TaskSumsFromJson(std::string_view json);

// As numbers of the 64-bit ring that add up (base/fixed_point.h for reals), RingSize() of them.
std::size_t RingSize(const TaskShape& shape);
std::vector<std::uint64_t> ToRing(const TaskSums& sums);
// kInvalidArgument: another length, or sums that Check refuses (some site sent nonsense).
absl::StatusOr<TaskSums> TaskSumsFromRing(std::span<const std::uint64_t> numbers,
                                          const TaskShape& shape);

}  // namespace consilium::metrics
