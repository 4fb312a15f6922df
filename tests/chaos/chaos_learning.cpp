#include "tests/chaos/chaos_learning.h"

#include <algorithm>
#include <cmath>

#include "common/base/random.h"
#include "common/base/text.h"

namespace consilium::chaos {

absl::StatusOr<ModelState> FirstModel(std::uint64_t parameters) {
  constexpr std::uint64_t kTensor = 50'000;
  Layout layout;
  for (std::uint64_t begin = 0; begin < parameters; begin += kTensor) {
    layout.push_back({StrCat("layer", layout.size(), ".weight"),
                      {static_cast<std::int64_t>(std::min(kTensor, parameters - begin))}});
  }
  std::vector<float> values(parameters);
  for (std::uint64_t i = 0; i < parameters; ++i) {
    values[i] = i == 0 ? 0 : static_cast<float>(i % 1009) / 1009 - 0.5f;
  }
  return ModelState::Create(std::move(layout), std::move(values));
}

std::vector<float> Trained(std::span<const float> base, std::uint64_t seed) {
  SeededRandom random(seed, "chaos");
  std::vector<float> values(base.begin(), base.end());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] += i == 0 ? kStep : static_cast<float>(random.Uniform(-kStep, kStep));
  }
  return values;
}

metrics::BinarySums Evaluated(std::span<const float> values) {
  constexpr int kOfEach = 100;
  const int trained = static_cast<int>(std::lround(values[0] / kStep));
  metrics::BinarySums sums;
  for (int i = 0; i < kOfEach; ++i) {
    sums.Add(0.6, true);
    sums.Add(i < std::clamp(kOfEach / 2 - trained, 1, kOfEach / 2) ? 0.9 : 0.2, false);
  }
  sums.patients = 2 * kOfEach;
  return sums;
}

std::uint64_t SeedAt(std::uint64_t plan_seed, std::uint32_t round, std::string_view site) {
  const std::uint64_t of_round = SeededRandom(plan_seed, StrCat("round ", round))();
  return SeededRandom(of_round, StrCat("site ", site))();
}

}  // namespace consilium::chaos
