#include "common/crypto/keys.h"

#include <openssl/core_names.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/openssl.h"

namespace consilium::crypto {

namespace {

constexpr std::size_t kKeyBytes = 32;

struct RawKeyPair {
  Secret private_key;
  std::array<std::uint8_t, kKeyBytes> public_key{};
};

// Ends an error queue that failures we expect (a bad signature, a bad point) leave behind.
absl::Status Refuse(absl::Status status) {
  ERR_clear_error();
  return status;
}

absl::StatusOr<OwnedPkey> LoadPrivate(int type, ByteView private_key, std::string_view kind) {
  if (private_key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a private ", kind, " key has 32 bytes, this one ", private_key.size()));
  }
  OwnedPkey key(
      EVP_PKEY_new_raw_private_key(type, nullptr, private_key.data(), private_key.size()));
  if (key == nullptr) return OpenSslError(StrCat("load the private ", kind, " key"));
  return key;
}

// Both halves given: OpenSSL need not compute the public one again, which takes as long as using
// the key.
absl::StatusOr<OwnedPkey> LoadPair(const char* type, const Secret& private_key,
                                   std::span<const std::uint8_t> public_key) {
  if (private_key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        StrCat("a private ", type, " key has 32 bytes, this one ", private_key.size()));
  }
  const auto octets = [](const char* name, ByteView bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                             bytes.size());
  };
  std::array<OSSL_PARAM, 3> parameters = {octets(OSSL_PKEY_PARAM_PRIV_KEY, private_key.Reveal()),
                                          octets(OSSL_PKEY_PARAM_PUB_KEY, public_key),
                                          OSSL_PARAM_construct_end()};
  const OwnedPkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* loaded = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &loaded, EVP_PKEY_KEYPAIR, parameters.data()) != 1) {
    return OpenSslError(StrCat("load an ", type, " key pair"));
  }
  return OwnedPkey(loaded);
}

absl::StatusOr<RawKeyPair> ExportPair(const EVP_PKEY* key, std::string_view kind) {
  RawKeyPair pair{Secret(kKeyBytes)};
  std::size_t private_size = kKeyBytes, public_size = kKeyBytes;
  if (EVP_PKEY_get_raw_private_key(key, pair.private_key.RevealForWriting().data(),
                                   &private_size) != 1 ||
      EVP_PKEY_get_raw_public_key(key, pair.public_key.data(), &public_size) != 1 ||
      private_size != kKeyBytes || public_size != kKeyBytes) {
    return OpenSslError(StrCat("read the ", kind, " key pair"));
  }
  return pair;
}

absl::StatusOr<RawKeyPair> GeneratePair(int type, std::string_view kind) {
  OwnedPkeyContext context(EVP_PKEY_CTX_new_id(type, nullptr));
  EVP_PKEY* generated = nullptr;
  if (context == nullptr || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &generated) != 1) {
    return OpenSslError(StrCat("make an ", kind, " key"));
  }
  const OwnedPkey key(generated);
  return ExportPair(key.get(), kind);
}

absl::StatusOr<RawKeyPair> PairFromPrivate(int type, ByteView private_key, std::string_view kind) {
  ASSIGN_OR_RETURN(const OwnedPkey key, LoadPrivate(type, private_key, kind));
  return ExportPair(key.get(), kind);
}

}  // namespace

absl::StatusOr<Secret> Hkdf(ByteView key, ByteView salt, ByteView info, std::size_t size) {
  if (key.empty()) return absl::InvalidArgumentError("HKDF needs a key of at least one byte");
  if (size == 0 || size > 255 * 32) {
    return absl::InvalidArgumentError(
        StrCat("HKDF-SHA256 gives 1 to 8160 bytes, ", size, " were asked for"));
  }
  const auto octets = [](const char* name, ByteView bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                             bytes.size());
  };
  char hash[] = "SHA256";
  std::array<OSSL_PARAM, 5> parameters;
  std::size_t count = 0;
  parameters[count++] = OSSL_PARAM_construct_utf8_string("digest", hash, 0);
  parameters[count++] = octets("key", key);
  if (!salt.empty()) parameters[count++] = octets("salt", salt);
  if (!info.empty()) parameters[count++] = octets("info", info);
  parameters[count] = OSSL_PARAM_construct_end();

  const OwnedKdf hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const OwnedKdfContext context(hkdf != nullptr ? EVP_KDF_CTX_new(hkdf.get()) : nullptr);
  Secret out(size);
  if (context == nullptr ||
      EVP_KDF_derive(context.get(), out.RevealForWriting().data(), size, parameters.data()) != 1) {
    return OpenSslError("derive a key with HKDF-SHA256");
  }
  return out;
}

absl::StatusOr<X25519KeyPair> X25519KeyPair::Generate() {
  ASSIGN_OR_RETURN(RawKeyPair pair, GeneratePair(EVP_PKEY_X25519, "X25519"));
  return X25519KeyPair{std::move(pair.private_key), pair.public_key};
}

absl::StatusOr<X25519KeyPair> X25519KeyPair::FromPrivate(ByteView private_key) {
  ASSIGN_OR_RETURN(RawKeyPair pair, PairFromPrivate(EVP_PKEY_X25519, private_key, "X25519"));
  return X25519KeyPair{std::move(pair.private_key), pair.public_key};
}

absl::StatusOr<Secret> X25519(const Secret& private_key, const X25519PublicKey& peer) {
  // An agreement does not use one's own public key: any stands in for it.
  constexpr std::array<std::uint8_t, kKeyBytes> kBasePoint = {9};
  ASSIGN_OR_RETURN(const OwnedPkey own, LoadPair("X25519", private_key, kBasePoint));
  const OwnedPkey other(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer.data(), peer.size()));
  const OwnedPkeyContext context(EVP_PKEY_CTX_new(own.get(), nullptr));
  if (other == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), other.get()) != 1) {
    return OpenSslError("prepare an X25519 agreement");
  }
  Secret shared(kKeyBytes);
  std::size_t size = shared.size();
  const bool derived =
      EVP_PKEY_derive(context.get(), shared.RevealForWriting().data(), &size) == 1 &&
      size == shared.size();
  constexpr std::array<std::uint8_t, kKeyBytes> kZeros{};
  if (!derived || shared.Equals(kZeros)) {
    return Refuse(absl::InvalidArgumentError(
        "the peer's X25519 key has low order, so that the shared secret would be zero: its sender "
        "is broken or hostile"));
  }
  return shared;
}

absl::StatusOr<Ed25519KeyPair> Ed25519KeyPair::Generate() {
  ASSIGN_OR_RETURN(RawKeyPair pair, GeneratePair(EVP_PKEY_ED25519, "Ed25519"));
  return Ed25519KeyPair{std::move(pair.private_key), pair.public_key};
}

absl::StatusOr<Ed25519KeyPair> Ed25519KeyPair::FromPrivate(ByteView private_key) {
  ASSIGN_OR_RETURN(RawKeyPair pair, PairFromPrivate(EVP_PKEY_ED25519, private_key, "Ed25519"));
  return Ed25519KeyPair{std::move(pair.private_key), pair.public_key};
}

absl::StatusOr<Signature> Sign(const Ed25519KeyPair& key, ByteView message) {
  ASSIGN_OR_RETURN(const OwnedPkey pkey, LoadPair("ED25519", key.private_key, key.public_key));
  const OwnedDigestContext context(EVP_MD_CTX_new());
  Signature signature{};
  std::size_t size = signature.size();
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1 ||
      size != signature.size()) {
    return OpenSslError("sign with Ed25519");
  }
  return signature;
}

absl::Status VerifySignature(const Ed25519PublicKey& key, ByteView message,
                             const Signature& signature) {
  const OwnedPkey pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  const OwnedDigestContext context(EVP_MD_CTX_new());
  if (pkey == nullptr || context == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1) {
    return OpenSslError("prepare the check of an Ed25519 signature");
  }
  if (EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                       message.size()) != 1) {
    return Refuse(absl::UnauthenticatedError(
        "the signature is not this key's over this message: one of the three was changed"));
  }
  return absl::OkStatus();
}

}  // namespace consilium::crypto
