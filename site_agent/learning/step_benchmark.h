#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Seconds of each of `steps` training steps (after `warm_up` untimed ones) on one batch of noise in
// memory, with the plan's network, optimizer, batch size and image size: what training costs
// without reading data. For benchmarks.
absl::StatusOr<std::vector<double>> TimeTrainingSteps(const plan::Plan& plan, int warm_up,
                                                      int steps);

// `count` examples of the plan's form in memory: noise, with targets that every task can learn
// from.
std::unique_ptr<datasets::Dataset> NoiseData(const plan::Plan& plan, std::size_t count);

}  // namespace consilium::learning
