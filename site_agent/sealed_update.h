#pragma once

// The last step before anything a site learned leaves the building. Only a SealedUpdate can be
// uploaded, and the only way to one is Seal(): an envelope to the coordinator's key, streamed into
// the outbox. The plaintext is never on a disk, and never in memory as a whole: the difference to
// the base is taken segment by segment.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/model/model_state.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

// What a site made in one attempt. With a base: the update `model` minus `base`, which have the
// same layout. Without: the plan's initial model.
struct Contribution {
  AttemptKey key;
  std::optional<ModelState> base;
  ModelId base_id;  // zero without a base
  ModelState model;
  double weight = 0;  // > 0 for an update
  double loss = 0;    // mean of the last local epoch
  double train_seconds = 0;
};

// An envelope file in the outbox with the header that goes before it. Move-only.
class SealedUpdate {
 public:
  // One that an earlier process sealed. kNotFound or kDataLoss when the file is gone or is not the
  // one that was sealed (a crash before the disk had it): then the task is to be done again.
  static absl::StatusOr<SealedUpdate> Restore(wire::UploadHeader header, const fs::path& file,
                                              const Digest& sha256);

  const wire::UploadHeader& header() const { return header_; }
  const File& file() const { return file_; }
  const fs::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  const Digest& sha256() const { return sha256_; }  // of the file

 private:
  friend absl::StatusOr<SealedUpdate> Seal(Contribution&&, const SiteId&,
                                           const crypto::X25519PublicKey&, const fs::path&);
  SealedUpdate() = default;
  wire::UploadHeader header_;
  fs::path path_;
  File file_;
  std::uint64_t size_ = 0;
  Digest sha256_;
};

// Seals to the coordinator's key under wire::EnvelopeContext(site, header), into
// OUTBOX/<run>-<round>-<attempt>.sealed. kInvalidArgument naming the tensor when a value is NaN or
// infinite, and when model and base differ in layout or the weight is not above 0; then no file is
// left. kResourceExhausted: the disk is full.
absl::StatusOr<SealedUpdate> Seal(Contribution&& contribution, const SiteId& site,
                                  const crypto::X25519PublicKey& recipient, const fs::path& outbox);

// Takes an envelope that is no longer needed out of the outbox. One such file stays, beside the
// outbox, for Seal to write over: blocks it has and pages in memory cost half of new ones.
void Discard(const fs::path& sealed);

// Removes the file that Discard left.
void RemoveSpare(const fs::path& outbox);

}  // namespace consilium::site_agent
