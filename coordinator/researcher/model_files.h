#pragma once

// The commands of the researcher's program that make one model file of another, or bring one.

#include "absl/status/status.h"
#include "coordinator/researcher/run_commands.h"

namespace consilium::researcher {

// Sends a model file, as `consilium-site model map` or a fetch wrote it, to the coordinator, so
// that plans may begin from it, and says its id.
absl::Status ImportCommand(const CommandOptions& options, const fs::path& model);

// Offline: the model with its adapters folded into their weights, as plain networks load it.
absl::Status MergeCommand(const CommandOptions& options, const fs::path& model,
                          const fs::path& out);

}  // namespace consilium::researcher
