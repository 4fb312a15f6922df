#pragma once

// One contribution to an attempt: opened and checked segment by segment, and kept on disk.
//
// Of an update, sealed or masked, the segments are kept as they came in a file of the spool
// (spool.h), whose bytes say nothing to who has not the coordinator's key: they are read again to
// take the contribution out of a sum, and to take it up after a restart. An initial model is
// written as the model file that it is; a restart begins it anew.
//
// Durable: once Take has said that it is whole, or Resume with which segment to go on, all before
// survives a power loss.
//
// Thread-safe, but for TakeUp, which comes before anybody else has it.

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keys.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "common/wire/protocol.h"
#include "coordinator/spool.h"

namespace consilium::coordinator {

// float32, or 32-bit numbers of the ring.
inline constexpr std::size_t kSegmentValues = crypto::kSegmentBytes / sizeof(float);

class Contribution {
 public:
  // Takes the bytes of values `first` on, of a segment that is right, aligned for floats.
  using Sink = std::function<absl::Status(std::uint64_t first, ByteView values)>;

  // The segments of a contribution with `header`, opened with `recipient`'s key where they are
  // sealed; kInvalidArgument: the header is not right. An update is kept in the folder `spool`
  // under its site's name, where another attempt's is written over; an initial model at `path`.
  static absl::StatusOr<std::unique_ptr<Contribution>> Spooled(
      const SpoolEntry& entry, const crypto::X25519KeyPair& recipient, const fs::path& spool);
  static absl::StatusOr<std::unique_ptr<Contribution>> InitialModel(
      const SiteId& site, const wire::UploadHeader& header, const crypto::X25519KeyPair& recipient,
      const fs::path& path);
  // After a restart: what `file` at `path` of the spool holds under `entry`.
  static absl::StatusOr<std::unique_ptr<Contribution>> Found(const SpoolEntry& entry,
                                                             const crypto::X25519KeyPair& recipient,
                                                             const fs::path& path, File file);

  // What an initial model's upload says of its file; kInvalidArgument: it is not canonical.
  static absl::StatusOr<SafetensorsHeader> LayoutOf(const wire::UploadHeader& header);

  const wire::UploadHeader& header() const { return header_; }
  std::uint32_t number() const { return number_; }  // spool.h
  const fs::path& path() const { return path_; }

  // Gives the segments that surely are this contribution's to `sink`, up to the first that is not,
  // or that it refuses. kUnauthenticated: they are all here, and their hash is not the one signed.
  absl::Status TakeUp(const Sink& sink);

  // How an upload with `header` goes on from here: with this segment; all of them when everything
  // is here. None: it is another upload. A whole contribution is not replaced by another one; an
  // unfinished one is, but for a masked update, which has no second form: kInvalidArgument.
  // kFailedPrecondition: it was dropped.
  absl::StatusOr<std::optional<std::uint32_t>> Resume(const wire::UploadHeader& header);

  // Opens segment `index`, which must be the next, keeps it and gives its values to `sink`; an
  // initial model's go into its file. True: it was the last, and all is here. kOutOfRange: not the
  // next; kUnauthenticated: the seal is broken, or the hash is another; kInvalidArgument: the size,
  // or a value. After these two the contribution is dropped.
  absl::StatusOr<bool> Take(std::uint32_t index, ByteView segment, const Sink& sink);

  // Gives what `sink` had taken to it again, from the disk, for it to take it back. May be asked
  // again after an error; goes on where it was.
  absl::Status TakeBack(const Sink& sink);

  bool IsWhole();
  void Drop();
  void DropUnlessWhole();

  // Of an initial model that is whole: its bytes on the disk.
  absl::Status Sync();

 private:
  enum class Progress { kOpen, kWhole, kDropped };
  using Tag = std::array<std::uint8_t, crypto::kTagBytes>;

  Contribution(SiteId site, std::uint32_t number, const wire::UploadHeader& header);
  static absl::StatusOr<std::unique_ptr<Contribution>> Create(
      const SpoolEntry& entry, const crypto::X25519KeyPair& recipient);

  bool IsMasked() const { return header_.kind == wire::ContributionKind::kMaskedUpdate; }
  bool IsSpooled() const { return header_.kind != wire::ContributionKind::kInitialModel; }
  bool Continues(const wire::UploadHeader& header) const;
  static std::uint64_t FirstValueIn(std::uint32_t index) {
    return std::uint64_t{index} * kSegmentValues;
  }
  std::size_t ValueBytesIn(std::uint32_t index) const;
  std::size_t SegmentBytesIn(std::uint32_t index) const;
  absl::Status Open(std::uint32_t index, ByteView segment, std::span<std::uint8_t> values);
  absl::Status CheckNext(std::uint32_t index) const;
  absl::Status TakeNext(ByteView segment, const Sink& sink);
  absl::Status WriteToModel(ByteView values);
  absl::Status CheckProof();
  bool TakeUpNext(std::span<std::uint8_t> spooled, const Sink& sink);
  Tag TagAfter(const crypto::Sha256Stream& values) const;
  void EndAs(Progress end);

  const SiteId site_;
  const std::uint32_t number_;
  const wire::UploadHeader header_;
  const std::uint32_t segments_;
  std::optional<crypto::EnvelopeOpener> opener_;  // absent: masked, the segments are the values
  SafetensorsHeader layout_;                      // of an initial model
  fs::path path_;

  std::mutex mutex_;  // all below
  Progress progress_ = Progress::kOpen;
  std::uint32_t next_ = 0, taken_back_ = 0;  // segments
  crypto::Sha256Stream sha256_;              // of a masked one's values
  File file_;
  Bytes values_;  // of one segment, while it is open
};

}  // namespace consilium::coordinator
