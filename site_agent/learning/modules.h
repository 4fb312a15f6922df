#pragma once

// A consortium's own networks: TorchScript modules (PyTorch's torch.jit.script or trace, saved with
// save()), known by the SHA-256 of their file. The code of a module comes from this site's own
// approved files only, never from the coordinator; its parameters and buffers travel as those of
// every network do.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"

namespace consilium::learning {

// From now on plans may ask for the module whose file hashes to `sha256` (lower-case hexadecimal);
// `file`: its bytes. The same hash again replaces nothing. Any thread.
void ApproveModule(std::string sha256, std::string file);
bool IsApproved(std::string_view sha256);

// What a module's file holds, for an operator who is to approve it. kInvalidArgument: no TorchScript
// module, or one that cannot be trained here (no trainable parameter, a parameter of another type
// than float32, a tensor that two names share).
struct ModuleDescription {
  std::uint64_t parameters = 0, frozen = 0, buffers = 0;  // elements
  std::vector<std::string> tensors;                       // "conv1.weight 64x1x7x7", all
  std::string code;  // of its forward and what that calls, as TorchScript prints it
};
absl::StatusOr<ModuleDescription> DescribeModule(std::string_view file);

// Whether the module takes the plan's input and gives its logits (N x outputs, or N where there is
// one; N x outputs x size x size of a segmentation), tried with two examples of zeros.
// kFailedPrecondition: not approved here; kInvalidArgument: what it gave, and what is needed.
absl::Status CheckModule(const plan::Plan& plan);

}  // namespace consilium::learning
