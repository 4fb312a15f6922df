#pragma once

// The site's own word on what it takes part in, from STATE/policy.toml. Without the file everything
// with a cohort of at least two sites is allowed. It is read anew before every task, so that an
// operator's change needs no restart:
//
//   enabled = true                      # false: take part in nothing, send nothing
//   plans = ["chest-opacity"]           # plan names allowed; absent: all
//   targets = ["opacity"]               # label columns allowed; absent: all
//   architectures = ["resnet18"]        # absent: all
//   minimum_cohort = 3                  # refuse plans that would count a round on fewer sites
//   maximum_rounds = 50

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"

namespace consilium::site_agent {

struct Policy {
  bool enabled = true;
  std::optional<std::vector<std::string>> plans, targets, architectures;
  std::uint32_t minimum_cohort = 2;
  std::optional<std::uint32_t> maximum_rounds;

  // kPermissionDenied with the rule that forbids it.
  absl::Status Check(const plan::Plan& plan) const;
};

// Unknown keys, wrong types and values out of range are refused (kInvalidArgument with the line).
absl::StatusOr<Policy> ParsePolicy(std::string_view toml);
// The default when there is no such file.
absl::StatusOr<Policy> LoadPolicy(const fs::path& file);

}  // namespace consilium::site_agent
