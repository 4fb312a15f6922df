#pragma once

#include "datasets/worker/operations.h"

namespace consilium::datasets::explain {

// Of one file; arguments: encoded preprocessing. The result: an encoded Explanation.
inline constexpr char kExplain[] = "explain";
void AddOperation(worker::Operations& operations);

}  // namespace consilium::datasets::explain
