#include "site_agent/contribution.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"
#include "common/base/text.h"
#include "common/model/tensor_at.h"

namespace consilium::site_agent {

absl::Status CheckContribution(const Contribution& contribution) {
  if (contribution.model.values().empty()) {
    return absl::InvalidArgumentError("the model has no parameters");
  }
  if (!IsUpdate(contribution)) return absl::OkStatus();
  if (!(contribution.weight > 0) || !std::isfinite(contribution.weight)) {
    return absl::InvalidArgumentError(
        StrCat("an update's weight must be above 0, this one is ", contribution.weight));
  }
  if (!contribution.base) return absl::OkStatus();
  return CheckSameLayout(contribution.base->layout(), contribution.model.layout());
}

void CopyValues(const Contribution& contribution, std::size_t first, std::span<float> values) {
  const float* model = contribution.model.values().data() + first;
  if (!contribution.base) {
    std::copy_n(model, values.size(), values.data());
    return;
  }
  const float* base = contribution.base->values().data() + first;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = model[i] - base[i];
}

absl::Status NotFinite(const Layout& layout, std::size_t first, std::span<const float> values) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  const std::uint64_t index = first + static_cast<std::uint64_t>(bad - values.begin());
  return absl::InvalidArgumentError(
      StrCat("the update holds a value that is ", std::isnan(*bad) ? "not a number" : "infinite",
             " in tensor \"", TensorAt(layout, index),
             "\": training diverged; a lower learning rate in the plan may help"));
}

}  // namespace consilium::site_agent
