#pragma once

#include <array>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

using AeadNonce = std::array<std::uint8_t, 12>;
inline constexpr std::size_t kAeadTagBytes = 16;

// AES-256-GCM (NIST SP 800-38D) of one whole message. `key`: 32 bytes, else kInvalidArgument. A
// nonce must never be used twice with one key; a key that seals a single message ever may use zero.
// Messages and associated data of up to 2^31 - 1 bytes, which may be empty.
//
// The sealed message is the ciphertext and, after it, the tag: message.size() + kAeadTagBytes.
absl::StatusOr<Bytes> SealOnce(const Secret& key, const AeadNonce& nonce, ByteView associated_data,
                               ByteView message);
// kUnauthenticated when the sealed message or the associated data was changed, or was sealed with
// another key or nonce.
absl::StatusOr<Secret> OpenOnce(const Secret& key, const AeadNonce& nonce, ByteView associated_data,
                                ByteView sealed);

}  // namespace consilium::crypto
