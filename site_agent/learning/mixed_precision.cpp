#include "site_agent/learning/mixed_precision.h"

#include <ATen/autocast_mode.h>

namespace consilium::learning {

bool MixedPrecision::Available() {
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
  at::autocast::set_cpu_enabled(true);
}

MixedPrecision::~MixedPrecision() {
  if (!active_) return;
  at::autocast::set_cpu_enabled(false);
  // The weights that were cast are about to change.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

}  // namespace consilium::learning
