#pragma once

// The coordinator's audit log as this site sees it: each extension must go on from the head that
// the site signed last, and only then is its new head countersigned. A coordinator that shows two
// sites two logs, or takes an entry back, cannot get both heads signed: its log has a fork, which
// this site reports and remembers until its operator says otherwise.

#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/wire/protocol.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {

// Where the chain stands after `extension`, from `signed_head` (none: whatever it begins with is
// believed). An extension may begin before the signed head, as it does when the signature was lost.
// kDataLoss: it does not go through the signed head.
absl::StatusOr<LogHead> Follow(const std::optional<LogHead>& signed_head,
                               const wire::LogExtension& extension);

// kFailedPrecondition, with what the operator must do, after a fork; remembered in `state`.
absl::Status CheckNoFork(SiteState& state);
// Follows, keeps the new head, signs it. kFailedPrecondition: a fork, which is remembered.
absl::StatusOr<wire::LogSignature> Countersign(SiteState& state,
                                               const wire::LogExtension& extension,
                                               std::string_view federation,
                                               const crypto::Ed25519KeyPair& signing);

}  // namespace consilium::site_agent
