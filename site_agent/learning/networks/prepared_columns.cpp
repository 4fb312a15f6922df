#include "site_agent/learning/networks/prepared_columns.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/nan_to_num.h>

namespace consilium::learning {

Network::PreparedColumns::PreparedColumns(Network& network, const plan::Table& table)
    : numbers(table.Numbers()) {
  if (numbers == 0) return;
  mean = network.Add("prepare.mean", {numbers}, {Start::Kind::kConstant, 0}, /*trained=*/false);
  deviation =
      network.Add("prepare.deviation", {numbers}, {Start::Kind::kConstant, 1}, /*trained=*/false);
}

at::Tensor Network::PreparedColumns::operator()(const at::Tensor& columns) const {
  if (numbers == 0) return columns;
  const at::Tensor scaled = columns.narrow(1, 0, numbers).sub(mean).div_(deviation);
  const at::Tensor others = columns.narrow(1, numbers, columns.size(1) - numbers);
  return at::cat({at::nan_to_num(scaled, 0), others}, 1);
}

}  // namespace consilium::learning
