#include "common/base/http_proxy.h"

#include <cstdlib>

#include "common/base/text.h"
#include "tests/catch.h"

namespace consilium {
namespace {

// The variables of one test, and none of those around it.
class Environment {
 public:
  Environment() { Clear(); }
  ~Environment() { Clear(); }
  void Set(const char* name, const char* value) { setenv(name, value, 1); }

 private:
  static void Clear() {
    for (const char* name :
         {"grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"}) {
      unsetenv(name);
    }
  }
};

std::string ProxyOf(std::string_view host) {
  const auto proxy = ProxyFor(host);
  REQUIRE(proxy.ok());
  return proxy->has_value() ? StrCat((*proxy)->address.host, " ", (*proxy)->address.port) : "none";
}

TEST_CASE("the proxy is that of the first variable set") {
  Environment environment;
  CHECK(ProxyOf("example.org") == "none");
  environment.Set("http_proxy", "http://third:3128");
  CHECK(ProxyOf("example.org") == "third 3128");
  environment.Set("https_proxy", "http://second:3128/");
  CHECK(ProxyOf("example.org") == "second 3128");
  environment.Set("grpc_proxy", "http://[::1]");
  CHECK(ProxyOf("example.org") == "::1 443");
}

TEST_CASE("hosts on the list of exceptions are connected directly") {
  Environment environment;
  environment.Set("https_proxy", "http://proxy:3128");
  environment.Set("no_proxy", "localhost, .Hospital.example,10.0.0.1");
  CHECK(ProxyOf("coordinator.hospital.example") == "none");
  CHECK(ProxyOf("10.0.0.1") == "none");
  CHECK(ProxyOf("coordinator.example.org") == "proxy 3128");
  environment.Set("no_grpc_proxy", "example.org");
  CHECK(ProxyOf("coordinator.example.org") == "none");
  CHECK(ProxyOf("10.0.0.1") == "proxy 3128");
}

TEST_CASE("user and password of a proxy become its authorization, with escapes undone") {
  Environment environment;
  environment.Set("https_proxy", "http://ada:p%40ss@proxy:3128");
  const auto proxy = ProxyFor("example.org");
  REQUIRE(proxy.ok());
  CHECK((*proxy)->address.host == "proxy");
  CHECK((*proxy)->authorization == "Basic YWRhOnBAc3M=");  // ada:p@ss
}

TEST_CASE("a variable that names no HTTP proxy is refused without its value") {
  Environment environment;
  for (const char* value : {"secret", "socks5://secret:1080", "http://", "http://secret:0",
                            "http://me:secret@host:99999"}) {
    INFO(value);
    environment.Set("https_proxy", value);
    const auto proxy = ProxyFor("example.org");
    CHECK(proxy.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(ToStd(proxy.status().message()).find("secret") == std::string_view::npos);
  }
}

}  // namespace
}  // namespace consilium
