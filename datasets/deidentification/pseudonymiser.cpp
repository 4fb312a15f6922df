#include "datasets/deidentification/pseudonymiser.h"

#include <algorithm>
#include <array>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/keys.h"
#include "common/crypto/sha256.h"
#include "datasets/deidentification/dates.h"

namespace consilium::datasets::deidentification {
namespace {

constexpr std::string_view kKeyKind = "pseudonym";
constexpr std::size_t kKeyBytes = 32;
constexpr std::string_view kStandardRoot = "1.2.840.10008.";

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

// RFC 4648 section 6, from the left.
std::string Base32(ByteView bytes, std::size_t characters) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) {
    unsigned value = 0;
    for (std::size_t bit = 5 * i; bit < 5 * i + 5; ++bit) {
      value = value << 1 | (bytes[bit / 8] >> (7 - bit % 8) & 1u);
    }
    text += kAlphabet[value];
  }
  return text;
}

// 16 bytes as one big-endian number.
std::string Decimal(std::array<std::uint8_t, 16> number) {
  std::string digits;
  while (std::any_of(number.begin(), number.end(), [](std::uint8_t b) { return b != 0; })) {
    unsigned rest = 0;
    for (std::uint8_t& byte : number) {
      const unsigned value = rest << 8 | byte;
      byte = static_cast<std::uint8_t>(value / 10);
      rest = value % 10;
    }
    digits += static_cast<char>('0' + rest);
  }
  std::reverse(digits.begin(), digits.end());
  return digits.empty() ? "0" : digits;
}

}  // namespace

absl::StatusOr<crypto::Secret> LoadSiteKey(const fs::path& path) {
  return crypto::LoadPrivateKey(path, kKeyKind);
}

absl::StatusOr<crypto::Secret> LoadOrMakeSiteKey(const fs::path& path, bool* made) {
  *made = !Exists(path);
  if (!*made) return LoadSiteKey(path);
  if (path.has_parent_path()) RETURN_IF_ERROR(EnsureFolder(path.parent_path()));
  crypto::Secret key(kKeyBytes);
  SystemRandom().Fill(key.RevealForWriting());
  RETURN_IF_ERROR(crypto::SavePrivateKey(path, kKeyKind, key));
  return key;
}

// HMAC with both paddings hashed once.
struct Pseudonymiser::Impl {
  crypto::Sha256Stream inner, outer;

  explicit Impl(const crypto::Secret& key) {
    std::array<std::uint8_t, 64> block{};
    const auto feed = [&](crypto::Sha256Stream& stream, std::uint8_t padding) {
      block.fill(padding);
      for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key.Reveal()[i];
      stream.Update(block);
    };
    feed(inner, 0x36);
    feed(outer, 0x5c);
    crypto::Cleanse(std::span<std::uint8_t>(block));
  }

  // Of "purpose|text": what is made for one purpose says nothing of another.
  Digest Hash(std::string_view purpose, std::string_view text) const {
    crypto::Sha256Stream first = inner.Copy();
    first.Update(AsBytes(purpose));
    first.Update(AsBytes("|"));
    first.Update(AsBytes(text));
    const Digest digest = std::move(first).Finish();
    crypto::Sha256Stream second = outer.Copy();
    second.Update(digest.bytes);
    return std::move(second).Finish();
  }
};

absl::StatusOr<Pseudonymiser> Pseudonymiser::Create(const crypto::Secret& site_key) {
  if (site_key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a site's key for pseudonyms has ", kKeyBytes, " bytes, not ", site_key.size()));
  }
  return Pseudonymiser(std::make_unique<Impl>(site_key));
}

Pseudonymiser::Pseudonymiser(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pseudonymiser::Pseudonymiser(Pseudonymiser&&) noexcept = default;
Pseudonymiser& Pseudonymiser::operator=(Pseudonymiser&&) noexcept = default;
Pseudonymiser::~Pseudonymiser() = default;

std::string Pseudonymiser::PatientPseudonym(std::string_view patient_id) const {
  return "P-" + Base32(impl_->Hash("patient", Trim(patient_id)).bytes, 16);
}

std::string Pseudonymiser::MappedUid(std::string_view uid) const {
  uid = Trim(uid);
  if (uid.empty() || uid.starts_with(kStandardRoot)) return std::string(uid);
  const Digest digest = impl_->Hash("uid", uid);
  std::array<std::uint8_t, 16> number;
  std::copy_n(digest.bytes.begin(), number.size(), number.begin());
  number[6] = static_cast<std::uint8_t>(0x80 | (number[6] & 0x0f));  // version 8, RFC 9562
  number[8] = static_cast<std::uint8_t>(0x80 | (number[8] & 0x3f));
  return "2.25." + Decimal(number);
}

int Pseudonymiser::DateShiftDays(std::string_view patient_id) const {
  constexpr int kLeast = 366, kMost = 366 * 11;
  const Digest digest = impl_->Hash("dates", Trim(patient_id));
  const std::uint64_t random = LoadLe64(digest.bytes.data());
  return -(kLeast + static_cast<int>(random % (kMost - kLeast + 1)));
}

std::string Pseudonymiser::ShiftedDate(std::string_view patient_id, std::string_view date) const {
  return ShiftDate(date, DateShiftDays(patient_id));
}

std::string Pseudonymiser::ShiftedDateTime(std::string_view patient_id,
                                           std::string_view date_time) const {
  return ShiftDateTime(date_time, DateShiftDays(patient_id));
}

std::string Pseudonymiser::DevicePseudonym(std::string_view name) const {
  return "AE" + Base32(impl_->Hash("device", Trim(name)).bytes, 10);
}

Bytes Pseudonymiser::KeyedHash(std::string_view purpose, std::string_view original) const {
  const Digest digest = impl_->Hash(StrCat("other: ", purpose), original);
  return Bytes(digest.bytes.begin(), digest.bytes.begin() + 16);
}

std::string Pseudonymiser::KeyName() const {
  return ToHex(ByteView(impl_->Hash("key", "").bytes).first(8));
}

}  // namespace consilium::datasets::deidentification
