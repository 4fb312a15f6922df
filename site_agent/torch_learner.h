#pragma once

#include "site_agent/learner.h"

namespace consilium::site_agent {

// The networks of site_agent/learning. learning::ConfigureRuntime has been called before.
class TorchLearner final : public Learner {
 public:
  absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan) override;
  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                              const learning::TrainTask& task,
                                              Progress& progress) override;
  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                             const datasets::Dataset& data,
                                             Progress& progress) override;
};

}  // namespace consilium::site_agent
