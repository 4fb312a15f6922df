#pragma once

// `consilium federation ...`: each command prints its answer to standard output, as JSON when asked
// to.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"
#include "coordinator/federation/federation.h"

namespace consilium::federation {

struct CommandOptions {
  fs::path root;   // the offline root's folder; empty: not given
  fs::path state;  // the coordinator's
  crypto::PassphraseOptions root_passphrase, passphrase;
  bool json = false;
};

absl::Status InitCommand(const CommandOptions& options, const std::string& name,
                         const std::vector<std::string>& hosts, double certificate_days);
// A token for one member; may run while the coordinator serves, as all that follow.
absl::Status InviteCommand(const CommandOptions& options, const std::string& name,
                           identity::Role role, double valid_hours, double weight_cap);
absl::Status PendingCommand(const CommandOptions& options);
// `fingerprints`: as they were read out, one for each name, or none: then a person is asked on
// standard input, name by name. All or none of them are admitted. kPermissionDenied: a fingerprint
// differs, or the answer was no.
absl::Status AdmitCommand(const CommandOptions& options, const std::vector<std::string>& names,
                          const std::vector<std::string>& fingerprints);
absl::Status RevokeCommand(const CommandOptions& options, const std::string& name);
absl::Status RosterCommand(const CommandOptions& options);

}  // namespace consilium::federation
