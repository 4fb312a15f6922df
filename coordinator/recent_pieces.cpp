#include "coordinator/recent_pieces.h"

#include <grpcpp/support/slice.h>

#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "common/base/status.h"

namespace consilium::coordinator {

struct RecentPieces::Impl {
  using Place = std::pair<ModelId, std::uint64_t>;
  const std::size_t limit;
  std::mutex mutex;
  std::map<Place, grpc::Slice> pieces;
  std::deque<Place> oldest_first;

  void Keep(const Place& place, const grpc::Slice& piece) {
    if (!pieces.insert_or_assign(place, piece).second) return;
    oldest_first.push_back(place);
    if (oldest_first.size() <= limit) return;
    pieces.erase(oldest_first.front());
    oldest_first.pop_front();
  }
};

RecentPieces::RecentPieces(std::size_t pieces) : impl_(new Impl{.limit = pieces}) {}
RecentPieces::~RecentPieces() = default;

absl::StatusOr<grpc::Slice> RecentPieces::Read(const ModelId& model, const File& file,
                                               std::uint64_t offset, std::size_t size) {
  const Impl::Place place(model, offset);
  // Held while reading: whoever wants the same piece waits for it instead of reading it too.
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->pieces.find(place);
  if (found != impl_->pieces.end() && found->second.size() == size) return found->second;
  grpc::Slice piece(size);
  RETURN_IF_ERROR(file.ReadAt(offset, {const_cast<std::uint8_t*>(piece.begin()), size}));
  impl_->Keep(place, piece);
  return piece;
}

}  // namespace consilium::coordinator
