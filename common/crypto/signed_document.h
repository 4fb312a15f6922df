#pragma once

// A JSON object with a signature, in one form only, so that two people with the same document have
// the same bytes:
//
//   file := {"<field>": {...}, "signature": "<128 hexadecimal digits>"} newline
//
// keys sorted, indented by two spaces. The signature is Ed25519 over "consilium <label> v1\n" and
// the object as compact JSON with sorted keys: a signed document of one kind never passes for one
// of another.
//
// Claim: what VerifyDocument returns was signed by the holder of `key` as a document of this kind,
// and no byte of the file was changed since.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/keys.h"

namespace consilium::crypto {

struct DocumentKind {
  std::string_view field;  // under which the file holds the object
  std::string_view label;  // in the signed text and in messages
};
inline constexpr DocumentKind kModelRecordDocument{"record", "model record"};
inline constexpr DocumentKind kRosterDocument{"roster", "roster"};

// `json`: an object of at most 32 levels. kInvalidArgument for anything else.
absl::StatusOr<std::string> SignDocument(const Ed25519KeyPair& key, const DocumentKind& kind,
                                         std::string_view json);

// The object as compact JSON with sorted keys. kInvalidArgument: not such a file, or not in
// canonical form; kUnauthenticated: not signed by `key`.
absl::StatusOr<std::string> VerifyDocument(const Ed25519PublicKey& key, const DocumentKind& kind,
                                           std::string_view file);

}  // namespace consilium::crypto
