#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// The keystream of AES-256-CTR (NIST SP 800-38A section 6.5) with an initial counter block of
// zeros, counted as one 128-bit big-endian number, from any byte offset. Move-only; not
// thread-safe.
class Keystream {
 public:
  // `key`: 32 bytes, else kInvalidArgument. A key must be used for one purpose only.
  static absl::StatusOr<Keystream> Create(const Secret& key);
  Keystream(Keystream&&) noexcept;
  Keystream& operator=(Keystream&&) noexcept;
  ~Keystream();
  // Fills `out` with the bytes from `offset` on. Fast when called in order. kInternal when OpenSSL
  // fails.
  absl::Status Generate(std::uint64_t offset, std::span<std::uint8_t> out);

 private:
  struct Impl;
  explicit Keystream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::crypto
