#pragma once

// The pieces of model files that were read last. All sites of a round fetch the same model at about
// the same time: each piece is read once, and its memory is shared between the calls that send it.

#include <grpcpp/support/slice.h>

#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"

namespace consilium::coordinator {

// Thread-safe.
class RecentPieces {
 public:
  // Keeps at most `pieces` of them.
  explicit RecentPieces(std::size_t pieces) : limit_(pieces) {}

  // `size` bytes of the model's file from `offset` on.
  absl::StatusOr<grpc::Slice> Read(const ModelId& model, const File& file, std::uint64_t offset,
                                   std::size_t size);

 private:
  using Place = std::pair<ModelId, std::uint64_t>;
  const std::size_t limit_;
  std::mutex mutex_;
  std::map<Place, grpc::Slice> pieces_;
  std::deque<Place> oldest_first_;
};

}  // namespace consilium::coordinator
