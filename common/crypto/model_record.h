#pragma once

// The signed record of a published model: what it is, what it was made of, and what it showed.
//
// A signed document (signed_document.h) under "record", with the label "model record".
//
// Claim: a file that VerifyModelRecord takes was signed by the holder of `key` and no byte of it
// was changed since. That a model file is the recorded one (its SHA-256 is `model`) is
// the caller's to check.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/keys.h"

namespace consilium::crypto {

// `record_json`: a JSON object whose "model" is the SHA-256 of the model file in hexadecimal.
absl::StatusOr<std::string> SignModelRecord(const Ed25519KeyPair& key,
                                            std::string_view record_json);

struct VerifiedRecord {
  Digest model;
  std::string record_json;  // compact, keys sorted
};

// kInvalidArgument: not such a file, or not in canonical form; kUnauthenticated: not signed by
// `key`.
absl::StatusOr<VerifiedRecord> VerifyModelRecord(const Ed25519PublicKey& key,
                                                 std::string_view file);

}  // namespace consilium::crypto
