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
  // The network's values now are what FedProx pulls towards. `network` and `task` outlive this.
  TrainingStep(Network& network, const LearningTask& task, Population population,
               const plan::Plan& plan);

  // Returns the batch's mean loss before the step. A loss that is NaN or infinite moves nothing.
  double Run(const Batch& batch);

 private:
  at::Tensor Forward(const Batch& batch);

  Network& network_;
  const LearningTask& task_;
  const Population population_;
  const plan::Precision precision_;
  Optimizer optimizer_;
};

// The batch as the network takes it, images channels-last, without a copy: `batch` outlives the
// tensor.
at::Tensor TensorOf(const Batch& batch);

}  // namespace consilium::learning
