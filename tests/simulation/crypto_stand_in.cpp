// Public-key operations are most of a simulated round's time and none of its subject. Linked with
// the linker's --wrap (see CMakeLists.txt), signatures and key agreements are made of hashes
// instead: the same inputs give the same answer, another key or message another one, both ends of
// an agreement the same secret. Worthless as cryptography: who knows a public key can sign. Nobody
// forges in the simulation; the protocol's checks against liars are tested in tests/common/secagg.

#include <algorithm>

#include "common/base/random.h"
#include "common/crypto/keys.h"
#include "common/crypto/sha256.h"

// The names as the linker sees them (Itanium ABI): `wrapped` is called in the library's place.
#define CONSILIUM_WRAP(wrapped, symbol, result, ...) \
  result wrapped(__VA_ARGS__) __asm__("__wrap_" symbol);

namespace consilium::crypto {

CONSILIUM_WRAP(StandInVerify,
               "_ZN9consilium6crypto15VerifySignatureERKSt5arrayIhLm32EESt4spanIKhLm"
               "18446744073709551615EERKS1_IhLm64EE",
               absl::Status, const Ed25519PublicKey& key, ByteView message,
               const Signature& signature)
CONSILIUM_WRAP(StandInSign,
               "_ZN9consilium6crypto4SignERKNS0_14Ed25519KeyPairESt4spanIKhLm"
               "18446744073709551615EE",
               absl::StatusOr<Signature>, const Ed25519KeyPair& key, ByteView message)
CONSILIUM_WRAP(StandInAgree, "_ZN9consilium6crypto6X25519ERKNS0_6SecretERKSt5arrayIhLm32EE",
               absl::StatusOr<Secret>, const Secret& private_key, const X25519PublicKey& peer)
CONSILIUM_WRAP(StandInFromPrivate,
               "_ZN9consilium6crypto13X25519KeyPair11FromPrivateESt4spanIKhLm"
               "18446744073709551615EE",
               absl::StatusOr<X25519KeyPair>, ByteView private_key)
CONSILIUM_WRAP(StandInGenerate, "_ZN9consilium6crypto13X25519KeyPair8GenerateEv",
               absl::StatusOr<X25519KeyPair>)

namespace {

Digest HashOf(std::string_view what, ByteView a, ByteView b = {}) {
  Sha256Stream hash;
  hash.Update(AsBytes(what));
  hash.Update(a);
  hash.Update(b);
  return std::move(hash).Finish();
}

X25519PublicKey PublicOf(ByteView private_key) { return HashOf("public key", private_key).bytes; }

Signature SignatureOf(const Ed25519PublicKey& key, ByteView message) {
  const Digest first = HashOf("signature", key, message), second = HashOf("again", first.bytes);
  Signature signature;
  std::copy(first.bytes.begin(), first.bytes.end(), signature.begin());
  std::copy(second.bytes.begin(), second.bytes.end(), signature.begin() + first.bytes.size());
  return signature;
}

}  // namespace

absl::StatusOr<Signature> StandInSign(const Ed25519KeyPair& key, ByteView message) {
  return SignatureOf(key.public_key, message);
}

absl::Status StandInVerify(const Ed25519PublicKey& key, ByteView message,
                           const Signature& signature) {
  if (signature == SignatureOf(key, message)) return absl::OkStatus();
  return absl::UnauthenticatedError("the signature is not this key's over this message");
}

absl::StatusOr<Secret> StandInAgree(const Secret& private_key, const X25519PublicKey& peer) {
  const X25519PublicKey own = PublicOf(private_key.Reveal());
  const auto& [smaller, greater] = std::minmax(own, peer);
  return Secret::CopyOf(HashOf("agreement", smaller, greater).bytes);
}

absl::StatusOr<X25519KeyPair> StandInFromPrivate(ByteView private_key) {
  return X25519KeyPair{Secret::CopyOf(private_key), PublicOf(private_key)};
}

absl::StatusOr<X25519KeyPair> StandInGenerate() {
  std::array<std::uint8_t, 32> drawn{};
  SystemRandom().Fill(drawn);
  return StandInFromPrivate(drawn);
}

}  // namespace consilium::crypto
