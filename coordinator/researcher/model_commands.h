#pragma once

// The commands of the researcher's program about models. Each prints its result to standard output.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/researcher/run_commands.h"

namespace consilium::researcher {

absl::Status ListModelsCommand(const CommandOptions& options);
// Writes OUT and, beside it, OUT's name with .record.json and .log.json, after verifying all three.
absl::Status FetchCommand(const CommandOptions& options, const std::string& model,
                          const fs::path& out);

struct VerifyOptions {
  fs::path model;
  fs::path record, log;  // empty: beside the model (the log only if it is there)
  std::string root;      // 64 hexadecimal digits or a file with them; empty: the one enrolled with
};
// Offline. kUnauthenticated naming the first link that is broken; says what it proves when all
// fits.
absl::Status VerifyCommand(const CommandOptions& options, const VerifyOptions& verify);

struct CardOptions {
  VerifyOptions verify;
  fs::path plan;                  // as it was submitted; empty: the card does without
  std::vector<fs::path> results;  // what `consilium-site evaluate --json` printed; the file's stem
                                  // is the place's name
  fs::path out;                   // FILE.html; FILE.md is written beside it
};
// Offline: verifies the model, then writes its card as HTML and Markdown.
absl::Status CardCommand(const CommandOptions& options, const CardOptions& card);

// The whole log, to a file.
absl::Status FetchLogCommand(const CommandOptions& options, const fs::path& out);
// Offline: its chain, and the sites' countersignatures by the pinned roster or `roster`.
absl::Status VerifyLogCommand(const CommandOptions& options, const fs::path& log,
                              const std::string& root, const fs::path& roster);

}  // namespace consilium::researcher
