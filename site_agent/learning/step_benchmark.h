#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"

namespace consilium::learning {

// Seconds of each of `steps` training steps (after `warm_up` untimed ones) on one batch of noise in
// memory, with the plan's network, optimizer, batch size and image size: what training costs
// without reading data. For benchmarks.
absl::StatusOr<std::vector<double>> TimeTrainingSteps(const plan::Plan& plan, int warm_up,
                                                      int steps);

}  // namespace consilium::learning
