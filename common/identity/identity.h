#pragma once

// Who a member (site, researcher, auditor) is towards its federation: enrolled once, kept in
// STATE/keys, used for every connection and every signature.
//
//   STATE/keys/tls.key, signing.key, state.key   private, in a crypto::KeyFolder
//   STATE/keys/tls.crt           the certificate, renewed with the same key
//   STATE/keys/ca.crt            the coordinator's certificate authority
//   STATE/keys/root.pub          the federation's root key, 64 hexadecimal digits
//   STATE/keys/coordinator.address
//   STATE/keys/roster.json       the pinned roster (roster.h)

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/crypto/keys.h"
#include "common/crypto/passphrase.h"
#include "common/identity/roster.h"
#include "common/wire/versions.h"

namespace grpc {
class Channel;
}

namespace consilium::identity {

struct Identity {
  std::string name;  // as the federation knows us
  Role role = Role::kSite;
  std::string federation;
  std::string coordinator;     // host:port
  std::string certificate;     // PEM
  std::string authority;       // PEM: the coordinator's certificate authority, pinned by the token
  crypto::Secret private_key;  // PEM: of the certificate
  Digest tls_key;              // crypto::KeyFingerprint of the certificate
  crypto::Ed25519KeyPair signing;   // this member's own
  crypto::Secret state_key;         // 32 bytes: seals secrets that this member keeps on its disk
  crypto::Ed25519PublicKey root{};  // the federation's: signs rosters
};

// Asks for membership with a one-time token. Takes the authority by the token's fingerprint, makes
// all keys here (they never leave), proves possession of both, checks the certificate and, with the
// token's root key, the roster; then saves the identity in `state`/keys. All or nothing: a try that
// breaks off leaves no identity, and the next needs a new token. `coordinator`: another address
// than the token's. Admission to the roster comes later, by the federation's root.
//
// Errors: kInvalidArgument (not a token; the token is for another role), kUnauthenticated (someone
// stands between, or another coordinator's token, or a roster that the root did not sign),
// kPermissionDenied (wrong, used or expired), kAlreadyExists (this folder is enrolled already),
// kUnavailable (nobody answers).
absl::StatusOr<Identity> Enrol(std::string_view token, Role role, const fs::path& state,
                               const crypto::Passphrase& passphrase,
                               const std::string& coordinator = {});

// kNotFound, with the command to run, when `state` holds no identity; kUnauthenticated: a wrong
// passphrase; crypto::FindPassphrase's errors when the keys are wrapped and there is none.
absl::StatusOr<Identity> LoadIdentity(const fs::path& state,
                                      const crypto::PassphraseOptions& passphrase = {});

// A channel with mutual TLS, keepalive, and an HTTP CONNECT proxy honoured when the environment
// names one. Connects lazily. A renewed certificate needs a new channel. Every call says `ours`,
// and fails with kFailedPrecondition when the coordinator speaks another protocol
// (wire/versions.h).
std::shared_ptr<grpc::Channel> OpenChannel(const Identity& identity,
                                           const wire::ProgramVersion& ours = {});

// When two thirds of the certificate's life are over; the epoch when it cannot be read.
Time RenewalDue(const Identity& identity);

// A new certificate for the same key, saved durably and put into `identity`. kUnauthenticated when
// the coordinator gives one of another name, role, key or authority (nothing is changed then), or
// no longer takes the old one; kUnavailable when it does not answer.
absl::Status Renew(Identity& identity, const fs::path& state, Time now);

struct PingResult {
  Time time{};          // the coordinator's
  Duration round_trip;  // how long the answer took
  std::string program_version;
  int protocol_version = 0;
  std::string federation;
  std::uint64_t roster_version = 0;
  std::string caller;  // who the coordinator takes us for; empty: it sees no certificate
  std::string
      standing;  // "member", "waiting to be admitted", "revoked", "unknown", "no certificate"
};
// For preflight checks.
absl::StatusOr<PingResult> Ping(const Identity& identity);

// The file of the roster in force, not verified: PinnedRoster::Advance does.
absl::StatusOr<std::string> FetchRoster(const Identity& identity);

}  // namespace consilium::identity
