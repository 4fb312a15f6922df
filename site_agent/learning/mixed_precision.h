#pragma once

// Private to this folder.

#include "common/plan/plan.h"

namespace consilium::learning {

// While it lives, convolutions, transposed convolutions and linear layers of this thread's forward
// passes take bfloat16 inputs and weights (Kalamkar et al., arXiv 1905.12322); sums inside a
// product, norms, losses, weights and their gradients stay float32. Does nothing of kFloat32, and
// on devices without bfloat16 products, where it would be slower. Scopes do not nest.
class MixedPrecision {
 public:
  explicit MixedPrecision(plan::Precision precision);
  ~MixedPrecision();
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;

  // Whether the device of the steps multiplies bfloat16 numbers: a processor with AVX-512 BF16,
  // CUDA with a cuDNN that convolves them.
  static bool Available();

 private:
  const bool active_;
};

}  // namespace consilium::learning
