#pragma once

// An update that the coordinator can only read as part of a sum: clipped, quantized
// (model/quantizer.h) and masked (secagg/masking.h). Neither the update nor the quantized vector is
// ever on a disk, nor in memory as a whole: it is made in pieces of a segment.

#include <functional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/secagg/masking.h"
#include "common/secagg/messages.h"
#include "site_agent/contribution.h"
#include "site_agent/outbox_file.h"

namespace consilium::site_agent {

// The file holds the masked vector as it was signed: the values (u32), then the sums (u64), which
// travel in the header. sha256() is header().proof.sha256.
class MaskedUpdate : public OutboxFile {
 public:
  static absl::StatusOr<MaskedUpdate> Restore(wire::UploadHeader header, const fs::path& file,
                                              const Digest& sha256);

 private:
  friend absl::StatusOr<MaskedUpdate> Mask(
      Contribution&&, const secagg::SessionConfig&, std::span<const secagg::Mask>,
      const std::function<absl::StatusOr<secagg::UploadProof>(const Digest&)>&, const fs::path&,
      int, Progress*);
  explicit MaskedUpdate(OutboxFile file) : OutboxFile(std::move(file)) {}
};

// Clips, quantizes with the site's share (weight / total_weight), masks with `masks`
// (SiteSession::Masks) and writes OUTBOX/<run>-<round>-<attempt>.masked. The sums beside the values
// are wire::kUpdateSums: loss and train_seconds, each times the share, in fixed point. `sign` is
// called once, at the end, with the SHA-256 of the whole (SiteSession::SignUpload). All of it
// again, with the same contribution, session and masks, gives the same bytes.
//
// On `threads` threads, with a report of each piece. kCancelled as soon as progress is.
// kInvalidArgument naming the tensor when a value is NaN or infinite, and when the contribution
// does not fit the session (attempt, base model, size, weight, loss); then nothing is signed. On
// every error no file is left. kResourceExhausted: the disk is full.
absl::StatusOr<MaskedUpdate> Mask(
    Contribution&& contribution, const secagg::SessionConfig& session,
    std::span<const secagg::Mask> masks,
    const std::function<absl::StatusOr<secagg::UploadProof>(const Digest&)>& sign,
    const fs::path& outbox, int threads, Progress* progress = nullptr);

}  // namespace consilium::site_agent
