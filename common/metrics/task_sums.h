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
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/task.h"
#include "common/metrics/binary_metrics.h"
#include "common/metrics/multiclass_metrics.h"
#include "common/metrics/segmentation_metrics.h"
#include "common/metrics/survival_metrics.h"

namespace consilium::metrics {

class TaskSums {
 public:
  // Empty sums of that shape; of a binary task without arguments.
  explicit TaskSums(const TaskShape& shape = {});
  TaskSums(BinarySums sums) : sums_(std::move(sums)) {}        // NOLINT: a binary task's are these
  TaskSums(MulticlassSums sums) : sums_(std::move(sums)) {}    // NOLINT
  TaskSums(MultilabelSums sums) : sums_(std::move(sums)) {}    // NOLINT
  TaskSums(SegmentationSums sums) : sums_(std::move(sums)) {}  // NOLINT
  TaskSums(SurvivalSums sums) : sums_(std::move(sums)) {}      // NOLINT

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

  // The same shape: else a bug of the caller's, who has Check()ed.
  TaskSums& operator+=(const TaskSums& other);
  std::uint64_t Count() const;     // examples (patients of a segmentation)
  std::uint64_t patients() const;  // of all examples
  bool operator==(const TaskSums&) const = default;

 private:
  std::variant<BinarySums, MulticlassSums, MultilabelSums, SegmentationSums, SurvivalSums> sums_;
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
               SurvivalMetrics>
      all;
  // Each number by its key, as in ToJson, the headline first, then headline + "_low" and "_high":
  // what an event of a run carries (wire::RunEvent::values). Counts only `with_counts`.
  std::vector<std::pair<std::string, double>> Values(bool with_counts) const;
};

// `at_specificity` is of binary classifiers. kFailedPrecondition when the metric is not defined (no
// positive, no comparable pair, no example; says which).
absl::StatusOr<TaskMetrics> Compute(const TaskSums& sums, double at_specificity);

// Whether they may be shown of one site: at least kSmallCount of each of what the task counts
// (positives and negatives; examples of each class that is there; patients; events).
bool LargeEnoughToShow(const TaskSums& sums);
// As of BinarySums in json.h.
bool PooledCountsCanBeShown(const std::map<SiteId, TaskSums>& sites);
std::string ToJson(const TaskMetrics& metrics, bool with_counts = true);
std::string SiteJson(const TaskSums& sums, double at_specificity);
std::string PooledJson(const std::map<SiteId, TaskSums>& sites, double at_specificity);

// Sums as JSON text and back, exactly; of a binary task as ToJson(BinarySums) writes them. Checked.
std::string ToJson(const TaskSums& sums);
absl::StatusOr<TaskSums> TaskSumsFromJson(std::string_view json);

// As numbers of the 64-bit ring that add up (base/fixed_point.h for reals), RingSize() of them.
std::size_t RingSize(const TaskShape& shape);
std::vector<std::uint64_t> ToRing(const TaskSums& sums);
// kInvalidArgument: another length, or sums that Check refuses (some site sent nonsense).
absl::StatusOr<TaskSums> TaskSumsFromRing(std::span<const std::uint64_t> ring,
                                          const TaskShape& shape);

}  // namespace consilium::metrics
