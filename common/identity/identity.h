#pragma once

// Who a site agent or a researcher is towards the coordinator: enrolled once, kept in STATE/keys,
// used for every connection.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/crypto/keys.h"

namespace grpc {
class Channel;
}

namespace consilium::identity {

struct Identity {
  std::string name;            // as the coordinator knows us
  std::string role;            // "site" or "researcher"
  std::string coordinator;     // host:port
  std::string certificate;     // PEM
  std::string authority;       // PEM: the coordinator's certificate authority, pinned by the token
  crypto::Secret private_key;  // PEM
  crypto::Ed25519PublicKey signing_key{};  // the coordinator's: verifies model records
};

// Asks for membership with a one-time token: takes the authority by the token's fingerprint, makes
// a key here (it never leaves), sends a request for a certificate, and saves the identity in
// `state`/keys. Errors: kInvalidArgument (not a token; the token is for another role),
// kUnauthenticated (someone stands between, or another coordinator's token), kPermissionDenied
// (wrong, used or expired), kAlreadyExists (this folder is enrolled already), kUnavailable (nobody
// answers).
absl::StatusOr<Identity> Enrol(const std::string& coordinator, std::string_view token,
                               std::string_view role, const fs::path& state);

// kNotFound, with the command to run, when `state` holds no identity.
absl::StatusOr<Identity> LoadIdentity(const fs::path& state);

// A channel with mutual TLS, keepalive, and an HTTP CONNECT proxy honoured when the environment
// names one. Connects lazily.
std::shared_ptr<grpc::Channel> OpenChannel(const Identity& identity);

}  // namespace consilium::identity
