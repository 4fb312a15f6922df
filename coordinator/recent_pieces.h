#pragma once

// The pieces of model files that were read last. All sites of a round fetch the same model at about
// the same time: each piece is read once, and its memory is shared between the calls that send it.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"

namespace grpc {
class Slice;
}

namespace consilium::coordinator {

// Thread-safe.
class RecentPieces {
 public:
  // Keeps at most `pieces` of them.
  explicit RecentPieces(std::size_t pieces);
  ~RecentPieces();

  // `size` bytes of the model's file from `offset` on.
  absl::StatusOr<grpc::Slice> Read(const ModelId& model, const File& file, std::uint64_t offset,
                                   std::size_t size);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::coordinator
