#pragma once

// A model's results by groups of patients: by sex, age, manufacturer and view as the images'
// headers say them, or by a column of the table. What is too small to show is not shown, nor what
// could be subtracted to get it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/task_sums.h"
#include "site_agent/evaluated_model.h"

namespace consilium::site_agent {

inline constexpr std::string_view kNotSaid = "not said";

// The groups that `--by` may name: "sex", "age" (0-17, 18-39, 40-64, 65-79, 80+), "manufacturer"
// (by normalised name), "view". Of a plan with a table: its category columns, and a number column
// "age", taken as years.
std::vector<std::string> GroupingsOf(const plan::Plan& plan);
// Of each example its group's name. kInvalidArgument: none of GroupingsOf; says which there are.
absl::StatusOr<std::vector<std::string>> GroupOfEach(std::string_view grouping,
                                                     const plan::Plan& plan,
                                                     const EvaluationData& data);

// A headline's interval. By patient: images of one patient are alike, so that patients are
// resampled (metrics/paired_comparison.h).
struct HeadlineInterval {
  metrics::Interval interval_95;
  bool by_patient = false;  // else that of TaskMetrics
};

struct GroupResult {
  std::string value;  // "F", "65-79"
  // Nothing: fewer than kSmallCount patients, sums that are not LargeEnoughToShow, or hidden so
  // that such a group cannot be had by subtraction from the whole.
  std::optional<metrics::TaskMetrics> metrics;
  HeadlineInterval headline;
};
struct Grouping {
  std::string name;                 // "sex"
  std::vector<GroupResult> groups;  // age from the youngest, others by name; kNotSaid last
};
// The model's results in each group that has an example. `group_of_each`: of each example. A unit
// whose examples are in different groups is in "several".
Grouping EvaluateGroups(const EvaluatedModel& model, std::string name,
                        const std::vector<std::string>& group_of_each, std::uint64_t seed);

// The interval to show of those units: by patient where one has several units, when it can be
// computed.
HeadlineInterval IntervalOf(const EvaluatedModel& model, std::span<const std::size_t> units,
                            const metrics::TaskMetrics& metrics, std::uint64_t seed);

// Of all groups that are shown the one with the smallest headline; null when none is.
struct WorstGroup {
  const Grouping* grouping;
  const GroupResult* group;
};
std::optional<WorstGroup> WorstOf(const std::vector<Grouping>& groupings);

}  // namespace consilium::site_agent
