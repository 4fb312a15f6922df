#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"

namespace consilium::experiments {

// The plan that quickstart uses when none is given (experiments/plans/quickstart.toml, built in).
extern const char kQuickstartPlan[];

struct PlanOverrides {
  std::optional<std::uint32_t> rounds;           // [stop] rounds
  std::optional<std::uint64_t> seed;             // [plan] seed
  std::optional<plan::Updates> updates;          // [aggregation] updates
  std::optional<plan::PersonalMethod> personal;  // [personalisation] method
};

// The plan's text with these values in place of its own, comments kept. The result is checked as a
// plan.
absl::StatusOr<std::string> OverridePlan(const std::string& toml, const PlanOverrides& overrides);

// A folder's or file's name as the name of a site: lower case, what the grammar of names
// (base/ids.h) does not allow turned into '-'. kInvalidArgument when nothing is left.
absl::StatusOr<std::string> NameFrom(const std::string& text);

}  // namespace consilium::experiments
