#include <array>
#include <cstdlib>

#include "common/base/host_port.h"
#include "common/base/http_proxy.h"
#include "tests/fuzz/fuzz.h"

namespace consilium {
namespace {

std::string Written(const HostPort& address) {
  const bool brackets = address.host.find(':') != std::string::npos;
  return StrCat(brackets ? "[" : "", address.host, brackets ? "]:" : ":", address.port);
}

void CheckHostPort(std::string_view text) {
  const auto address = ParseHostPort(text);
  if (!address.ok()) return;
  const int port = std::atoi(address->port.c_str());
  FUZZ_EXPECT(!address->host.empty() && port >= 1 && port <= 65535);
  const auto again = ParseHostPort(Written(*address));
  FUZZ_EXPECT(again.ok() && again->host == address->host && again->port == address->port);
}

// The environment of this process: one buffer, as setenv(3) would keep every text.
void CheckProxy(std::string_view text) {
  static std::array<char, 1024> variable;
  constexpr std::string_view kName = "grpc_proxy=";
  text = text.substr(0, std::min(text.find('\0'), variable.size() - kName.size() - 1));
  variable.fill('\0');
  std::ranges::copy(text, std::ranges::copy(kName, variable.begin()).out);
  FUZZ_EXPECT(putenv(variable.data()) == 0);
  const auto proxy = ProxyFor("coordinator.example");
  if (proxy.ok()) {
    FUZZ_EXPECT(proxy->has_value() == !text.empty());
    return;
  }
  // It may hold a password. Without an at sign the text may be a piece of the message itself.
  const bool telling = text.size() >= 16 && text.find('@') != std::string_view::npos &&
                       fuzz::Contains(ToStd(proxy.status().message()), text);
  FUZZ_EXPECT(!telling);
}

}  // namespace
}  // namespace consilium

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const consilium::fuzz::AllocationLimit limit(consilium::fuzz::JustifiedBy(size));
  const std::string_view text = consilium::AsText(consilium::fuzz::Input(data, size));
  consilium::CheckHostPort(text);
  consilium::CheckProxy(text);
  return 0;
}
