#pragma once

// Who belongs to a federation: a list signed by the federation's offline root key. Every program
// pins the root's public key when it is enrolled and believes no other list; the coordinator only
// carries it about. Versions only go up.
//
//   file := {"roster": {...}, "signature": "<128 hexadecimal digits>"} newline, in the canonical
//   form of crypto/signed_document.h; the signature is Ed25519 by the root over "consilium roster
//   v1\n" and the compact JSON.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"

namespace consilium::identity {

// The numbers are stored: append only.
enum class Role { kSite = 1, kResearcher = 2, kCoordinator = 3, kAuditor = 4 };
std::string_view Name(Role role);  // "site", "researcher", "coordinator", "auditor"
std::optional<Role> RoleNamed(std::string_view name);

struct RosterEntry {
  std::string name;
  Role role = Role::kSite;
  crypto::Ed25519PublicKey signing_key{};
  Digest tls_key;  // SHA-256 of the TLS key's SubjectPublicKeyInfo (DER): renewing the certificate
                   // keeps it
  double weight_cap = 0;  // a site counts with at most this weight in a mean; 0: no cap
  std::optional<crypto::X25519PublicKey> sealing_key;  // the coordinator's
  bool operator==(const RosterEntry&) const = default;
};

struct Roster {
  std::string federation;
  std::uint64_t version = 0;  // from 1
  Time issued{};
  std::vector<RosterEntry> members;  // by name; names, signing keys and TLS keys occur once each

  const RosterEntry* Find(std::string_view name) const;  // null: not a member
  const RosterEntry* FindByTlsKey(const Digest& tls_key) const;
  const RosterEntry* Coordinator() const;  // null: none
  std::map<SiteId, crypto::Ed25519PublicKey> SiteKeys() const;
  bool operator==(const Roster&) const = default;
};

struct SignedRoster {
  Roster roster;
  std::string file;
  Digest hash;  // SHA-256 of the file
};

// Signs with the root key. kInvalidArgument: a name or key twice, more than one coordinator, a name
// against the grammar.
absl::StatusOr<SignedRoster> SignRoster(const crypto::Ed25519KeyPair& root, Roster roster);
// kUnauthenticated: not signed by `root`; kInvalidArgument: not a roster, or not in canonical form.
absl::StatusOr<SignedRoster> VerifyRoster(const crypto::Ed25519PublicKey& root,
                                          std::string_view file);

// The roster that a member believes in, in STATE/keys/roster.json. Thread-compatible.
class PinnedRoster {
 public:
  // Verifies it. kNotFound: none pinned yet.
  static absl::StatusOr<PinnedRoster> Load(const fs::path& state,
                                           const crypto::Ed25519PublicKey& root);
  const SignedRoster& current() const { return current_; }
  // Takes a newer one over, durably, after verifying it. The same again is OK. kUnauthenticated:
  // forged; kFailedPrecondition: older than the pinned one, another of the same version, or of
  // another federation.
  absl::Status Advance(std::string_view file);

 private:
  PinnedRoster(fs::path path, crypto::Ed25519PublicKey root, SignedRoster current);
  fs::path path_;
  crypto::Ed25519PublicKey root_;
  SignedRoster current_;
};
// The first one, at enrolment.
absl::Status PinRoster(const fs::path& state, const SignedRoster& roster);

// What two people read to each other before a member is admitted: 80 bits of SHA-256 over name,
// role and both keys, as four groups of four letters and digits ("k3q2-9fma-x7tp-04jc"), so that no
// other pair of keys can be shown for it.
std::string ReadableFingerprint(std::string_view name, Role role,
                                const crypto::Ed25519PublicKey& signing_key, const Digest& tls_key);

}  // namespace consilium::identity
