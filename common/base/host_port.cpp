#include "common/base/host_port.h"

#include "common/base/status.h"

namespace consilium {
namespace {

// Of names, IPv4 and IPv6 addresses (with a zone): nothing that could end a line of an HTTP
// request.
bool IsHost(std::string_view host) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%:";
  return !host.empty() && host.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  HostPort parts;
  if (colon != std::string_view::npos) {
    parts = {std::string(address.substr(0, colon)), std::string(address.substr(colon + 1))};
    if (parts.host.size() > 2 && parts.host.front() == '[' && parts.host.back() == ']') {
      parts.host = parts.host.substr(1, parts.host.size() - 2);
    } else if (parts.host.find_first_of(":[]") != std::string::npos) {
      parts.host.clear();  // without both brackets, where an IPv6 port begins is a guess
    }
  }
  const bool digits = !parts.port.empty() && parts.port.size() <= 5 &&
                      parts.port.find_first_not_of("0123456789") == std::string::npos;
  if (!IsHost(parts.host) || !digits || std::stoi(parts.port) < 1 ||
      std::stoi(parts.port) > 65535) {
    return absl::InvalidArgumentError(
        StrCat("\"", address, "\" is not HOST:PORT (an IPv6 address stands in brackets)"));
  }
  return parts;
}

}  // namespace consilium
