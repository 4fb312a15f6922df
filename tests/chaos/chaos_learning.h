#pragma once

// What chaos sites "learn": so quick, and so exactly known beforehand, that whoever knows the seeds
// can say what every model of a run must be, to the last bit.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"
#include "common/model/model_state.h"

namespace consilium::chaos {

// The same for every plan; its first value is 0.
absl::StatusOr<ModelState> FirstModel(std::uint64_t parameters);

// The values after a training from `base`: the first one rises by kStep, the others move by less
// than kStep, as the seed draws.
inline constexpr float kStep = 1.0f / 64;
std::vector<float> Trained(std::span<const float> base, std::uint64_t seed);

// A model is the better the larger its first value is, so that the last round's is published.
metrics::BinarySums Evaluated(std::span<const float> values);

// The seed that Learner::Train gets at a site in a round of a plan: as the coordinator and the
// agent mix it.
std::uint64_t SeedAt(std::uint64_t plan_seed, std::uint32_t round, std::string_view site);

}  // namespace consilium::chaos
