#pragma once

// The keys that a session derives from its secrets, all with HKDF-SHA256 and the transcript T as
// salt. Sites and coordinator must derive the same. Internal to this folder.

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "common/secagg/messages.h"

namespace consilium::secagg {

// Of a site's own mask: HKDF(seed, T, "self").
absl::StatusOr<crypto::Secret> SelfMaskKey(const crypto::Secret& seed, const Digest& transcript);

// Of the mask that two sites share: HKDF(X25519(s, s'), T, "mask" | smaller name | greater name).
// kInvalidArgument: `peer` is of low order.
absl::StatusOr<crypto::Secret> PairMaskKey(const crypto::Secret& mask_key,
                                           const crypto::X25519PublicKey& peer,
                                           const Digest& transcript, const SiteId& one,
                                           const SiteId& other);
// Of two sites the one with the greater name subtracts their mask, the other adds it.
inline bool Subtracts(const SiteId& site, const SiteId& other) { return other < site; }

// Seals the one message from `from` to `to`: HKDF(X25519(c, c'), T, "share" | from | to).
absl::StatusOr<crypto::Secret> ShareKey(const crypto::Secret& agreement, const Digest& transcript,
                                        const SiteId& from, const SiteId& to);
// T | from | to.
Bytes ShareAssociatedData(const Digest& transcript, const SiteId& from, const SiteId& to);

}  // namespace consilium::secagg
