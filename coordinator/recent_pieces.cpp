#include "coordinator/recent_pieces.h"

#include "common/base/status.h"

namespace consilium::coordinator {

absl::StatusOr<grpc::Slice> RecentPieces::Read(const ModelId& model, const File& file,
                                               std::uint64_t offset, std::size_t size) {
  const Place place(model, offset);
  // Held while reading: whoever wants the same piece waits for it instead of reading it too.
  const std::lock_guard lock(mutex_);
  const auto found = pieces_.find(place);
  if (found != pieces_.end() && found->second.size() == size) return found->second;
  grpc::Slice piece(size);
  RETURN_IF_ERROR(file.ReadAt(offset, {const_cast<std::uint8_t*>(piece.begin()), size}));
  if (found != pieces_.end()) {
    found->second = piece;
    return piece;
  }
  if (oldest_first_.size() == limit_) {
    pieces_.erase(oldest_first_.front());
    oldest_first_.pop_front();
  }
  pieces_.emplace(place, piece);
  oldest_first_.push_back(place);
  return piece;
}

}  // namespace consilium::coordinator
