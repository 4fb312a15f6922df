#include "common/base/host_port.h"

#include "tests/catch.h"

namespace consilium {
namespace {

TEST_CASE("host and port come apart, an IPv6 address leaves its brackets") {
  CHECK(ParseHostPort("coordinator.example.org:8443")->host == "coordinator.example.org");
  CHECK(ParseHostPort("coordinator.example.org:8443")->port == "8443");
  CHECK(ParseHostPort("127.0.0.1:1")->host == "127.0.0.1");
  CHECK(ParseHostPort("[::1]:65535")->host == "::1");
}

TEST_CASE("an address without host, port or brackets is refused") {
  for (const char* text : {"", ":", "host", "host:", ":80", "host:0", "host:65536", "host:123456",
                           "host:-1", "host:8o", "::1:80", "[::1]", "[::1:80", "[]:80", "a:b:80"}) {
    INFO(text);
    CHECK(ParseHostPort(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a host with what no name or address has is refused: it is written into HTTP requests") {
  for (const char* text :
       {"a b:80", "a\r\nX-Header: 1:80", "[a]b]:80", "[[::1]]:80", "a/b:80", "u@a:80"}) {
    INFO(text);
    CHECK(ParseHostPort(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(ParseHostPort("[fe80::1%eth0]:80")->host == "fe80::1%eth0");
}

}  // namespace
}  // namespace consilium
