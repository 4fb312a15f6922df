#include "common/base/bytes.h"

#include <bit>
#include <cstring>

#include "absl/strings/escaping.h"
#include "common/base/status.h"

namespace consilium {

static_assert(std::endian::native == std::endian::little, "Consilium runs on little-endian machines");

std::string ToHex(ByteView bytes) { return absl::BytesToHexString(ForAbsl(AsText(bytes))); }

absl::StatusOr<Bytes> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) {
    return absl::InvalidArgumentError(
        StrCat("hexadecimal text of ", hex.size(), " characters: the number must be even"));
  }
  Bytes bytes(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return absl::InvalidArgumentError(
          StrCat("character ", i + 1, " of a hexadecimal text is not one of 0-9, a-f"));
    }
    bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] << 4 | digit);
  }
  return bytes;
}

std::string ToBase64Url(ByteView bytes) {
  std::string text = absl::WebSafeBase64Escape(ForAbsl(AsText(bytes)));
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

absl::StatusOr<Bytes> FromBase64Url(std::string_view text) {
  std::string raw;
  // abseil skips spaces, takes padding and drops stray bits; one value is to have one text.
  if (!absl::WebSafeBase64Unescape(ForAbsl(text), &raw) || ToBase64Url(AsBytes(raw)) != text) {
    return absl::InvalidArgumentError("the text is not base64url (A-Z, a-z, 0-9, - and _, without padding)");
  }
  return Bytes(raw.begin(), raw.end());
}

std::string ToBase64(ByteView bytes) { return absl::Base64Escape(ForAbsl(AsText(bytes))); }

std::uint32_t LoadLe32(const std::uint8_t* p) {
  std::uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

std::uint64_t LoadLe64(const std::uint8_t* p) {
  std::uint64_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

void StoreLe32(std::uint8_t* p, std::uint32_t value) { std::memcpy(p, &value, sizeof value); }
void StoreLe64(std::uint8_t* p, std::uint64_t value) { std::memcpy(p, &value, sizeof value); }

absl::StatusOr<Digest> Digest::FromHex(std::string_view hex) {
  if (hex.size() != 64) {
    return absl::InvalidArgumentError(
        StrCat("a SHA-256 has 64 hexadecimal characters, this one has ", hex.size()));
  }
  ASSIGN_OR_RETURN(Bytes bytes, consilium::FromHex(hex));
  Digest digest;
  std::memcpy(digest.bytes.data(), bytes.data(), bytes.size());
  return digest;
}

}  // namespace consilium
