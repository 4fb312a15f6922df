#include "tests/common/secagg/memoised_crypto.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "common/crypto/keys.h"

// The names as the linker sees them (Itanium ABI): `real` is the library's function, `wrapped` is
// called in its place.
#define CONSILIUM_WRAP(real, wrapped, symbol, result, ...) \
  result real(__VA_ARGS__) __asm__("__real_" symbol);      \
  result wrapped(__VA_ARGS__) __asm__("__wrap_" symbol);

namespace consilium::crypto {

CONSILIUM_WRAP(RealVerify, MemoisedVerify,
               "_ZN9consilium6crypto15VerifySignatureERKSt5arrayIhLm32EESt4spanIKhLm"
               "18446744073709551615EERKS1_IhLm64EE",
               absl::Status, const Ed25519PublicKey& key, ByteView message,
               const Signature& signature)
CONSILIUM_WRAP(RealSign, MemoisedSign,
               "_ZN9consilium6crypto4SignERKNS0_14Ed25519KeyPairESt4spanIKhLm"
               "18446744073709551615EE",
               absl::StatusOr<Signature>, const Ed25519KeyPair& key, ByteView message)
CONSILIUM_WRAP(RealX25519, MemoisedX25519,
               "_ZN9consilium6crypto6X25519ERKNS0_6SecretERKSt5arrayIhLm32EE",
               absl::StatusOr<Secret>, const Secret& private_key, const X25519PublicKey& peer)
CONSILIUM_WRAP(RealFromPrivate, MemoisedFromPrivate,
               "_ZN9consilium6crypto13X25519KeyPair11FromPrivateESt4spanIKhLm"
               "18446744073709551615EE",
               absl::StatusOr<X25519KeyPair>, ByteView private_key)
CONSILIUM_WRAP(RealHkdf, MemoisedHkdf,
               "_ZN9consilium6crypto4HkdfESt4spanIKhLm18446744073709551615EES3_S3_m",
               absl::StatusOr<Secret>, ByteView key, ByteView salt, ByteView info, std::size_t size)

namespace {

template <class Value>
using Memo = std::unordered_map<std::string, Value>;
Memo<absl::Status> verified;
Memo<absl::StatusOr<Signature>> signatures;
Memo<absl::StatusOr<Bytes>> agreements, derived;
Memo<X25519PublicKey> public_keys;

template <class... Parts>
std::string KeyOf(const Parts&... parts) {
  std::string key;
  (key.append(AsText(ByteView(parts))), ...);
  return key;
}

template <class Value, class Compute>
const Value& Remember(Memo<Value>& memo, std::string key, const Compute& compute) {
  const auto found = memo.find(key);
  if (found != memo.end()) return found->second;
  return memo.emplace(std::move(key), compute()).first->second;
}

absl::StatusOr<Bytes> Revealed(const absl::StatusOr<Secret>& secret) {
  if (!secret.ok()) return secret.status();
  return Bytes(secret->Reveal().begin(), secret->Reveal().end());
}
absl::StatusOr<Secret> Hidden(const absl::StatusOr<Bytes>& bytes) {
  if (!bytes.ok()) return bytes.status();
  return Secret::CopyOf(*bytes);
}

}  // namespace

absl::Status MemoisedVerify(const Ed25519PublicKey& key, ByteView message,
                            const Signature& signature) {
  return Remember(verified, KeyOf(key, signature, message),
                  [&] { return RealVerify(key, message, signature); });
}

absl::StatusOr<Signature> MemoisedSign(const Ed25519KeyPair& key, ByteView message) {
  return Remember(signatures, KeyOf(key.private_key.Reveal(), message),
                  [&] { return RealSign(key, message); });
}

// One agreement for both ends: X25519(a, b G) = X25519(b, a G).
absl::StatusOr<Secret> MemoisedX25519(const Secret& private_key, const X25519PublicKey& peer) {
  const auto own = MemoisedFromPrivate(private_key.Reveal());
  if (!own.ok()) return own.status();
  const auto& [smaller, greater] = std::minmax(own->public_key, peer);
  return Hidden(Remember(agreements, KeyOf(smaller, greater),
                         [&] { return Revealed(RealX25519(private_key, peer)); }));
}

absl::StatusOr<Secret> MemoisedHkdf(ByteView key, ByteView salt, ByteView info, std::size_t size) {
  std::uint8_t sizes[16];
  StoreLe64(sizes, size);
  StoreLe64(sizes + 8, info.size());
  return Hidden(Remember(derived, KeyOf(sizes, info, salt, key),
                         [&] { return Revealed(RealHkdf(key, salt, info, size)); }));
}

absl::StatusOr<X25519KeyPair> MemoisedFromPrivate(ByteView private_key) {
  const auto found = public_keys.find(KeyOf(private_key));
  if (found != public_keys.end()) return X25519KeyPair{Secret::CopyOf(private_key), found->second};
  auto pair = RealFromPrivate(private_key);
  if (pair.ok()) public_keys.emplace(KeyOf(private_key), pair->public_key);
  return pair;
}

}  // namespace consilium::crypto

namespace consilium::secagg {

void ForgetCrypto() {
  crypto::verified.clear();
  crypto::signatures.clear();
  crypto::agreements.clear();
  crypto::derived.clear();
  crypto::public_keys.clear();
}

}  // namespace consilium::secagg
