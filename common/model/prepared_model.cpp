#include "common/model/prepared_model.h"

#include <cmath>

#include "common/base/status.h"

namespace consilium {

absl::StatusOr<ModelState> WithPreparation(const ModelState& model, std::span<const double> means,
                                           std::span<const double> deviations) {
  std::vector<float> values(model.values().begin(), model.values().end());
  const auto replace = [&](std::string_view name, std::span<const double> with) -> absl::Status {
    std::size_t offset = 0;
    for (const TensorSpec& tensor : model.layout()) {
      const std::size_t count = tensor.Elements();
      if (tensor.name == name) {
        if (count != with.size()) {
          return absl::InvalidArgumentError(StrCat("the model's ", name, " has ", count,
                                                   " columns, the preparation ", with.size()));
        }
        for (std::size_t i = 0; i < count; ++i) values[offset + i] = static_cast<float>(with[i]);
        return absl::OkStatus();
      }
      offset += count;
    }
    return absl::InvalidArgumentError(
        StrCat("the model has no ", name, ": its network takes no table's columns"));
  };
  for (const double deviation : deviations) {
    if (!(static_cast<float>(deviation) > 0)) {
      return absl::InvalidArgumentError(
          StrCat("a column's deviation is ", deviation, "; it must be above 0"));
    }
  }
  RETURN_IF_ERROR(replace("prepare.mean", means));
  RETURN_IF_ERROR(replace("prepare.deviation", deviations));
  return ModelState::Create(model.layout(), std::move(values));
}

}  // namespace consilium
