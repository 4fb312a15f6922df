#pragma once

// What a site does with its update before it uploads it, for tests.

#include <cstring>
#include <vector>

#include "common/crypto/envelope.h"
#include "common/wire/protocol.h"

namespace consilium::coordinator {

struct SealedContribution {
  wire::UploadHeader header;
  std::vector<Bytes> segments;
};

// `header` without its envelope_header and plaintext_size, which come from `values`.
inline SealedContribution Seal(const SiteId& site, wire::UploadHeader header,
                               const std::vector<float>& values,
                               const crypto::X25519PublicKey& recipient) {
  header.plaintext_size = values.size() * sizeof(float);
  auto sealer =
      crypto::EnvelopeSealer::Create(recipient, wire::EnvelopeContext(site, header)).value();
  header.envelope_header = sealer.header();
  Bytes plaintext(header.plaintext_size);
  std::memcpy(plaintext.data(), values.data(), plaintext.size());
  SealedContribution sealed{header, {}};
  for (std::size_t at = 0; at < plaintext.size(); at += crypto::kSegmentBytes) {
    const std::size_t n = std::min(crypto::kSegmentBytes, plaintext.size() - at);
    Bytes segment(n + crypto::kTagBytes);
    if (!sealer.SealNext({plaintext.data() + at, n}, at + n == plaintext.size(), segment).ok()) {
      std::abort();
    }
    sealed.segments.push_back(std::move(segment));
  }
  return sealed;
}

}  // namespace consilium::coordinator
