#pragma once

// Private to this folder.

#include <memory>

#include "common/plan/plan.h"
#include "site_agent/learning/batch_loader.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/optimizer.h"
#include "site_agent/learning/tasks/task.h"

namespace consilium::learning {

// One step of training: forward, loss, backward, optimizer.
class TrainingStep {
 public:
  // FedProx pulls towards `pulled_to`, or where that is null towards the network's values now.
  // `network` and `task` outlive this.
  TrainingStep(Network& network, const LearningTask& task, Population population,
               const plan::Plan& plan, const ModelState* pulled_to = nullptr);

  // Returns the batch's mean loss before the step. A loss that is NaN or infinite moves nothing.
  // With [training] accumulation the batch goes through the network in parts, twice, and the step
  // is that of the whole batch, but that batch norm sees each part for itself.
  double Run(const Batch& batch);

  Optimizer& optimizer() { return optimizer_; }

 private:
  at::Tensor Forward(const at::Tensor& input);
  double RunInParts(const at::Tensor& input, const at::Tensor& targets);

  Network& network_;
  const LearningTask& task_;
  const Population population_;
  const plan::Precision precision_;
  const std::int64_t parts_;
  Optimizer optimizer_;
};

// The batch as the network takes it, where its steps run, images channels-last, volumes channel by
// channel. On the processor without a copy: `batch` outlives the tensor.
at::Tensor TensorOf(const Batch& batch);

}  // namespace consilium::learning
