#pragma once

// The subcommands of consilium-coordinator: each prints its answer to standard output, as JSON when
// asked to.

#include <string>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"

namespace consilium::coordinator {

struct CommandOptions {
  fs::path state;
  crypto::PassphraseOptions passphrase;
  bool json = false;
};

// Until SIGINT or SIGTERM. One process at a time may serve a state folder. `address`: "host:port";
// empty: all addresses, at the port that members are told.
absl::Status ServeCommand(const CommandOptions& options, const std::string& address);
absl::Status StatusCommand(const CommandOptions& options);
absl::Status MembersCommand(const CommandOptions& options);
// check.h. kFailedPrecondition when something failed.
absl::Status CheckCommand(const CommandOptions& options, const std::string& address);
// Recomputes the audit log's chain and verifies the sites' signatures under its heads. kDataLoss
// where it does not fit; kUnauthenticated when a signature is not its site's.
absl::Status VerifyLogCommand(const CommandOptions& options);

}  // namespace consilium::coordinator
