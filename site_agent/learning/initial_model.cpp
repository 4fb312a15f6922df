#include <algorithm>
#include <cmath>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"

namespace consilium::learning {
namespace {

// As torchvision begins: convolutions normal with variance 2 / fan-out (He et al. 2015), norms one
// and zero, the linear layer uniform within 1 / sqrt(inputs). Our own generator: torch's gives
// other numbers on other processors.
void Fill(const TensorSpec& tensor, double linear_bound, std::uint64_t seed, std::span<float> out) {
  SeededRandom random(seed, StrCat("initial model/", tensor.name));
  const bool is_scale = tensor.name.ends_with(".weight") || tensor.name.ends_with(".running_var");
  if (tensor.shape.size() == 4) {
    const auto fan_out = static_cast<double>(tensor.shape[0] * tensor.shape[2] * tensor.shape[3]);
    const double deviation = std::sqrt(2 / fan_out);
    for (float& value : out) value = static_cast<float>(deviation * random.Normal());
  } else if (tensor.name.starts_with("fc.")) {
    for (float& value : out)
      value = static_cast<float>(random.Uniform(-linear_bound, linear_bound));
  } else {
    std::fill(out.begin(), out.end(), is_scale ? 1.0f : 0.0f);
  }
}

double LinearBound(const Layout& layout) {
  const auto fc = std::find_if(layout.begin(), layout.end(),
                               [](const TensorSpec& t) { return t.name == "fc.weight"; });
  CONSILIUM_CHECK(fc != layout.end());
  return 1 / std::sqrt(static_cast<double>(fc->shape[1]));
}

}  // namespace

absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan) {
  return WithTorch("making the first model", [&]() -> absl::StatusOr<ModelState> {
    Layout layout = Network::Make(plan.model)->MakeLayout();
    const double linear_bound = LinearBound(layout);
    std::vector<float> values(TotalElements(layout));
    std::size_t offset = 0;
    for (const TensorSpec& tensor : layout) {
      const std::size_t count = tensor.Elements();
      Fill(tensor, linear_bound, plan.seed, std::span(values).subspan(offset, count));
      offset += count;
    }
    return ModelState::Create(std::move(layout), std::move(values));
  });
}

}  // namespace consilium::learning
