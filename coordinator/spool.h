#pragma once

// A contribution on the coordinator's disk as it arrives: what a restart takes up again, and what
// takes an uncounted contribution out of the sum.
//
//   file    := header, padded with zeros to kSpoolHeaderBytes, segment*
//   header  := "consilium spool v1" u32 length of what follows, site, number, upload header
//              (protobuf), SHA-256 of all before
//   segment := bytes as they came, tag (16): of a sealed contribution the envelope's own, of a
//              masked one the beginning of the SHA-256 of all its values up to here and its proof's hash
//
// A file is written over by the next contribution with its name, and after a power loss any part of
// it may be older than the rest: a segment counts only when its tag is right, and so are all
// before.

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/envelope.h"
#include "common/wire/protocol.h"

namespace consilium::coordinator {

inline constexpr std::uint64_t kSpoolHeaderBytes = 4096;

struct SpoolEntry {
  SiteId site;
  std::uint32_t number = 0;  // a later contribution of the same site to the same attempt is higher
  wire::UploadHeader header;
};

// Of an update, sealed or masked. Not durable before the file is synced.
absl::Status WriteSpoolHeader(File& file, const SpoolEntry& entry);
// kDataLoss: there is none, or it is not whole.
absl::StatusOr<SpoolEntry> ReadSpoolHeader(const File& file);

inline std::uint64_t SpoolOffset(std::uint32_t segment) {
  return kSpoolHeaderBytes + std::uint64_t{segment} * (crypto::kSegmentBytes + crypto::kTagBytes);
}

}  // namespace consilium::coordinator
