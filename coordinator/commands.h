#pragma once

// The subcommands of consilium-coordinator: each prints its answer to standard output, as JSON when
// asked to.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

struct CommandOptions {
  fs::path state;
  bool json = false;
};

absl::Status InitCommand(const CommandOptions& options, const std::string& federation,
                         const std::vector<std::string>& hosts);
// A token for one member; may run while the coordinator serves.
absl::Status InviteCommand(const CommandOptions& options, const std::string& name, Role role,
                           double valid_hours);
// Until SIGINT or SIGTERM. One process at a time may serve a state folder.
absl::Status ServeCommand(const CommandOptions& options, const std::string& address);
absl::Status MembersCommand(const CommandOptions& options);
absl::Status RevokeCommand(const CommandOptions& options, const std::string& name);
absl::Status StatusCommand(const CommandOptions& options);

}  // namespace consilium::coordinator
