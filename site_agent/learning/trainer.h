#pragma once

// Training and evaluation with LibTorch behind plain types: no torch header is seen outside this
// folder. Torch's exceptions end here too: they become kResourceExhausted (memory) or kInternal.
//
// A ModelState is the PyTorch state dict of the plan's network, in its order; everything is
// float32, num_batches_tracked too (load_state_dict casts it). networks/networks.h says which
// networks there are and how their tensors are named; python/load_model.py is the same networks in
// PyTorch.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/metrics/task_sums.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"
#include "site_agent/learning/optimizer_moments.h"

namespace consilium::learning {

// The first call of main, before any file is open or thread runs: the threads of one training step
// (0: every core this process may use), and what makes training fast (memory that malloc keeps, how
// threads wait for each other). Starts the program anew, once and in the same process, with
// GOMP_SPINCOUNT in its environment: OpenMP reads it only then. Where that or OMP_WAIT_POLICY is
// set already it does not. Agents that share a machine want 1 thread each as soon as there are as
// many of them as cores.
void ConfigureRuntime(int threads);

// The model a plan begins with, made from its seed: the same at every site and on every processor.
absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan);

struct TrainTask {
  plan::Plan plan;
  std::uint64_t seed = 0;  // of order and augmentation; from plan seed, round and site
  std::uint32_t epochs = 1;
  // What fedprox pulls towards instead of `base` (Ditto, Li et al. 2021); of the base's layout.
  std::optional<ModelState> pulled_to = {};
  // Where the plan keeps the optimizer: what the training before left, none at the first.
  std::optional<OptimizerMoments> moments = {};
};

struct TrainResult {
  ModelState trained;
  double first_epoch_loss = 0,
         last_epoch_loss = 0;  // mean over the epoch's examples, as they are trained on
  std::uint64_t examples = 0, patients = 0;  // that training saw
  // Of all epochs, and how much of it training stood still because the next batch was not there.
  double seconds = 0, waited_for_batches_s = 0;
  std::optional<OptimizerMoments> moments = {};  // where the plan keeps the optimizer
};

// Trains from `base` on `data` by the loss of the plan's task (tasks/task.h), weighted by class
// where the plan says so, with FedProx's pull towards `base` where its method is fedprox. Reports
// each step as "epoch 2 of 5" and stops at the next step when cancelled. The same base, data, task
// and thread count give the same weights to the bit on one kind of processor.
//
// kInvalidArgument: the layout does not fit the plan's network; data that the task cannot learn
// from (no example; with class weighting only one class; no event of survival; says so); inputs or
// targets of another shape than the plan's; batch norm or survival with batches of one; moments of another network or optimizer. kCancelled.
// kInternal: the loss or a weight became NaN or infinite (says at which step and what to change).
// One call at a time: the threads of a step are all the cores there are.
absl::StatusOr<TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                  const TrainTask& task, Progress& progress);

// new minus base, with the weight by the plan's rule. kInternal when an element of it is no number:
// such an update never leaves.
absl::StatusOr<ModelUpdate> MakeUpdate(const ModelId& base_id, const ModelState& base,
                                       const TrainResult& result, plan::WeightRule rule);

// What the model says of every example, in dataset order, one after another: binary the probability
// of target 1; multiclass and multilabel a probability a class or label; survival the log relative
// hazard; segmentation the probabilities of the background and of each structure, each depth x
// height x width; detection the scores and boxes of all places (tasks/task.h). Both are all in memory:
// for few images). Errors as Train's, but that one class or no example is well.
absl::StatusOr<std::vector<float>> Predict(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress);
// What the model says of every example against the targets, added up as the task does. Of
// segmentation: by patient, whose images may lie anywhere in the data; the 95th percentile distance
// of a patient is the mean over the images in which both outlines are, the volume that of all
// images, each one millimetre thick.
absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress);

}  // namespace consilium::learning
