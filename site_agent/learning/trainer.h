#pragma once

// Training and evaluation with LibTorch behind plain types: no torch header is seen outside this folder.

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/metrics/binary_metrics.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Once at the start of a program, before any other call: thread count (0: all cores this process may use), and the
// allocator settings under which training runs fast (platform-facts: mallopt thresholds).
void ConfigureRuntime(int threads);

// The model a plan begins with, made from its seed: the same at every site.
absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan);

struct TrainTask {
  plan::Plan plan;
  std::uint64_t seed = 0;   // order, augmentation and dropout; from plan seed, round and site
  std::uint32_t epochs = 1;
};

struct TrainResult {
  ModelState trained;
  double first_epoch_loss = 0, last_epoch_loss = 0;
  std::uint64_t examples = 0, patients = 0;  // that training saw
};

// Trains from `base` on `data`. kInvalidArgument: layout does not fit the plan's network; no examples; only one class
// (says so); kCancelled; kInternal: the loss became NaN or infinite (says at which step and what to change).
absl::StatusOr<TrainResult> Train(const ModelState& base, const datasets::Dataset& data, const TrainTask& task,
                                  Progress& progress);

// new minus base, with the weight by the plan's rule.
absl::StatusOr<ModelUpdate> MakeUpdate(const ModelId& base_id, const ModelState& base, const TrainResult& result,
                                       plan::WeightRule rule);

// Scores every example: the probability of target 1, in dataset order.
absl::StatusOr<std::vector<float>> Predict(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress);
absl::StatusOr<metrics::BinarySums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                             const datasets::Dataset& data, Progress& progress);

}  // namespace consilium::learning
