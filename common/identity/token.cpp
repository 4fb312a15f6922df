#include "common/identity/token.h"

#include <algorithm>

#include "common/base/field_writer.h"
#include "common/base/host_port.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"

namespace consilium::identity {
namespace {

constexpr std::uint8_t kTokenVersion = 2;
constexpr std::size_t kFixedBytes = 1 + 16 + 32 + 32;
constexpr std::size_t kMaxAddressBytes = 300;
constexpr std::size_t kMaxTextBytes = 4 * (kFixedBytes + kMaxAddressBytes) / 3 + 4;

absl::Status NotAToken() {
  return absl::InvalidArgumentError(
      "this is not an enrolment token; copy the whole line that `consilium federation invite` "
      "printed");
}

bool IsAddress(std::string_view text) {
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return printable && text.size() <= kMaxAddressBytes && ParseHostPort(text).ok();
}

}  // namespace

std::string Token::ToString() const {
  Bytes bytes{kTokenVersion};
  const auto append = [&bytes](ByteView field) {
    bytes.insert(bytes.end(), field.begin(), field.end());
  };
  append(secret);
  append(authority.bytes);
  append(root);
  append(AsBytes(address));
  return ToBase64Url(bytes);
}

absl::StatusOr<Token> Token::Parse(std::string_view text) {
  if (text.size() > kMaxTextBytes) return NotAToken();
  const auto bytes = FromBase64Url(text);
  if (!bytes.ok() || bytes->empty()) return NotAToken();
  if (bytes->front() != kTokenVersion) {
    if (bytes->size() < 49) return NotAToken();
    return absl::InvalidArgumentError(StrCat("the token is of version ", int{bytes->front()},
                                             ", this program knows version ", int{kTokenVersion},
                                             "; use the same release on both sides"));
  }
  if (bytes->size() <= kFixedBytes) return NotAToken();
  Token token;
  auto at = bytes->begin() + 1;
  const auto take = [&at](auto& field) {
    std::copy_n(at, field.size(), field.begin());
    at += static_cast<std::ptrdiff_t>(field.size());
  };
  take(token.secret);
  take(token.authority.bytes);
  take(token.root);
  token.address.assign(at, bytes->end());
  if (!IsAddress(token.address)) return NotAToken();
  return token;
}

Bytes EnrolmentText(std::string_view token, std::string_view request_pem, Role role,
                    const crypto::Ed25519PublicKey& signing_key) {
  return FieldWriter("consilium enrolment v1")
      .Field(crypto::Sha256(token).bytes)
      .Field(crypto::Sha256(request_pem).bytes)
      .Text(Name(role))
      .Field(signing_key)
      .bytes();
}

}  // namespace consilium::identity
