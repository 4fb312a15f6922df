#pragma once

// What consilium-site evaluate tells: for people as text, and as JSON that a model's card reads
// (coordinator/researcher/model_card.h).

#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "site_agent/evaluated_model.h"
#include "site_agent/evaluation_groups.h"
#include "site_agent/model_comparison.h"

namespace consilium::site_agent {

// How a model's answers lie, a patient's mean each: what later ones are held against.
struct AnswerQuantiles {
  std::string of;                 // the target, a class, a label; "risk"
  std::vector<double> quantiles;  // 5, 25, 50, 75, 95 %
};
inline constexpr std::size_t kLeastForQuantiles = 50;  // patients: none is shown by a quantile
// Empty of tasks taught by masks, and of fewer patients.
std::vector<AnswerQuantiles> ScoresOf(const EvaluatedModel& model);

struct EvaluationReport {
  ModelId model;
  plan::Plan plan;
  std::string split;  // "test", "validation", "all"
  // Of a published model; nothing: a model's file of one's own, of which nothing is proved.
  struct Published {
    std::string federation, run;
    bool trained_here = false;  // this site took part in the run
  };
  std::optional<Published> published;
  metrics::TaskSums sums;
  absl::StatusOr<metrics::TaskMetrics> metrics;  // of the sums
  HeadlineInterval headline;
  std::vector<Grouping> groupings;
  std::vector<AnswerQuantiles> scores;
  std::optional<ModelId> against;
  std::optional<ModelComparison> comparison;
};

// {"model", "split", "task", "published" (or null), "metrics" (or null), "sums",
//  "headline": {"low", "high", "by_patient"},
//  "decision_curves": [{"of", "points": [[threshold, net benefit, of treating all]...]}...],
//  "recalibration": {"slope", "slope_low", "slope_high", "intercept", "in_the_large", ...},
//  "groups": [{"group", "value", "metrics", "low", "high", "by_patient"}...],
//  "worst_group": as one of them, "comparison": {"against", "model", "other", "difference", "low",
//  "high", "p", "test", "examples", "patients", "mcnemar": {...}},
//  "scores": [{"of", "quantiles": [5, 25, 50, 75, 95 %]}...]}
// What is not known or was not asked for is left out. A group that is not shown has metrics
// {"suppressed": true}.
std::string ToJson(const EvaluationReport& report);
// Several lines. kFailedPrecondition: no metric is defined; says why.
absl::StatusOr<std::string> ToText(const EvaluationReport& report);

}  // namespace consilium::site_agent
