#pragma once

// What a federation's operator does about its members: founding it, inviting, admitting, revoking.
// The coordinator may serve meanwhile: it sees each change in the ledger within a second.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"
#include "coordinator/federation/federation_root.h"
#include "coordinator/ledger.h"

namespace consilium::federation {

using coordinator::Ledger;
using coordinator::Member;

inline constexpr int kDefaultPort = 8443;
inline constexpr Duration kDefaultCertificateLife = std::chrono::hours(24 * 90);

struct Founding {
  std::string name;  // of the federation
  // Names of the coordinator; the first, with its port or kDefaultPort, is what members are told.
  std::vector<std::string> hosts;
  fs::path root, state;  // folders of the root and of the coordinator
  Duration certificate_life = kDefaultCertificateLife;
};
struct Founded {
  identity::SignedRoster roster;  // version 1: the coordinator alone
  std::string address;
};
// Makes the root, the coordinator's keys and ledger, and the first roster. kAlreadyExists, nothing
// being changed, when one of the folders holds such things.
absl::StatusOr<Founded> Found(const Founding& founding, const crypto::Passphrase& for_root,
                              const crypto::Passphrase& for_coordinator, Time now);

// kNotFound, with the command to run, when the folder holds no coordinator.
absl::StatusOr<Ledger> OpenLedger(const fs::path& state);

std::string FingerprintOf(const Member& member);  // identity::ReadableFingerprint

// Enrolled, not revoked, and not yet admitted; by name.
absl::StatusOr<std::vector<Member>> Waiting(Ledger& ledger);
// kNotFound, naming those that wait.
absl::StatusOr<Member> WaitingMember(Ledger& ledger, std::string_view name);
// OK when the text that somebody read out is this member's fingerprint, with or without hyphens
// and in any case. kPermissionDenied.
absl::Status CheckFingerprint(const Member& member, std::string_view read_out);

// The roster after the newest of the root with `members` in it (each replaces the entry of its
// name) and without those that the ledger has revoked; signed, kept with the root, and put into
// force. kFailedPrecondition when the ledger has a newer roster than the root knows, or is of
// another federation.
absl::StatusOr<identity::SignedRoster> Admit(const FederationRoot& root, Ledger& ledger,
                                             const std::vector<Member>& members, Time now);

// Shuts a member out in the ledger, at once, and with a root signs the next roster without it.
// kNotFound: no such member. A name that is revoked already is taken off the roster.
absl::StatusOr<std::optional<identity::SignedRoster>> Revoke(const FederationRoot* root,
                                                             Ledger& ledger,
                                                             const std::string& name, Time now);

}  // namespace consilium::federation
