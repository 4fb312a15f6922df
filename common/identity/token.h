#pragma once

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace consilium::identity {

// What a person carries from the coordinator to a new member, once:
//   token := base64url( version (1 byte, 1) | secret (16) | SHA-256 of the authority's certificate
//   (32) )
// The coordinator keeps SHA-256(secret) only.
struct Token {
  std::array<std::uint8_t, 16> secret{};
  Digest authority;

  std::string ToString() const;
  // kInvalidArgument when the text is not a token; the message never repeats it.
  static absl::StatusOr<Token> Parse(std::string_view text);
};

}  // namespace consilium::identity
