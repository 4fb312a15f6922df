#include "common/secagg/key_schedule.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/secagg/fields.h"

namespace consilium::secagg {
namespace {

constexpr std::size_t kKeyBytes = 32;

absl::StatusOr<crypto::Secret> Derive(const crypto::Secret& key, const Digest& transcript,
                                      const Fields& info) {
  return crypto::Hkdf(key.Reveal(), transcript.bytes, info.bytes(), kKeyBytes);
}

}  // namespace

absl::StatusOr<crypto::Secret> SelfMaskKey(const crypto::Secret& seed, const Digest& transcript) {
  return Derive(seed, transcript, Fields("self"));
}

absl::StatusOr<crypto::Secret> PairMaskKey(const crypto::Secret& mask_key,
                                           const crypto::X25519PublicKey& peer,
                                           const Digest& transcript, const SiteId& one,
                                           const SiteId& other) {
  ASSIGN_OR_RETURN(const crypto::Secret agreement, crypto::X25519(mask_key, peer));
  const auto& [smaller, greater] = std::minmax(one, other);
  Fields info("mask");
  info.AddText(smaller.value).AddText(greater.value);
  return Derive(agreement, transcript, info);
}

absl::StatusOr<crypto::Secret> ShareKey(const crypto::Secret& agreement, const Digest& transcript,
                                        const SiteId& from, const SiteId& to) {
  Fields info("share");
  info.AddText(from.value).AddText(to.value);
  return Derive(agreement, transcript, info);
}

Bytes ShareAssociatedData(const Digest& transcript, const SiteId& from, const SiteId& to) {
  Fields data("consilium secagg share v1");
  data.Add(transcript.bytes).AddText(from.value).AddText(to.value);
  return std::move(data).Take();
}

}  // namespace consilium::secagg
