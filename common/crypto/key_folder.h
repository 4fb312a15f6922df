#pragma once

// The private keys of one program on its disk.
//
//   FOLDER/wrapping.json   how the wrapping key is made from the passphrase:
//                          {"check": hex, "kdf": "scrypt", "n": 32768, "p": 1, "r": 8, "salt": hex}
//   FOLDER/NAME            a wrapped key: the line "consilium wrapped KIND private key", and the
//                          line hex(nonce (12) | AES-256-GCM ciphertext | tag (16))
//
// The wrapping key is scrypt(passphrase, salt) (RFC 7914; 32 MiB of memory, once a program start).
// The associated data of a key is (label, kind, file name), so that no file passes for another; the
// "check" of wrapping.json is such a seal of no bytes, and tells a wrong passphrase from a damaged
// key. Without wrapping.json the keys lie bare, in the form of SavePrivateKey (keys.h) or as PEM.
// All files have mode 0600.
//
// Claim: without the passphrase the folder shows nothing of a wrapped key but its size and kind; a
// changed or swapped file is refused.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

class KeyFolder {
 public:
  // Begins a folder (made with mode 0700 when missing). kAlreadyExists when it has wrapping.json.
  static absl::StatusOr<KeyFolder> Create(const fs::path& folder, const Passphrase& passphrase);
  // Looks for the passphrase only when the keys are wrapped. kUnauthenticated: a wrong one.
  static absl::StatusOr<KeyFolder> Open(const fs::path& folder,
                                        const PassphraseOptions& options = {});

  bool wrapped() const { return wrapping_key_.has_value(); }

  // A key of 32 bytes of a kind ("ed25519", "x25519"). Saving is durable and replaces. Loading:
  // kNotFound; kInvalidArgument: another kind; kPermissionDenied: others may read the file;
  // kDataLoss: changed. A bare key loads from a wrapped folder too, as before it was wrapped.
  absl::Status Save(std::string_view name, std::string_view kind, const Secret& key) const;
  absl::StatusOr<Secret> Load(std::string_view name, std::string_view kind) const;

  // The same for a private key in PEM, of the kind "pem" when wrapped.
  absl::Status SavePem(std::string_view name, const Secret& pem) const;
  absl::StatusOr<Secret> LoadPem(std::string_view name) const;

 private:
  KeyFolder(fs::path folder, std::optional<Secret> wrapping_key)
      : folder_(std::move(folder)), wrapping_key_(std::move(wrapping_key)) {}
  fs::path folder_;
  std::optional<Secret> wrapping_key_;
};

}  // namespace consilium::crypto
