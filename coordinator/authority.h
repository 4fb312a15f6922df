#pragma once

// Who may be here: the coordinator's keys, its small certificate authority, and the invitations
// with which members join.
//
//   STATE/keys/ca.crt, ca.key          the authority that signs members' certificates
//   STATE/keys/tls.crt, tls.key        this server's certificate (its chain includes the authority)
//   STATE/keys/signing.key             Ed25519: signs model records
//   STATE/keys/sealing.key             X25519: sites seal their updates to it

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/crypto/certificates.h"
#include "common/crypto/keys.h"
#include "coordinator/shared_ledger.h"

namespace consilium::coordinator {

struct Enrolment {
  std::string certificate_pem;
  std::string name;
  Role role = Role::kSite;
};

// Immutable after Load; thread-safe.
class Authority {
 public:
  // Makes the keys of a new coordinator. kAlreadyExists when the folder has some. `hosts`: DNS
  // names and IP addresses under which members will reach it.
  static absl::Status Create(const fs::path& state, std::string_view federation,
                             const std::vector<std::string>& hosts, Time now);
  // kNotFound, with the command to run, before Create.
  static absl::StatusOr<Authority> Load(const fs::path& state);

  const std::string& authority_pem() const { return authority_.certificate; }
  const Digest& fingerprint() const { return fingerprint_; }
  const crypto::PemIdentity& server() const { return server_; }
  const crypto::X25519KeyPair& sealing_key() const { return sealing_; }
  const crypto::Ed25519KeyPair& signing_key() const { return signing_; }

  // A one-time token for one name and role. It is shown once and kept nowhere: the ledger has its
  // hash.
  absl::StatusOr<std::string> Invite(SharedLedger& ledger, std::string_view name, Role role,
                                     Duration valid_for, Time now, RandomSource& random) const;

  // Spends a token and signs a certificate of 90 days for the invited name and role, whatever the
  // request asks for. kInvalidArgument: not a token, or not a request; kUnauthenticated: another
  // coordinator's token; kPermissionDenied: unknown, used or expired, or made for another role
  // than `role` (then it is not used up).
  absl::StatusOr<Enrolment> Enrol(SharedLedger& ledger, std::string_view token,
                                  std::string_view role, std::string_view request_pem,
                                  Time now) const;

 private:
  Authority() = default;
  crypto::PemIdentity authority_, server_;
  Digest fingerprint_;
  crypto::X25519KeyPair sealing_;
  crypto::Ed25519KeyPair signing_;
};

}  // namespace consilium::coordinator
