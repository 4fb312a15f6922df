#pragma once

// A model of tables carries its federated preparation (common/metrics/preparation.h) as two tensors
// that training never changes: "prepare.mean" and "prepare.deviation", one element a number column.

#include <span>

#include "absl/status/statusor.h"
#include "common/model/model_state.h"

namespace consilium {

// The same model with these two tensors' values. kInvalidArgument when it has none of that length,
// or a deviation is not above 0.
absl::StatusOr<ModelState> WithPreparation(const ModelState& model, std::span<const double> means,
                                           std::span<const double> deviations);

}  // namespace consilium
