#include "common/wire/wanted_bytes.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::wire {

absl::StatusOr<WantedBytes> WantedBytes::Of(std::span<const ByteRange> ranges,
                                            std::uint64_t file_size, std::uint64_t offset) {
  if (ranges.size() > kMostRanges) {
    return absl::InvalidArgumentError(StrCat(ranges.size(),
                                             " ranges of a model are wanted; at most ", kMostRanges,
                                             " can be asked for at once"));
  }
  WantedBytes wanted;
  std::uint64_t end = 0;
  for (const ByteRange& range : ranges) {
    if (range.size == 0 || range.begin < end) {
      return absl::InvalidArgumentError(
          StrCat("the ranges of a model must not be empty and must follow each other; the one at ",
                 range.begin, " does not"));
    }
    if (range.begin > file_size || range.size > file_size - range.begin) {
      return absl::OutOfRangeError(
          StrCat("the range at ", range.begin, " goes beyond the model's ", file_size, " bytes"));
    }
    end = range.begin + range.size;
    wanted.total_ += range.size;
  }
  wanted.ranges_.assign(ranges.begin(), ranges.end());
  if (ranges.empty()) {
    wanted.total_ = file_size;
    if (file_size > 0) wanted.ranges_.push_back({0, file_size});
  }
  if (offset > wanted.total_) {
    return absl::OutOfRangeError(
        StrCat("the offset ", offset, " is beyond the ", wanted.total_, " bytes of the model"));
  }
  while (offset > 0) {
    const std::uint64_t step = std::min(offset, wanted.Next().size);
    wanted.Advance(step);
    offset -= step;
  }
  return wanted;
}

ByteRange WantedBytes::Next() const {
  const ByteRange& range = ranges_[index_];
  return {range.begin + within_, range.size - within_};
}

void WantedBytes::Advance(std::uint64_t bytes) {
  CONSILIUM_CHECK(bytes <= Next().size);
  within_ += bytes;
  if (within_ < ranges_[index_].size) return;
  ++index_;
  within_ = 0;
}

}  // namespace consilium::wire
