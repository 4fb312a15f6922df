#include "common/identity/token.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::identity {
namespace {
constexpr std::uint8_t kTokenVersion = 1;
constexpr std::size_t kTokenBytes = 1 + 16 + 32;
}  // namespace

std::string Token::ToString() const {
  Bytes bytes{kTokenVersion};
  bytes.insert(bytes.end(), secret.begin(), secret.end());
  bytes.insert(bytes.end(), authority.bytes.begin(), authority.bytes.end());
  return ToBase64Url(bytes);
}

absl::StatusOr<Token> Token::Parse(std::string_view text) {
  const auto bytes = FromBase64Url(text);
  if (!bytes.ok() || bytes->size() != kTokenBytes) {
    return absl::InvalidArgumentError(
        "this is not an enrolment token; copy the whole line that `consilium-coordinator invite` "
        "printed");
  }
  if ((*bytes)[0] != kTokenVersion) {
    return absl::InvalidArgumentError(StrCat("the token is of version ", int{(*bytes)[0]},
                                             ", this program knows version 1; upgrade it"));
  }
  Token token;
  std::copy_n(bytes->begin() + 1, 16, token.secret.begin());
  std::copy_n(bytes->begin() + 17, 32, token.authority.bytes.begin());
  return token;
}

}  // namespace consilium::identity
