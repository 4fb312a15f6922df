#include "site_agent/torch_learner.h"

namespace consilium::site_agent {

absl::StatusOr<ModelState> TorchLearner::InitialModel(const plan::Plan& plan) {
  return learning::InitialModel(plan);
}

absl::StatusOr<learning::TrainResult> TorchLearner::Train(const ModelState& base,
                                                          const datasets::Dataset& data,
                                                          const learning::TrainTask& task,
                                                          Progress& progress) {
  return learning::Train(base, data, task, progress);
}

absl::StatusOr<metrics::TaskSums> TorchLearner::Evaluate(const ModelState& model,
                                                         const plan::Plan& plan,
                                                         const datasets::Dataset& data,
                                                         Progress& progress) {
  return learning::Evaluate(model, plan, data, progress);
}

}  // namespace consilium::site_agent
