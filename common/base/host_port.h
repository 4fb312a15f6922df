#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace consilium {

struct HostPort {
  std::string host;  // a name or an address, an IPv6 address without its brackets
  std::string port;  // "1" to "65535"
};

// "host:port", "[::1]:port" for IPv6. kInvalidArgument says what is wrong.
absl::StatusOr<HostPort> ParseHostPort(std::string_view address);

}  // namespace consilium
