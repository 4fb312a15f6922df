#pragma once

// Private to site_agent/learning.

#include <memory>

#include "site_agent/learning/network.h"

namespace consilium::learning {

// The approved module that the plan names. Throws std::runtime_error with what is missing: callers
// are inside WithTorch.
std::unique_ptr<Network> MakeTorchScriptNetwork(const plan::Plan& plan);

// Its values as they are in its file: a run without another beginning starts from them.
absl::StatusOr<ModelState> TorchScriptInitialModel(const plan::Plan& plan);

}  // namespace consilium::learning
