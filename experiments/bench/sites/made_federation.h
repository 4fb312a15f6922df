#pragma once

// A federation of many members for measurements, made at once: its coordinator's state is written
// through the coordinator's own libraries, as enrolment and admission would leave it.

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "common/identity/identity.h"
#include "coordinator/authority.h"

namespace consilium::experiments {

// FOLDER/coordinator (state), FOLDER/passphrase (of its keys).
class MadeFederation {
 public:
  // Sites "site-0001" ... and the researcher "researcher", all admitted; the coordinator answers at
  // 127.0.0.1:port.
  static absl::StatusOr<MadeFederation> Make(const fs::path& folder, int sites, int port);

  fs::path state() const { return folder_ / "coordinator"; }
  fs::path passphrase() const { return folder_ / "passphrase"; }
  const std::vector<identity::Identity>& sites() const { return sites_; }
  const identity::Identity& researcher() const { return researcher_; }
  // The state folder of an enrolled member, as its own program would have written it; with keys
  // that are not wrapped. `coordinator`: the address it is to call, if another ("host:port").
  absl::Status SaveMember(const identity::Identity& member, const fs::path& state,
                          const std::string& coordinator = {}) const;

 private:
  explicit MadeFederation(fs::path folder) : folder_(std::move(folder)) {}
  absl::StatusOr<identity::Identity> AddMember(const coordinator::Authority& authority,
                                               coordinator::SharedLedger& ledger,
                                               const std::string& name, identity::Role role) const;
  absl::Status Admit(const coordinator::Authority& authority, coordinator::SharedLedger& ledger,
                     const crypto::Ed25519KeyPair& root);

  fs::path folder_;
  std::string address_;
  std::vector<identity::Identity> sites_;
  identity::Identity researcher_;
  identity::SignedRoster roster_;
};

// Of members, for another process: private keys too, so that the file is for this user only.
absl::Status WriteIdentities(const fs::path& file, std::span<const identity::Identity> identities);
absl::StatusOr<std::vector<identity::Identity>> ReadIdentities(const fs::path& file);

}  // namespace consilium::experiments
