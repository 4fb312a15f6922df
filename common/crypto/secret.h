#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"

namespace consilium::crypto {

// Bytes that must not leak: move-only, cleansed (OPENSSL_cleanse) when they go, never printed,
// compared in constant time.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size) : bytes_(size) {}
  static Secret CopyOf(ByteView bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  std::size_t size() const { return bytes_.size(); }
  // Named so that every use can be found.
  ByteView Reveal() const { return bytes_; }
  std::span<std::uint8_t> RevealForWriting() { return bytes_; }
  bool Equals(ByteView other) const;  // constant time for equal lengths

 private:
  Bytes bytes_;
};

}  // namespace consilium::crypto
