#include "site_agent/learning/mixed_precision.h"

#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/csrc/api/include/torch/version.h>

#include "site_agent/learning/device.h"

namespace consilium::learning {
namespace {

void SetAutocast(bool enabled) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  const at::DeviceType device = StepDevice().type();
  at::autocast::set_autocast_dtype(device,
                                   at::kBFloat16);  // CUDA's default has half's narrow range
  at::autocast::set_autocast_enabled(device, enabled);
#else
  if (StepDevice().is_cuda()) {
    at::autocast::set_autocast_gpu_dtype(at::kBFloat16);
    at::autocast::set_enabled(enabled);
  } else {
    at::autocast::set_cpu_enabled(enabled);
  }
#endif
}

}  // namespace

bool MixedPrecision::Available() {
  if (StepDevice().is_cuda()) {
    return at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8();
  }
  if (!StepDevice().is_cpu()) return false;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

MixedPrecision::MixedPrecision(plan::Precision precision)
    : active_(precision == plan::Precision::kMixed && Available()) {
  if (!active_) return;
  at::autocast::increment_nesting();
  SetAutocast(true);
}

MixedPrecision::~MixedPrecision() {
  if (!active_) return;
  SetAutocast(false);
  // The weights that were cast are about to change.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

}  // namespace consilium::learning
