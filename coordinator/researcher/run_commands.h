#pragma once

// The commands of the researcher's program about plans and runs. Each prints its result to standard
// output.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/passphrase.h"
#include "common/identity/roster.h"
#include "common/wire/protocol.h"

namespace consilium::researcher {

struct CommandOptions {
  fs::path state;  // the researcher's or auditor's identity
  crypto::PassphraseOptions passphrase;
  bool json = false;
};

class ResearchChannel;

absl::StatusOr<std::unique_ptr<ResearchChannel>> Channel(const CommandOptions& options);
// Gives every event of the run to `take`, in order, until its end. A broken connection is taken up
// again where it stopped, for as long as it takes. kAborted when the run failed.
absl::Status FollowRun(ResearchChannel& channel, const RunId& run,
                       const std::function<void(const wire::RunEvent&)>& take);
// A blocked gRPC read does not end at a signal. Watching keeps nothing, so Ctrl-C may simply end
// the program: call it once, before watching.
void EndWatchingAtInterrupt();

// `role`: researcher or auditor. `coordinator`: another address than the token's; may be empty.
absl::Status EnrolCommand(const CommandOptions& options, const std::string& coordinator,
                          const std::string& token, identity::Role role);
// The fingerprint that the federation's operator sees as well, before admitting us.
absl::Status FingerprintCommand(const CommandOptions& options);
absl::Status PlanCheckCommand(const CommandOptions& options, const std::string& file);
absl::Status SubmitCommand(const CommandOptions& options, const std::string& file, bool watch);
absl::Status WatchCommand(const CommandOptions& options, const RunId& run);
absl::Status StopCommand(const CommandOptions& options, const RunId& run);
absl::Status ListRunsCommand(const CommandOptions& options);
absl::Status ShowRunCommand(const CommandOptions& options, const RunId& run);

}  // namespace consilium::researcher
