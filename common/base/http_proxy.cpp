#include "common/base/http_proxy.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace consilium {
namespace {

struct Variable {
  const char* name;
  std::string_view value;
};

std::optional<Variable> FirstSet(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return Variable{name, value};
  }
  return std::nullopt;
}

bool EndsWithIgnoringCase(std::string_view text, std::string_view end) {
  return end.size() <= text.size() &&
         strncasecmp(text.data() + text.size() - end.size(), end.data(), end.size()) == 0;
}

bool IsExcepted(std::string_view host) {
  const auto list = FirstSet({"no_grpc_proxy", "no_proxy"});
  std::string_view rest = list.has_value() ? list->value : "";
  while (!rest.empty()) {
    std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    if (!entry.empty() && EndsWithIgnoringCase(host, entry)) return true;
  }
  return false;
}

// RFC 3986 section 2.1; what is no escape stays.
std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = text[i] == '%' && i + 2 < text.size() ? FromHex(text.substr(i + 1, 2))
                                                            : absl::StatusOr<Bytes>(Bytes());
    if (byte.ok() && byte->size() == 1) {
      decoded += static_cast<char>(byte->front());
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

absl::StatusOr<std::optional<HttpProxy>> ProxyFor(std::string_view host) {
  const auto variable = FirstSet({"grpc_proxy", "https_proxy", "http_proxy"});
  if (!variable.has_value() || IsExcepted(host)) return std::nullopt;
  constexpr std::string_view kScheme = "http://";
  std::string_view rest = variable->value;
  const bool http = rest.starts_with(kScheme);
  if (http) rest.remove_prefix(kScheme.size());
  rest = rest.substr(0, rest.find_first_of("/?#"));
  HttpProxy proxy;
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    proxy.authorization = StrCat("Basic ", ToBase64(AsBytes(PercentDecoded(rest.substr(0, at)))));
    rest.remove_prefix(at + 1);
  }
  const std::size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string_view::npos && rest.find(']', colon) == rest.npos;
  auto address = ParseHostPort(has_port ? std::string(rest) : StrCat(rest, ":443"));
  if (!http || !address.ok()) {
    return absl::InvalidArgumentError(
        StrCat("the environment variable ", variable->name,
               " does not name a proxy as http://HOST:PORT; correct or unset it"));
  }
  proxy.address = *std::move(address);
  return proxy;
}

}  // namespace consilium
