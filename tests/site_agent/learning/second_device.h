#pragma once

#include <c10/core/Device.h>

namespace consilium::learning {

// A device beside the processor, as LibTorch sees one: tensors of it are of another kind, and an
// operator that gets some of each is refused, as on CUDA. Its memory is the processor's, and every
// operator the processor's own, so that what is learned on it can be compared where there is no
// other device. What it cannot show is another device's rounding, order of sums and speed.
inline const c10::Device kSecondDevice(c10::kPrivateUse1, 0);

}  // namespace consilium::learning
