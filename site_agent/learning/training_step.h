#pragma once

// Private to this folder.

#include <memory>

#include "common/plan/plan.h"
#include "site_agent/learning/batch_loader.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/optimizer.h"

namespace consilium::learning {

// One step of training: forward, loss, backward, optimizer.
class TrainingStep {
 public:
  // The network's values now are what FedProx pulls towards. `network` outlives this.
  TrainingStep(Network& network, const plan::Plan& plan);

  // Returns the batch's mean loss before the step. A loss that is NaN or infinite moves nothing.
  double Run(const Batch& batch, std::uint32_t image_size);

 private:
  Network& network_;
  Optimizer optimizer_;
};

// The batch's pixels as the network takes them, without a copy: `batch` outlives the tensor.
at::Tensor Images(const Batch& batch, std::uint32_t image_size);

}  // namespace consilium::learning
