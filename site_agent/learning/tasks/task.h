#pragma once

// Private to site_agent/learning. What one kind of question needs beside a network: what its data
// must hold, its loss, what becomes of the network's output, and what it adds to an evaluation. A
// new task is a new file here and a case in Make.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/task_sums.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// What is in the training data.
struct Population {
  std::uint64_t examples = 0, patients = 0;
  // A class (binary: {negative, positive}): examples / (classes that are there x examples of the
  // class), so that all that are there weigh the same and the mean weight is one; 0 of a class that
  // is not there. Empty: all 1.
  std::vector<float> class_weights;
};

// Adds the examples of one evaluation up, in any order; some tasks (survival, segmentation by
// patient) can only say what they come to at the end.
class TaskEvaluation {
 public:
  virtual ~TaskEvaluation() = default;
  // `output`: the network's of one batch; `targets`: what Dataset::GetTarget gave, one example
  // after another; `first`: their index in the data set. kInvalidArgument: an output that is no
  // number.
  virtual absl::Status Add(const at::Tensor& output, std::span<const float> targets,
                           std::size_t first, std::size_t count) = 0;
  virtual metrics::TaskSums Finish() = 0;
};

class LearningTask {
 public:
  static std::unique_ptr<LearningTask> Make(const plan::Plan& plan);
  virtual ~LearningTask() = default;

  // kInvalidArgument, saying what is there and what is needed, of data that cannot be learned from:
  // none, one class only (with class weighting; of several labels: none with both classes; of
  // outlines and boxes: no structure anywhere), no known label, no event, values that are no
  // target.
  virtual absl::StatusOr<Population> Survey(const datasets::Dataset& data) const = 0;

  // The mean loss of a batch, differentiable. `targets`: count x target_elements.
  // binary, multiclass: cross-entropy, each example times its class's weight, by the number of
  // examples. multilabel: binary cross-entropy, the mean over the labels that are known.
  // segmentation: cross-entropy, the mean over pixels, and 1 - soft Dice, the mean over structures,
  // each over all pixels of the batch, with one pixel added to both of its terms: a structure that
  // is in no image of the batch and in no answer costs nothing. survival: minus the logarithm of
  // Cox's partial likelihood of the batch as a risk set of its own (ties after Breslow 1974), by
  // its events; 0 without one. Each site has its own risk sets: the federation's loss is that of a
  // stratified Cox model. detection: focal loss of the kinds at all places, generalised overlap of
  // the boxes and cross-entropy of centre-ness at the places in a finding, by the number of these
  // (Tian et al. 2019).
  // Ordered classes and survival in intervals: see ordinal.cpp and hazards.cpp.
  virtual at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                          const Population& population) const = 0;

  // Batches smaller than this teach nothing (a risk set of one patient): they join the one before.
  virtual std::uint32_t smallest_batch() const { return 2; }

  // What people and programs read: probabilities (binary N, multiclass and multilabel N x classes,
  // segmentation N x (1 + structures) x H x W), or the log relative hazard. detection: N x places x
  // (kinds + 4), the score of each kind (the root of its probability times centre-ness) and the box
  // within the image (left, top, right, bottom), before any is left out (tasks/boxes.h).
  virtual at::Tensor Predict(const at::Tensor& output) const = 0;

  virtual std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const = 0;
};

}  // namespace consilium::learning
