#pragma once

// Private to this folder: what training and evaluation both refuse.

#include "absl/status/status.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

class Network;

// What the plan's network takes of each example.
datasets::InputShape InputOf(const plan::Plan& plan);

// kInvalidArgument unless the data's examples have that shape.
absl::Status CheckInput(const datasets::Dataset& data, const plan::Plan& plan);

// Network::Load, with the plan's network named in the error.
absl::Status LoadInto(Network& network, const ModelState& model, const plan::Plan& plan);

}  // namespace consilium::learning
