#include "site_agent/sealed_update.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "common/base/status.h"
#include "common/crypto/envelope.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kSegmentFloats = crypto::kSegmentBytes / sizeof(float);

bool AllFinite(std::span<const float> values) {
  bool finite = true;
  for (const float value : values) {
    finite &= std::abs(value) <= std::numeric_limits<float>::max();
  }
  return finite;
}

wire::UploadHeader HeaderOf(const Contribution& contribution) {
  wire::UploadHeader header;
  header.key = contribution.key;
  header.plaintext_size = contribution.model.values().size() * sizeof(float);
  header.loss = contribution.loss;
  header.train_seconds = contribution.train_seconds;
  header.weight = contribution.weight;
  if (IsUpdate(contribution)) {
    header.kind = wire::ContributionKind::kUpdate;
    header.base_model = contribution.base_id;
  } else {
    header.kind = wire::ContributionKind::kInitialModel;
    header.layout_header = WriteSafetensorsHeader(contribution.model.layout());
  }
  return header;
}

// Streams the contribution's plaintext through the sealer into `file`; returns the file's SHA-256.
absl::StatusOr<Digest> WriteEnvelope(const Contribution& contribution,
                                     crypto::EnvelopeSealer sealer, File& file) {
  crypto::Sha256Stream sha256;
  RETURN_IF_ERROR(file.WriteAt(0, sealer.header()));
  sha256.Update(sealer.header());
  const std::size_t values = contribution.model.values().size();
  std::vector<float> plaintext(std::min(values, kSegmentFloats));
  Bytes sealed(plaintext.size() * sizeof(float) + crypto::kTagBytes);
  std::uint64_t offset = crypto::kEnvelopeHeaderBytes;
  for (std::size_t first = 0; first < values; first += kSegmentFloats) {
    const std::size_t count = std::min(kSegmentFloats, values - first);
    const std::span<float> segment(plaintext.data(), count);
    CopyValues(contribution, first, segment);
    if (!AllFinite(segment)) return NotFinite(contribution.model.layout(), first, segment);
    const std::span<std::uint8_t> out(sealed.data(), count * sizeof(float) + crypto::kTagBytes);
    const ByteView bytes(reinterpret_cast<const std::uint8_t*>(segment.data()),
                         segment.size_bytes());
    RETURN_IF_ERROR(sealer.SealNext(bytes, first + count == values, out));
    RETURN_IF_ERROR(file.WriteAt(offset, out));
    sha256.Update(out);
    offset += out.size();
  }
  return std::move(sha256).Finish();
}

}  // namespace

absl::StatusOr<SealedUpdate> SealedUpdate::Restore(wire::UploadHeader header, const fs::path& path,
                                                   const Digest& sha256) {
  ASSIGN_OR_RETURN(OutboxFile restored, OutboxFile::Restore(std::move(header), path, sha256));
  return SealedUpdate(std::move(restored));
}

absl::StatusOr<SealedUpdate> Seal(Contribution&& contribution, const SiteId& site,
                                  const crypto::X25519PublicKey& recipient,
                                  const fs::path& outbox) {
  const Contribution taken = std::move(contribution);
  RETURN_IF_ERROR(CheckContribution(taken));
  wire::UploadHeader header = HeaderOf(taken);
  ASSIGN_OR_RETURN(auto sealer,
                   crypto::EnvelopeSealer::Create(recipient, wire::EnvelopeContext(site, header)));
  header.envelope_header = sealer.header();
  const std::uint64_t size = crypto::EnvelopeSize(header.plaintext_size);
  ASSIGN_OR_RETURN(OutboxFile file, OutboxFile::Create(std::move(header), outbox, ".sealed", size));
  SealedUpdate sealed(std::move(file));
  const auto make = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(sealed.sha256_, WriteEnvelope(taken, std::move(sealer), sealed.file_));
    return sealed.Finish();
  };
  if (const absl::Status made = make(); !made.ok()) {
    sealed.Abandon();
    return made;
  }
  return sealed;
}

}  // namespace consilium::site_agent
