#include "common/crypto/secret.h"

#include <openssl/crypto.h>

#include <utility>

namespace consilium::crypto {

void Cleanse(std::span<std::uint8_t> bytes) {
  if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
}

void Cleanse(std::string& text) {
  if (!text.empty()) OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

Secret Secret::CopyOf(ByteView bytes) {
  Secret secret;
  secret.bytes_.assign(bytes.begin(), bytes.end());
  return secret;
}

Secret::Secret(Secret&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Cleanse(bytes_);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

Secret::~Secret() { Cleanse(bytes_); }

bool Secret::Equals(ByteView other) const {
  return bytes_.size() == other.size() &&
         (bytes_.empty() || CRYPTO_memcmp(bytes_.data(), other.data(), bytes_.size()) == 0);
}

}  // namespace consilium::crypto
