#include <algorithm>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/networks/torch_script.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"

namespace consilium::learning {
namespace {

// Our own generator: torch's gives other numbers on other processors. Each tensor has a stream of
// its own, so that one more tensor moves no other.
void Fill(const NamedTensor& entry, std::uint64_t seed, std::span<float> out) {
  SeededRandom random(seed, StrCat("initial model/", entry.name));
  const double value = entry.start.value;
  switch (entry.start.kind) {
    case Start::Kind::kConstant:
      std::fill(out.begin(), out.end(), static_cast<float>(value));
      return;
    case Start::Kind::kNormal:
      for (float& element : out) element = static_cast<float>(value * random.Normal());
      return;
    case Start::Kind::kUniform:
      for (float& element : out) element = static_cast<float>(random.Uniform(-value, value));
      return;
  }
}

}  // namespace

absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan) {
  if (plan.model.architecture == plan::Architecture::kTorchScript) {
    return TorchScriptInitialModel(plan);
  }
  return WithTorch("making the first model", [&]() -> absl::StatusOr<ModelState> {
    const std::unique_ptr<Network> network = Network::Make(plan);
    Layout layout = network->MakeLayout();
    std::vector<float> values(TotalElements(layout));
    std::size_t offset = 0;
    for (const NamedTensor& entry : network->tensors()) {
      const auto count = static_cast<std::size_t>(entry.tensor.numel());
      Fill(entry, plan.seed, std::span(values).subspan(offset, count));
      offset += count;
    }
    return ModelState::Create(std::move(layout), std::move(values));
  });
}

}  // namespace consilium::learning
