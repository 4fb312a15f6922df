#pragma once

// Private to this folder. Part of a network whose inside is not kept for the backward pass but
// computed again there (Chen et al. 2016): memory for a second forward pass.

#include <ATen/core/Tensor.h>

#include <functional>

namespace consilium::learning {

using Part = std::function<at::Tensor(const at::Tensor& x)>;

// part(x), differentiable by x and by the parameters that `part` uses, which are leaves and
// accumulate their gradients. `parameter` is any one of them. `part` gives the same answer each
// time, has no effect but its answer, and is kept (with what it refers to) until the backward pass.
at::Tensor Checkpointed(Part part, const at::Tensor& x, const at::Tensor& parameter);

}  // namespace consilium::learning
