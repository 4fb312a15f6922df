#pragma once

// The federation's offline root: the key that signs rosters, and every roster it signed. The folder
// is meant for a medium that lies in a safe and is at hand only while somebody is admitted.
//
//   ROOT/root.key              Ed25519, in a crypto::KeyFolder (wrapped with a passphrase)
//   ROOT/root.pub              its public key, 64 hexadecimal digits
//   ROOT/roster-000001.json    ... every signed roster, by version
//
// Claim: versions only go up: a version that was signed once is never signed again from this folder
// with another content.

#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/crypto/keys.h"
#include "common/crypto/passphrase.h"
#include "common/identity/roster.h"

namespace consilium::federation {

class FederationRoot {
 public:
  // A new key. kAlreadyExists when the folder holds one.
  static absl::StatusOr<FederationRoot> Create(const fs::path& folder,
                                               const crypto::Passphrase& passphrase);
  // kNotFound: no root there; kUnauthenticated: a wrong passphrase.
  static absl::StatusOr<FederationRoot> Open(const fs::path& folder,
                                             const crypto::PassphraseOptions& passphrase = {});

  const crypto::Ed25519PublicKey& public_key() const { return key_.public_key; }

  // The newest roster of the folder, verified. kNotFound before the first.
  absl::StatusOr<identity::SignedRoster> Newest() const;

  // Signs `roster` as the version after the newest and keeps it durably before it returns it.
  absl::StatusOr<identity::SignedRoster> SignNext(identity::Roster roster, Time now) const;

 private:
  FederationRoot(fs::path folder, crypto::Ed25519KeyPair key)
      : folder_(std::move(folder)), key_(std::move(key)) {}
  fs::path folder_;
  crypto::Ed25519KeyPair key_;
};

}  // namespace consilium::federation
