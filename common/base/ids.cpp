#include "common/base/ids.h"

#include <algorithm>

namespace consilium {

absl::Status CheckName(std::string_view what, std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (name.empty() || name.size() > 63 || name.front() == '-' ||
      !std::all_of(name.begin(), name.end(), allowed)) {
    return absl::InvalidArgumentError(
        StrCat("the ", what, " name \"", name.substr(0, 63),
                     "\" is not allowed: use 1 to 63 of a-z, 0-9 and -, not beginning with -"));
  }
  return absl::OkStatus();
}

std::string AttemptKey::ToString() const { return StrCat(run.value, "/", round, "/", attempt); }

}  // namespace consilium
