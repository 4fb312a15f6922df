#pragma once

// What a site learned, in the form in which it leaves the building: a file in the outbox, sealed
// (sealed_update.h) or masked (masked_update.h), with the header that goes before it. Nothing else
// can be uploaded.

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

// Move-only. The only ways to one are Seal(), Mask() and Restore().
class OutboxFile {
 public:
  // One that an earlier process made. kNotFound or kDataLoss when the file is gone or is not the
  // one that was made (a crash before the disk had it): then the task is to be done again. A masked
  // update's header needs no masked_sums and no proof.sha256: they are taken from the file.
  static absl::StatusOr<OutboxFile> Restore(wire::UploadHeader header, const fs::path& file,
                                            const Digest& sha256);

  const wire::UploadHeader& header() const { return header_; }
  const File& file() const { return file_; }
  const fs::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  const Digest& sha256() const { return sha256_; }  // of the whole file

  // What an upload sends: segment i is the file's bytes [begin, end).
  struct Segment {
    std::uint64_t begin, end;
  };
  std::uint32_t SegmentCount() const;
  Segment SegmentAt(std::uint32_t index) const;

  // A file of `size` bytes, to be written over as a whole.
  static absl::StatusOr<OutboxFile> Create(wire::UploadHeader header, const fs::path& outbox,
                                           std::string_view extension, std::uint64_t size);

 protected:
  OutboxFile() = default;
  // Makes what was written durable and names it OUTBOX/<run>-<round>-<attempt><extension>.
  absl::Status Finish();
  // Or leaves nothing of it.
  void Abandon();

  wire::UploadHeader header_;
  fs::path path_;
  File file_;
  std::uint64_t size_ = 0;
  Digest sha256_;
};

// Takes a file that is no longer needed out of the outbox. One such file stays, beside the outbox,
// for the next to be written over: blocks it has and pages in memory cost half of new ones.
void Discard(const fs::path& file);

// Removes the file that Discard left.
void RemoveSpare(const fs::path& outbox);

}  // namespace consilium::site_agent
