#pragma once

// A model's answers on a site's examples, kept so that any part of them can be added up: subgroups,
// resamples of patients, two models on the same patients. What is kept never leaves this process.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/metrics/task_sums.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

// Splits of one or several sites, one after another, and what is known of each example.
struct EvaluationData {
  std::shared_ptr<const datasets::Dataset> examples;
  std::vector<ExampleFacts> facts;
};
absl::StatusOr<EvaluationData> OpenForEvaluation(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    std::span<const datasets::Split> splits, Progress& progress);

class EvaluatedModel {
 public:
  // Errors as learning::Evaluate.
  static absl::StatusOr<EvaluatedModel> Evaluate(const ModelState& model, const plan::Plan& plan,
                                                 const datasets::Dataset& data, Progress& progress);

  // What is counted: an example; of tasks taught by masks a patient with all of his. In the order
  // of the examples, of patients that of the first of each.
  std::size_t units() const { return patients_.size(); }
  std::span<const std::uint64_t> patients() const { return patients_; }  // of each unit
  std::span<const std::size_t> examples_of(std::size_t unit) const { return examples_[unit]; }
  bool SeveralUnitsAPatient() const;

  // The units' answers added up as the task does; a unit may be there several times. Of all units:
  // the same as learning::Evaluate gives.
  metrics::TaskSums Sum(std::span<const std::size_t> units) const;
  metrics::TaskSums Sum() const;
  // The task's headline of those units; nothing where it is not defined.
  std::optional<double> Headline(std::span<const std::size_t> units) const;

  const plan::Plan& plan() const { return plan_; }
  // Of each unit, one after another, as learning::Predict gives them and as Dataset::GetTarget
  // does; empty of tasks taught by masks.
  std::span<const float> predictions() const { return predictions_; }
  std::span<const float> targets() const { return targets_; }

 private:
  explicit EvaluatedModel(plan::Plan plan) : plan_(std::move(plan)) {}
  absl::Status KeepPredictions(const ModelState& model, const datasets::Dataset& data,
                               Progress& progress);
  absl::Status KeepPatients(const ModelState& model, const datasets::Dataset& data,
                            Progress& progress);

  plan::Plan plan_;
  std::vector<std::uint64_t> patients_;
  std::vector<std::vector<std::size_t>> examples_;
  std::vector<float> predictions_, targets_;
  std::vector<metrics::TaskSums> sums_;  // of each unit, of tasks taught by masks
};

// Those of `data` with these indices. `data` must outlive it.
std::unique_ptr<datasets::Dataset> PartOf(const datasets::Dataset& data,
                                          std::vector<std::size_t> indices);

}  // namespace consilium::site_agent
