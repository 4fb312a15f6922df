#pragma once

// An update that the coordinator may read: an envelope to its key, streamed into the outbox. The
// plaintext is never on a disk, and never in memory as a whole: the difference to the base is taken
// segment by segment.

#include <utility>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"
#include "site_agent/contribution.h"
#include "site_agent/outbox_file.h"

namespace consilium::site_agent {

class SealedUpdate : public OutboxFile {
 public:
  static absl::StatusOr<SealedUpdate> Restore(wire::UploadHeader header, const fs::path& file,
                                              const Digest& sha256);

 private:
  friend absl::StatusOr<SealedUpdate> Seal(Contribution&&, const SiteId&,
                                           const crypto::X25519PublicKey&, const fs::path&);
  explicit SealedUpdate(OutboxFile file) : OutboxFile(std::move(file)) {}
};

// Seals to the coordinator's key under wire::EnvelopeContext(site, header), into
// OUTBOX/<run>-<round>-<attempt>.sealed. kInvalidArgument naming the tensor when a value is NaN or
// infinite, and when model and base differ in layout or the weight is not above 0; then no file is
// left. kResourceExhausted: the disk is full.
absl::StatusOr<SealedUpdate> Seal(Contribution&& contribution, const SiteId& site,
                                  const crypto::X25519PublicKey& recipient, const fs::path& outbox);

}  // namespace consilium::site_agent
