#pragma once

// Joining text. Debian 12 builds abseil with its own string_view, which absl::StrCat takes and std::string_view
// is not; these take both.

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace consilium {

template <class T>
decltype(auto) ForAbsl(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return absl::string_view(value.data(), value.size());
  } else {
    return (value);
  }
}

// The pieces (text, numbers, absl::Hex ...) as one string.
template <class... Pieces>
std::string StrCat(const Pieces&... pieces) {
  return absl::StrCat(ForAbsl(pieces)...);
}

template <class... Pieces>
void StrAppend(std::string* text, const Pieces&... pieces) {
  absl::StrAppend(text, ForAbsl(pieces)...);
}

inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace consilium
