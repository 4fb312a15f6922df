#pragma once

// How a catalog keeps the names of files, which may be names of patients: to be found again by who
// has the name, to be read by who has the site's key.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret.h"

namespace consilium::datasets {

// AES-256-GCM with a key derived from the site's (HKDF-SHA256), a random nonce a text, and the
// purpose as associated data, so that no text passes for one of another purpose.
//
// Claim: without the site's key a sealed text tells its length and nothing else. Immutable;
// thread-safe.
class CatalogCipher {
 public:
  static absl::StatusOr<CatalogCipher> Create(const crypto::Secret& site_key);

  // nonce (12 bytes) | ciphertext | tag (16)
  absl::StatusOr<Bytes> Seal(std::string_view purpose, std::string_view text) const;
  // kDataLoss: damaged, sealed with another key, or for another purpose.
  absl::StatusOr<std::string> Open(std::string_view purpose, ByteView sealed) const;

 private:
  explicit CatalogCipher(crypto::Secret key) : key_(std::move(key)) {}
  crypto::Secret key_;
};

}  // namespace consilium::datasets
