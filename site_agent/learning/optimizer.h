#pragma once

// Private to this folder.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "site_agent/learning/optimizer_moments.h"

namespace consilium::learning {

class Network;

// SGD with momentum or AdamW (Loshchilov and Hutter 2019), as torch.optim has them, and FedProx's
// proximal term (Li et al. 2020). On the processor one pass over each tensor, where torch makes up
// to twelve: at ResNet-18's size an optimizer is bound by memory. On another device torch's
// operators.
class Optimizer {
 public:
  // Moves what is trained of the network, which outlives this; its values now are what the proximal
  // term pulls towards, or those of `pulled_to`, in the network's layout.
  Optimizer(Network& network, const plan::Training& training, double proximal_mu,
            const ModelState* pulled_to = nullptr);

  // Moves the parameters along their gradients and drops the gradients.
  void Step();

  OptimizerMoments Moments() const;
  // Goes on from there. kInvalidArgument: they are of another network or optimizer.
  absl::Status Restore(const OptimizerMoments& moments);

 private:
  // A tensor that is trained, and what goes with it.
  struct Slot {
    at::Tensor parameter;
    at::Tensor base;           // defined when the proximal term is on
    at::Tensor first, second;  // momentum (SGD) or first and second moments (AdamW)
  };

  Network& network_;
  std::vector<Slot> slots_;
  const plan::Training training_;
  const float proximal_mu_;
  std::uint64_t steps_ = 0;
};

}  // namespace consilium::learning
