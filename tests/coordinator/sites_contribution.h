#pragma once

// What a site does with its update before it uploads it, for tests.

#include <cstring>
#include <utility>
#include <vector>

#include "common/base/fixed_point.h"
#include "common/base/status.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"
#include "common/model/quantizer.h"
#include "common/secagg/masking.h"
#include "common/secagg/site_session.h"
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

struct MaskedContribution {
  wire::UploadHeader header;
  std::vector<Bytes> segments;
};

// As UploadProof::sha256 counts them.
inline Digest HashOfMasked(const std::vector<std::uint32_t>& values,
                           const std::vector<std::uint64_t>& sums) {
  Bytes bytes(values.size() * 4 + sums.size() * 8);
  std::uint8_t* at = bytes.data();
  for (const std::uint32_t value : values) StoreLe32(std::exchange(at, at + 4), value);
  for (const std::uint64_t sum : sums) StoreLe64(std::exchange(at, at + 8), sum);
  return crypto::Sha256(bytes);
}

// Quantized with the site's share of the session's weight, masked and signed. Values are rounded
// half up: the same in every run.
inline absl::StatusOr<MaskedContribution> MaskUpdate(secagg::SiteSession& session,
                                                     wire::UploadHeader header,
                                                     const std::vector<float>& delta, double weight,
                                                     double loss, double seconds) {
  const secagg::SessionConfig& config = session.config();
  const double share = weight / config.total_weight;
  ASSIGN_OR_RETURN(const Quantizer quantizer,
                   Quantizer::Create(config.clip_norm, config.cohort_size, share));
  ASSIGN_OR_RETURN(const double factor, quantizer.ClipFactor(delta));
  std::vector<std::uint32_t> values(delta.size());
  Bytes half(2 * delta.size());
  for (std::size_t i = 1; i < half.size(); i += 2) half[i] = 0x80;
  quantizer.Quantize(delta, factor, half, values);
  header.kind = wire::ContributionKind::kMaskedUpdate;
  header.plaintext_size = values.size() * sizeof(std::uint32_t);
  header.masked_sums = {ToFixedPoint(loss * share), ToFixedPoint(seconds * share)};
  ASSIGN_OR_RETURN(const std::vector<secagg::Mask> masks, session.Masks());
  ASSIGN_OR_RETURN(auto masker, secagg::Masker::Create(masks, values.size()));
  RETURN_IF_ERROR(masker.AddToValues(0, values));
  RETURN_IF_ERROR(masker.AddToSums(0, header.masked_sums));
  ASSIGN_OR_RETURN(header.proof, session.SignUpload(HashOfMasked(values, header.masked_sums)));
  MaskedContribution masked{std::move(header), {}};
  const ByteView bytes(reinterpret_cast<const std::uint8_t*>(values.data()), 4 * values.size());
  for (std::size_t at = 0; at < bytes.size(); at += crypto::kSegmentBytes) {
    const ByteView piece = bytes.subspan(at, std::min(crypto::kSegmentBytes, bytes.size() - at));
    masked.segments.emplace_back(piece.begin(), piece.end());
  }
  return masked;
}

}  // namespace consilium::coordinator
