#pragma once

#include <ATen/core/Tensor.h>

#include "common/plan/plan.h"
#include "site_agent/learning/network.h"

namespace consilium::learning {

// Brings the numbers of a table's columns to the federation's scale: "prepare.mean" and
// "prepare.deviation", which are not trained, and of which a table without numbers has none.
struct Network::PreparedColumns {
  PreparedColumns() = default;
  PreparedColumns(Network& network, const plan::Table& table);

  // N x columns as a Dataset gives them. A missing number becomes 0, which is the mean.
  at::Tensor operator()(const at::Tensor& columns) const;

  std::int64_t numbers = 0;
  at::Tensor mean, deviation;
};

}  // namespace consilium::learning
