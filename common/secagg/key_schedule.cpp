#include "common/secagg/key_schedule.h"

#include <algorithm>

#include "common/base/field_writer.h"
#include "common/base/status.h"

namespace consilium::secagg {
namespace {

constexpr std::size_t kKeyBytes = 32;

absl::StatusOr<crypto::Secret> Derive(const crypto::Secret& key, const Digest& transcript,
                                      const FieldWriter& info) {
  return crypto::Hkdf(key.Reveal(), transcript.bytes, info.bytes(), kKeyBytes);
}

}  // namespace

absl::StatusOr<crypto::Secret> SelfMaskKey(const crypto::Secret& seed, const Digest& transcript) {
  return Derive(seed, transcript, FieldWriter("self"));
}

absl::StatusOr<crypto::Secret> PairMaskKey(const crypto::Secret& mask_key,
                                           const crypto::X25519PublicKey& peer,
                                           const Digest& transcript, const SiteId& one,
                                           const SiteId& other) {
  ASSIGN_OR_RETURN(const crypto::Secret agreement, crypto::X25519(mask_key, peer));
  const auto& [smaller, greater] = std::minmax(one, other);
  FieldWriter info("mask");
  info.Text(smaller.value).Text(greater.value);
  return Derive(agreement, transcript, info);
}

absl::StatusOr<crypto::Secret> ShareKey(const crypto::Secret& agreement, const Digest& transcript,
                                        const SiteId& from, const SiteId& to) {
  FieldWriter info("share");
  info.Text(from.value).Text(to.value);
  return Derive(agreement, transcript, info);
}

Bytes ShareAssociatedData(const Digest& transcript, const SiteId& from, const SiteId& to) {
  FieldWriter data("consilium secagg share v1");
  data.Field(transcript.bytes).Text(from.value).Text(to.value);
  return std::move(data).bytes();
}

}  // namespace consilium::secagg
