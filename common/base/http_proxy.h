#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/host_port.h"

namespace consilium {

// An HTTP proxy that is asked with CONNECT.
struct HttpProxy {
  HostPort address;
  std::string authorization;  // the value of Proxy-Authorization, a secret; empty: none
};

// The proxy that the environment names for connections to `host`, by the rules that gRPC follows:
// the first of $grpc_proxy, $https_proxy and $http_proxy that is set, as
// "http://[USER:PASSWORD@]HOST[:PORT]" (443 without a port); none when the host ends with an entry
// of the list in $no_grpc_proxy or, without that, $no_proxy. kInvalidArgument, naming the variable
// and not its value, when it holds something else.
absl::StatusOr<std::optional<HttpProxy>> ProxyFor(std::string_view host);

}  // namespace consilium
