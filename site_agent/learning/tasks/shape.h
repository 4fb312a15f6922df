#pragma once

// Private to site_agent/learning: whether data have the shape that a plan's network and task take.

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// What Dataset::GetTarget gives for the plan's task.
std::size_t TargetElementsOf(const plan::Plan& plan);

// kInvalidArgument unless the data's inputs (checks.h) and targets have the plan's shapes: says
// both.
absl::Status CheckShape(const datasets::Dataset& data, const plan::Plan& plan);

}  // namespace consilium::learning
