#pragma once

// Which bytes of a model's file a download is of, and the walk through them: of both ends.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::wire {

// Bytes [begin, begin + size) of a file.
struct ByteRange {
  std::uint64_t begin = 0, size = 0;
  bool operator==(const ByteRange&) const = default;
};

inline constexpr std::size_t kMostRanges = 4096;

class WantedBytes {
 public:
  // `ranges`, one after another, of a file of `file_size` bytes; without any, the whole file. The
  // walk begins `offset` bytes after their beginning. kInvalidArgument: a range is empty or begins
  // before the end of the one before it, or there are more than kMostRanges; kOutOfRange: a range
  // or the offset goes beyond the end.
  static absl::StatusOr<WantedBytes> Of(std::span<const ByteRange> ranges, std::uint64_t file_size,
                                        std::uint64_t offset);

  std::uint64_t total() const { return total_; }  // bytes wanted in all, from the first on
  bool AtEnd() const { return index_ == ranges_.size(); }
  // Where the walk is in the file, and how much follows there without a gap. Not at the end.
  ByteRange Next() const;
  // `bytes`: at most Next().size.
  void Advance(std::uint64_t bytes);

 private:
  std::vector<ByteRange> ranges_;
  std::uint64_t total_ = 0;
  std::size_t index_ = 0;
  std::uint64_t within_ = 0;  // bytes of range index_ that were walked
};

}  // namespace consilium::wire
