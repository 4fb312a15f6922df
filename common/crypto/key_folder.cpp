#include "common/crypto/key_folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/field_writer.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/keys.h"
#include "common/crypto/scrypt.h"
#include "common/crypto/secret_file.h"

namespace consilium::crypto {
namespace {

constexpr std::size_t kKeyBytes = 32, kSaltBytes = 32;
constexpr std::uint64_t kMaxKeyFileBytes = 64 << 10;
constexpr std::uint64_t kMostN = 1 << 20;
constexpr char kWrapping[] = "wrapping.json";
constexpr std::string_view kWrapped = "consilium wrapped ";
constexpr std::string_view kPem = "pem";

// A seal with a fresh nonce in front.
absl::StatusOr<Bytes> SealWithNonce(const Secret& key, ByteView associated_data, ByteView message) {
  AeadNonce nonce;
  SystemRandom().Fill(nonce);
  ASSIGN_OR_RETURN(const Bytes sealed, SealOnce(key, nonce, associated_data, message));
  Bytes out(nonce.begin(), nonce.end());
  out.insert(out.end(), sealed.begin(), sealed.end());
  return out;
}

absl::StatusOr<Secret> OpenWithNonce(const Secret& key, ByteView associated_data, ByteView sealed) {
  AeadNonce nonce;
  if (sealed.size() < nonce.size() + kAeadTagBytes) {
    return absl::UnauthenticatedError("a sealed text is too short");
  }
  std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
  return OpenOnce(key, nonce, associated_data, sealed.subspan(nonce.size()));
}

Bytes CheckText() { return FieldWriter("consilium key wrapping v1").bytes(); }

Bytes KeyText(std::string_view name, std::string_view kind) {
  return FieldWriter("consilium wrapped key v1").Text(kind).Text(name).bytes();
}

std::string FirstLine(std::string_view kind) { return StrCat(kWrapped, kind, " private key\n"); }

struct Wrapping {
  ScryptCost cost;
  Bytes salt, check;
};

std::string Write(const Wrapping& wrapping) {
  const nlohmann::json json = {
      {"kdf", "scrypt"},      {"n", wrapping.cost.n},         {"r", wrapping.cost.r},
      {"p", wrapping.cost.p}, {"salt", ToHex(wrapping.salt)}, {"check", ToHex(wrapping.check)}};
  return json.dump() + "\n";
}

absl::StatusOr<Wrapping> ParseWrapping(std::string_view text) {
  const auto damaged = absl::DataLossError(
      "wrapping.json does not say how the keys are wrapped; restore it from a backup");
  const nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return damaged;
  Wrapping wrapping;
  const auto number = [&json](const char* key) -> std::uint64_t {
    const auto found = json.find(key);
    return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
  };
  const auto hex = [&json](const char* key) {
    const auto found = json.find(key);
    return FromHex(found != json.end() && found->is_string() ? found->get_ref<const std::string&>()
                                                             : std::string("?"));
  };
  wrapping.cost.n = number("n");
  const auto salt = hex("salt"), check = hex("check");
  if (!salt.ok() || !check.ok() || salt->size() != kSaltBytes) return damaged;
  wrapping.salt = *salt;
  wrapping.check = *check;
  const bool bounded = wrapping.cost.n >= ScryptCost().n && wrapping.cost.n <= kMostN;
  if (!bounded || Write(wrapping) != text) return damaged;
  return wrapping;
}

absl::StatusOr<Secret> Unlock(const Wrapping& wrapping, const Passphrase& passphrase) {
  ASSIGN_OR_RETURN(Secret key,
                   Scrypt(passphrase.text().Reveal(), wrapping.salt, wrapping.cost, kKeyBytes));
  if (!OpenWithNonce(key, CheckText(), wrapping.check).ok()) {
    return absl::UnauthenticatedError(
        "wrong passphrase: the private keys of this folder are wrapped with another");
  }
  return key;
}

absl::StatusOr<Secret> MakeWrapping(const fs::path& folder, const Passphrase& passphrase) {
  Wrapping wrapping;
  wrapping.salt.resize(kSaltBytes);
  SystemRandom().Fill(wrapping.salt);
  ASSIGN_OR_RETURN(Secret key,
                   Scrypt(passphrase.text().Reveal(), wrapping.salt, wrapping.cost, kKeyBytes));
  ASSIGN_OR_RETURN(wrapping.check, SealWithNonce(key, CheckText(), {}));
  RETURN_IF_ERROR(WriteFileDurably(folder / kWrapping, Write(wrapping)));
  return key;
}

absl::Status SaveWrapped(const fs::path& path, std::string_view kind, const Secret& wrapping_key,
                         const Secret& key) {
  ASSIGN_OR_RETURN(
      const Bytes sealed,
      SealWithNonce(wrapping_key, KeyText(path.filename().string(), kind), key.Reveal()));
  return WriteFileDurably(path, StrCat(FirstLine(kind), ToHex(sealed), "\n"));
}

absl::StatusOr<Secret> Unwrap(const std::string& name, std::string_view kind,
                              const std::optional<Secret>& wrapping_key, std::string_view text) {
  const std::string head = FirstLine(kind);
  if (!text.starts_with(head)) {
    return absl::InvalidArgumentError(StrCat(name, " does not begin with \"",
                                             head.substr(0, head.size() - 1),
                                             "\": it holds another kind of key"));
  }
  if (!wrapping_key.has_value()) {
    return absl::FailedPreconditionError(
        StrCat(name,
               " is wrapped with a passphrase, and wrapping.json beside it is missing; "
               "restore it from a backup"));
  }
  text.remove_prefix(head.size());
  const auto damaged = absl::DataLossError(
      StrCat(name, " was changed since it was written; restore it from a backup"));
  if (!text.ends_with('\n')) return damaged;
  text.remove_suffix(1);
  const auto sealed = FromHex(text);
  if (!sealed.ok() || ToHex(*sealed) != text) return damaged;
  auto key = OpenWithNonce(*wrapping_key, KeyText(name, kind), *sealed);
  if (!key.ok()) return damaged;
  return key;
}

}  // namespace

absl::StatusOr<KeyFolder> KeyFolder::Create(const fs::path& folder, const Passphrase& passphrase) {
  RETURN_IF_ERROR(EnsureFolder(folder));
  if (Exists(folder / kWrapping)) {
    return absl::AlreadyExistsError(
        StrCat("the folder \"", folder.filename().string(), "\" holds wrapped keys already"));
  }
  if (passphrase.unprotected()) return KeyFolder(folder, std::nullopt);
  ASSIGN_OR_RETURN(Secret key, MakeWrapping(folder, passphrase));
  return KeyFolder(folder, std::move(key));
}

absl::StatusOr<KeyFolder> KeyFolder::Open(const fs::path& folder,
                                          const PassphraseOptions& options) {
  const auto text = ReadTextFile(folder / kWrapping, kMaxKeyFileBytes);
  if (absl::IsNotFound(text.status())) return KeyFolder(folder, std::nullopt);
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const Wrapping wrapping, ParseWrapping(*text));
  ASSIGN_OR_RETURN(const Passphrase passphrase, FindPassphrase(options, PassphraseFor::kOldKeys));
  ASSIGN_OR_RETURN(Secret key, Unlock(wrapping, passphrase));
  return KeyFolder(folder, std::move(key));
}

absl::Status KeyFolder::Save(std::string_view name, std::string_view kind,
                             const Secret& key) const {
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a private key file holds a key of 32 bytes, this one has ", key.size()));
  }
  if (!wrapped()) return SavePrivateKey(folder_ / name, kind, key);
  return SaveWrapped(folder_ / name, kind, *wrapping_key_, key);
}

absl::StatusOr<Secret> KeyFolder::Load(std::string_view name, std::string_view kind) const {
  const fs::path path = folder_ / name;
  ASSIGN_OR_RETURN(const Secret content, ReadSecretFile(path, kMaxKeyFileBytes, "a private key"));
  const std::string_view text = AsText(content.Reveal());
  if (!text.starts_with(kWrapped)) return LoadPrivateKey(path, kind);
  return Unwrap(std::string(name), kind, wrapping_key_, text);
}

absl::Status KeyFolder::SavePem(std::string_view name, const Secret& pem) const {
  if (!wrapped()) return WriteFileDurably(folder_ / name, pem.Reveal());
  return SaveWrapped(folder_ / name, kPem, *wrapping_key_, pem);
}

absl::StatusOr<Secret> KeyFolder::LoadPem(std::string_view name) const {
  ASSIGN_OR_RETURN(Secret content,
                   ReadSecretFile(folder_ / name, kMaxKeyFileBytes, "a private key"));
  const std::string_view text = AsText(content.Reveal());
  if (text.starts_with("-----BEGIN ")) return content;
  return Unwrap(std::string(name), kPem, wrapping_key_, text);
}

}  // namespace consilium::crypto
