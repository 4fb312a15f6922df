#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace consilium::crypto {

// For the copies that others' interfaces need: overwrites the text and empties it.
void Cleanse(std::string& text);

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

// Overwrites bytes that held a secret, so that the compiler does not leave it out. For what cannot
// be a Secret.
void Cleanse(std::span<std::uint8_t> bytes);

}  // namespace consilium::crypto
