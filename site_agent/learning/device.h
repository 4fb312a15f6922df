#pragma once

// Private to this folder.

#include <c10/core/Device.h>

namespace consilium::learning {

// Where networks lie and their steps run: the first CUDA device where LibTorch was built with CUDA
// and finds one (CUDA_VISIBLE_DEVICES chooses or hides them), else the processor. Data are read,
// augmented and measured by the processor. On CUDA a step's sums are made in one order too
// (deterministic cuDNN, no TF32), but that of gradients of indexed tensors is the device's.
// Thread-safe.
c10::Device StepDevice();

// Another one, for the whole process: before any network is made.
void SetStepDevice(c10::Device device);

}  // namespace consilium::learning
