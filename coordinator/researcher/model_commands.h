#pragma once

// The commands of the researcher's program about models. Each prints its result to standard output.

#include <string>

#include "absl/status/status.h"
#include "coordinator/researcher/run_commands.h"

namespace consilium::researcher {

absl::Status ListModelsCommand(const CommandOptions& options);
// Writes OUT and, beside it, OUT's name with .record.json.
absl::Status FetchCommand(const CommandOptions& options, const std::string& model,
                          const fs::path& out);
// Offline. `record` and `key` may be empty: beside the model, and of the enrolment.
// kUnauthenticated when the model file is not the one the record names or the record is not signed
// by the key; says what it proves when all fits.
absl::Status VerifyCommand(const CommandOptions& options, const fs::path& model,
                           const fs::path& record, const std::string& key);

}  // namespace consilium::researcher
