#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "common/base/text.h"
#include "tests/catch.h"

namespace consilium {

// True when the error's message holds `words`; shows the message when it does not.
inline bool Says(const absl::Status& status, std::string_view words) {
  if (ToStd(status.message()).find(words) != std::string_view::npos) return true;
  UNSCOPED_INFO("the message is: " << std::string(status.message()));
  return false;
}

}  // namespace consilium
