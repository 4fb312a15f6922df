#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret_file.h"

namespace consilium::crypto {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::uint64_t kFileLimitBytes = 256;

std::string FirstLine(std::string_view kind) { return StrCat("consilium ", kind, " private key"); }

// By hand and into Secrets, so that no copy of the key stays in freed memory.
void AppendHex(ByteView bytes, std::span<std::uint8_t> out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = static_cast<std::uint8_t>(kDigits[bytes[i] >> 4]);
    out[2 * i + 1] = static_cast<std::uint8_t>(kDigits[bytes[i] & 15]);
  }
}

int HexValue(std::uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

absl::StatusOr<Secret> ParseHex(std::string_view hex, const std::string& name) {
  Secret key(kKeyBytes);
  const std::span<std::uint8_t> out = key.RevealForWriting();
  bool good = hex.size() == 2 * kKeyBytes;
  for (std::size_t i = 0; good && i < kKeyBytes; ++i) {
    const int high = HexValue(static_cast<std::uint8_t>(hex[2 * i]));
    const int low = HexValue(static_cast<std::uint8_t>(hex[2 * i + 1]));
    good = high >= 0 && low >= 0;
    if (good) out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!good) {
    return absl::DataLossError(StrCat(name,
                                      ": the second line of a private key file has 64 lower-case "
                                      "hexadecimal digits, this one does not; restore the file"));
  }
  return key;
}

}  // namespace

absl::Status SavePrivateKey(const fs::path& path, std::string_view kind, const Secret& key) {
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a private key file holds a key of 32 bytes, this one has ", key.size()));
  }
  const std::string head = FirstLine(kind) + "\n";
  Secret content(head.size() + 2 * kKeyBytes + 1);
  const std::span<std::uint8_t> out = content.RevealForWriting();
  std::copy(head.begin(), head.end(), out.begin());
  AppendHex(key.Reveal(), out.subspan(head.size()));
  out.back() = '\n';
  return WriteFileDurably(path, content.Reveal(), 0600);
}

absl::StatusOr<Secret> LoadPrivateKey(const fs::path& path, std::string_view kind) {
  const std::string name = path.filename().string();
  ASSIGN_OR_RETURN(const Secret content, ReadSecretFile(path, kFileLimitBytes, "a private key"));
  std::string_view text = AsText(content.Reveal());
  const std::string wanted = FirstLine(kind);
  if (!text.starts_with(wanted + "\n")) {
    return absl::InvalidArgumentError(StrCat(name, " does not begin with \"", wanted,
                                             "\": it holds another kind of key, or none"));
  }
  text.remove_prefix(wanted.size() + 1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return ParseHex(text, name);
}

}  // namespace consilium::crypto
