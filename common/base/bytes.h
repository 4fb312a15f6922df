#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Lower-case hexadecimal.
std::string ToHex(ByteView bytes);
absl::StatusOr<Bytes> FromHex(std::string_view hex);

// RFC 4648 section 5 (URL and file name safe), without padding. Only the text that ToBase64Url gives is taken.
std::string ToBase64Url(ByteView bytes);
absl::StatusOr<Bytes> FromBase64Url(std::string_view text);

// RFC 4648 section 4, with padding: for data: URIs and JSON.
std::string ToBase64(ByteView bytes);

// Little-endian integers at an offset that the caller has checked.
std::uint32_t LoadLe32(const std::uint8_t* p);
std::uint64_t LoadLe64(const std::uint8_t* p);
void StoreLe32(std::uint8_t* p, std::uint32_t value);
void StoreLe64(std::uint8_t* p, std::uint64_t value);

// A SHA-256 value (computed in common/crypto). Identity of models, plans and files.
struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  static absl::StatusOr<Digest> FromHex(std::string_view hex);  // 64 characters
  std::string Hex() const { return ToHex(bytes); }
  std::string Short() const { return Hex().substr(0, 12); }  // for people to read
  bool IsZero() const { return *this == Digest{}; }
  auto operator<=>(const Digest&) const = default;
};

}  // namespace consilium
