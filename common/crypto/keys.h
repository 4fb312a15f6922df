#pragma once

#include <array>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// HKDF-SHA256 (RFC 5869): extract with `salt`, expand with `info` to `size` bytes (1 to 255 * 32).
// Salt and info may be empty, the key may not.
absl::StatusOr<Secret> Hkdf(ByteView key, ByteView salt, ByteView info, std::size_t size);

using X25519PublicKey = std::array<std::uint8_t, 32>;
// RFC 7748. The private key is used through X25519() and kept by SavePrivateKey().
struct X25519KeyPair {
  Secret private_key;  // 32 bytes
  X25519PublicKey public_key{};
  static absl::StatusOr<X25519KeyPair> Generate();
  static absl::StatusOr<X25519KeyPair> FromPrivate(ByteView private_key);
};
// Refuses (kInvalidArgument) a result of all zeros, as RFC 7748 section 6.1 asks.
absl::StatusOr<Secret> X25519(const Secret& private_key, const X25519PublicKey& peer);

using Ed25519PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;
// RFC 8032, pure Ed25519.
struct Ed25519KeyPair {
  Secret private_key;  // 32-byte seed
  Ed25519PublicKey public_key{};
  static absl::StatusOr<Ed25519KeyPair> Generate();
  static absl::StatusOr<Ed25519KeyPair> FromPrivate(ByteView private_key);
};
absl::StatusOr<Signature> Sign(const Ed25519KeyPair& key, ByteView message);
// kUnauthenticated when the signature is not this key's over this message.
absl::Status VerifySignature(const Ed25519PublicKey& key, ByteView message,
                             const Signature& signature);

// 32-byte private keys on disk: mode 0600, a first line naming the kind ("consilium x25519 private
// key" for kind "x25519") and a second of 64 hexadecimal digits. Saving replaces what the file
// held, durably. Loading refuses another kind (kInvalidArgument), a damaged key (kDataLoss) and a
// file that others may read (kPermissionDenied, with the chmod to run).
absl::Status SavePrivateKey(const fs::path& path, std::string_view kind, const Secret& key);
absl::StatusOr<Secret> LoadPrivateKey(const fs::path& path, std::string_view kind);

}  // namespace consilium::crypto
