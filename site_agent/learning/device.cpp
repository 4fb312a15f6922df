#include "site_agent/learning/device.h"

#include <ATen/Context.h>
#include <torch/csrc/api/include/torch/cuda.h>

#include <atomic>

namespace consilium::learning {
namespace {

c10::Device BestDevice() {
  if (!torch::cuda::is_available()) return c10::kCPU;
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(false);
  return {c10::kCUDA, 0};
}

std::atomic<c10::Device>& Chosen() {
  static std::atomic<c10::Device> device = BestDevice();
  return device;
}

}  // namespace

c10::Device StepDevice() { return Chosen(); }

void SetStepDevice(c10::Device device) { Chosen() = device; }

}  // namespace consilium::learning
