#pragma once

// Private to this folder.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "site_agent/learning/network.h"

namespace consilium::learning {

// What the network, which is not training, says of volumes (N x channels x depth x height x width):
// with `block` 0, and of what is no volume, of all at once. Else logits for every voxel by a cube
// of that side (at most the volume's) that slides by half of it or less, the last one ending at the
// edge; where cubes overlap, their mean with Gaussian weights about each one's middle (deviation an
// eighth of the side, as nnU-Net, Isensee et al. 2021). Memory is that of one cube and the answer.
at::Tensor AnswerOf(Network& network, const at::Tensor& input, std::uint32_t block);

}  // namespace consilium::learning
