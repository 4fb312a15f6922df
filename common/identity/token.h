#pragma once

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/keys.h"
#include "common/identity/roster.h"

namespace consilium::identity {

// What a person carries from the federation to a new member, once:
//   token := base64url( version (1 byte, 2) | secret (16) | SHA-256 of the authority's certificate
//   (32) | the federation's root public key (32) | the coordinator's address as "host:port" )
// The coordinator keeps SHA-256(secret) only.
struct Token {
  std::array<std::uint8_t, 16> secret{};
  Digest authority;
  crypto::Ed25519PublicKey root{};
  std::string address;

  std::string ToString() const;
  // kInvalidArgument when the text is not a token; the message never repeats it.
  static absl::StatusOr<Token> Parse(std::string_view text);
};

// What a new member signs with its signing key, so that the coordinator knows that it holds the
// key, means this key to go with this TLS key, and was given the token: label, SHA-256 of the
// token's text, SHA-256 of the request's PEM, role, signing key; length-prefixed.
Bytes EnrolmentText(std::string_view token, std::string_view request_pem, Role role,
                    const crypto::Ed25519PublicKey& signing_key);

}  // namespace consilium::identity
