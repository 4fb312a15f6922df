#pragma once

// How values stand in site.db.

#include <algorithm>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace consilium::site_agent {

inline std::int64_t Micros(Time time) { return time.time_since_epoch().count(); }
inline Time FromMicros(std::int64_t us) { return Time(Duration(us)); }

template <class Array>
Array ToArray(const Bytes& blob) {
  Array array{};
  std::copy_n(blob.begin(), std::min(blob.size(), array.size()), array.begin());
  return array;
}

inline Digest ToDigest(const Bytes& blob) {
  return Digest{ToArray<decltype(Digest::bytes)>(blob)};
}

}  // namespace consilium::site_agent
