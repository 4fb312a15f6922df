#pragma once

// The operator's word on single runs (policy.toml: decide = "ask"), given by `consilium-site
// approve RUN` or `refuse RUN` beside the running agent, as one small file a run:
//
//   STATE/approvals/RUN := ("approved" | "refused") space SHA-256 of the plan's text newline
//
// A word is good for the very plan that the operator was shown.

#include <optional>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"

namespace consilium::site_agent {

enum class Approval { kNone, kApproved, kRefused };

// Durable when it returns.
absl::Status WriteApproval(const fs::path& folder, const RunId& run, const PlanHash& plan,
                           bool approved);
// kNone also where the word was on another plan. kDataLoss: not such a file.
absl::StatusOr<Approval> ReadApproval(const fs::path& folder, const RunId& run,
                                      const PlanHash& plan);

}  // namespace consilium::site_agent
