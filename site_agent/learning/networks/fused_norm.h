#pragma once

// Private to this folder. Normalisation, an addition and an activation in one pass over memory
// forward and two back, where torch makes up to four and six: between convolutions, training is
// bound by memory. Images, channels-last float32 on a CPU; torch's own operators elsewhere.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace consilium::learning {

enum class Activation { kNone, kRelu, kSilu };

struct NormTensors {
  at::Tensor weight, bias;               // channels
  at::Tensor running_mean, running_var;  // of batch norm; in training they are moved
  std::int64_t groups = 0;               // 0: batch norm
};

// activation(norm(x) + residual): x is N x channels x space, residual of the same shape or not
// defined. Group norm, or batch norm by the batch's statistics (training) or the running ones.
// Differentiable.
at::Tensor NormAddActivate(const at::Tensor& x, const NormTensors& norm, const at::Tensor& residual,
                           Activation activation, bool training);

}  // namespace consilium::learning
