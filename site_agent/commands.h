#pragma once

// The commands of consilium-site. Each prints its result to standard output and its progress to
// standard error.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"

namespace consilium::site_agent {

struct EnrolCommand {
  std::string token, coordinator;  // coordinator: another address than the token's
  fs::path state;
  crypto::PassphraseOptions passphrase;
  bool json = false;
};
absl::Status Run(const EnrolCommand& command);

// What needs the site's keys, and no more.
struct KeysCommand {
  fs::path state;
  crypto::PassphraseOptions passphrase;
  bool json = false;
};
absl::Status ShowFingerprint(const KeysCommand& command);
// kFailedPrecondition when a check failed.
absl::Status Check(const KeysCommand& command);

struct RunCommand {
  fs::path state, data, labels;
  crypto::PassphraseOptions passphrase;
  int threads = 0;
  bool once = false;
};
absl::Status Run(const RunCommand& command);

struct TrainCommand {
  fs::path plan, state, out;
  fs::path initial;  // the file of the plan's model.initial
  std::vector<fs::path> data;
  std::uint32_t epochs = 0;
  std::optional<std::uint64_t> seed;  // default: the plan's
  int threads = 0;
  bool json = false;
};
absl::Status Run(const TrainCommand& command);

// ---- the operator's, beside a running agent or without one

struct LookCommand {
  fs::path state;
  bool json = false;
};
absl::Status ShowStatus(const LookCommand& command);
absl::Status ShowOutbox(const LookCommand& command);

struct DecideCommand {
  fs::path state;
  std::string run;
  bool approve = false;
};
absl::Status Decide(const DecideCommand& command);

absl::Status Pause(const fs::path& state);
absl::Status Resume(const fs::path& state);
// The coordinator's audit log may begin anew for this site. Not beside a running agent.
absl::Status AcceptLog(const fs::path& state);

}  // namespace consilium::site_agent
