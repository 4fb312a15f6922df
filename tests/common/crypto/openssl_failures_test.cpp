// Every call of OpenSSL that keys, AEAD, envelope and keystream make is made to fail, one after the
// other, with 0 and with -1: each time the function must return an error. failing_openssl.h says
// how.

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <utility>

#include "common/crypto/aead.h"
#include "common/crypto/envelope.h"
#include "common/crypto/keys.h"
#include "common/crypto/keystream.h"
#include "common/crypto/scrypt.h"
#include "tests/catch.h"
#include "tests/common/crypto/failing_openssl.h"

using Size = std::size_t;
using Byte = unsigned char;

CONSILIUM_WRAP(EVP_CIPHER_CTX*, EVP_CIPHER_CTX_new, (), ())
CONSILIUM_WRAP(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX * c, int type, int arg, void* p),
               (c, type, arg, p))
CONSILIUM_WRAP(int, EVP_CipherInit_ex,
               (EVP_CIPHER_CTX * c, const EVP_CIPHER* cipher, ENGINE* e, const Byte* key,
                const Byte* iv, int seal),
               (c, cipher, e, key, iv, seal))
CONSILIUM_WRAP(int, EVP_CipherUpdate,
               (EVP_CIPHER_CTX * c, Byte* out, int* written, const Byte* in, int size),
               (c, out, written, in, size))
CONSILIUM_WRAP(int, EVP_CipherFinal_ex, (EVP_CIPHER_CTX * c, Byte* out, int* written),
               (c, out, written))
CONSILIUM_WRAP(int, EVP_EncryptInit_ex,
               (EVP_CIPHER_CTX * c, const EVP_CIPHER* cipher, ENGINE* e, const Byte* key,
                const Byte* iv),
               (c, cipher, e, key, iv))
CONSILIUM_WRAP(int, EVP_EncryptUpdate,
               (EVP_CIPHER_CTX * c, Byte* out, int* written, const Byte* in, int size),
               (c, out, written, in, size))
CONSILIUM_WRAP(int, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX * c, Byte* out, int* written),
               (c, out, written))
CONSILIUM_WRAP(int, EVP_DecryptInit_ex,
               (EVP_CIPHER_CTX * c, const EVP_CIPHER* cipher, ENGINE* e, const Byte* key,
                const Byte* iv),
               (c, cipher, e, key, iv))
CONSILIUM_WRAP(int, EVP_DecryptUpdate,
               (EVP_CIPHER_CTX * c, Byte* out, int* written, const Byte* in, int size),
               (c, out, written, in, size))
CONSILIUM_WRAP(int, EVP_DecryptFinal_ex, (EVP_CIPHER_CTX * c, Byte* out, int* written),
               (c, out, written))
CONSILIUM_WRAP(EVP_KDF*, EVP_KDF_fetch, (OSSL_LIB_CTX * c, const char* name, const char* query),
               (c, name, query))
CONSILIUM_WRAP(EVP_KDF_CTX*, EVP_KDF_CTX_new, (EVP_KDF * kdf), (kdf))
CONSILIUM_WRAP(int, EVP_KDF_derive,
               (EVP_KDF_CTX * c, Byte* key, Size size, const OSSL_PARAM* parameters),
               (c, key, size, parameters))
CONSILIUM_WRAP(EVP_PKEY_CTX*, EVP_PKEY_CTX_new_from_name,
               (OSSL_LIB_CTX * library, const char* name, const char* properties),
               (library, name, properties))
CONSILIUM_WRAP(int, EVP_PKEY_fromdata_init, (EVP_PKEY_CTX * context), (context))
CONSILIUM_WRAP(int, EVP_PKEY_fromdata,
               (EVP_PKEY_CTX * context, EVP_PKEY** key, int selection, OSSL_PARAM* parameters),
               (context, key, selection, parameters))
CONSILIUM_WRAP(EVP_PKEY*, EVP_PKEY_new_raw_private_key,
               (int type, ENGINE* e, const Byte* key, Size size), (type, e, key, size))
CONSILIUM_WRAP(EVP_PKEY*, EVP_PKEY_new_raw_public_key,
               (int type, ENGINE* e, const Byte* key, Size size), (type, e, key, size))
CONSILIUM_WRAP(int, EVP_PKEY_get_raw_private_key, (const EVP_PKEY* key, Byte* out, Size* size),
               (key, out, size))
CONSILIUM_WRAP(int, EVP_PKEY_get_raw_public_key, (const EVP_PKEY* key, Byte* out, Size* size),
               (key, out, size))
CONSILIUM_WRAP(EVP_PKEY_CTX*, EVP_PKEY_CTX_new, (EVP_PKEY * key, ENGINE* e), (key, e))
CONSILIUM_WRAP(EVP_PKEY_CTX*, EVP_PKEY_CTX_new_id, (int type, ENGINE* e), (type, e))
CONSILIUM_WRAP(int, EVP_PKEY_keygen_init, (EVP_PKEY_CTX * c), (c))
CONSILIUM_WRAP(int, EVP_PKEY_keygen, (EVP_PKEY_CTX * c, EVP_PKEY** key), (c, key))
CONSILIUM_WRAP(int, EVP_PKEY_derive_init, (EVP_PKEY_CTX * c), (c))
CONSILIUM_WRAP(int, EVP_PKEY_derive_set_peer, (EVP_PKEY_CTX * c, EVP_PKEY* peer), (c, peer))
CONSILIUM_WRAP(int, EVP_PKEY_derive, (EVP_PKEY_CTX * c, Byte* out, Size* size), (c, out, size))
CONSILIUM_WRAP(EVP_MD_CTX*, EVP_MD_CTX_new, (), ())
CONSILIUM_WRAP(int, EVP_DigestSignInit,
               (EVP_MD_CTX * c, EVP_PKEY_CTX** p, const EVP_MD* type, ENGINE* e, EVP_PKEY* key),
               (c, p, type, e, key))
CONSILIUM_WRAP(int, EVP_DigestSign,
               (EVP_MD_CTX * c, Byte* out, Size* size, const Byte* in, Size in_size),
               (c, out, size, in, in_size))
CONSILIUM_WRAP(int, EVP_DigestVerifyInit,
               (EVP_MD_CTX * c, EVP_PKEY_CTX** p, const EVP_MD* type, ENGINE* e, EVP_PKEY* key),
               (c, p, type, e, key))
CONSILIUM_WRAP(int, EVP_DigestVerify,
               (EVP_MD_CTX * c, const Byte* signature, Size size, const Byte* in, Size in_size),
               (c, signature, size, in, in_size))

namespace consilium::crypto {
namespace {

Secret SomeKey() { return Secret::CopyOf(Bytes(32, 7)); }
X25519KeyPair SomePair() { return *X25519KeyPair::FromPrivate(Bytes(32, 9)); }
const Bytes kMessage(100, 42);

TEST_CASE("Making and loading keys reports every failure of OpenSSL") {
  CHECK(FailEachCall([] { return X25519KeyPair::Generate().status(); }) == 5);
  CHECK(FailEachCall([] { return Ed25519KeyPair::Generate().status(); }) == 5);
  CHECK(FailEachCall([] { return X25519KeyPair::FromPrivate(Bytes(32, 1)).status(); }) == 3);
  CHECK(FailEachCall([] { return Ed25519KeyPair::FromPrivate(Bytes(32, 1)).status(); }) == 3);
}

TEST_CASE("Agreeing on and deriving keys reports every failure of OpenSSL") {
  const X25519KeyPair pair = SomePair();
  CHECK(FailEachCall([&] { return X25519(pair.private_key, pair.public_key).status(); }) == 8);
  CHECK(FailEachCall([] { return Hkdf(Bytes(32, 1), {}, {}, 64).status(); }) == 3);
  CHECK(FailEachCall([] { return Scrypt({}, {}, {.n = 2}, 64).status(); }) == 3);
}

TEST_CASE("Signing and checking a signature report every failure of OpenSSL") {
  const Ed25519KeyPair key = *Ed25519KeyPair::FromPrivate(Bytes(32, 3));
  CHECK(FailEachCall([&] { return Sign(key, kMessage).status(); }) == 6);
  const Signature signature = *Sign(key, kMessage);
  CHECK(FailEachCall([&] { return VerifySignature(key.public_key, kMessage, signature); }) == 4);
}

TEST_CASE("Sealing and opening one message report every failure of OpenSSL") {
  const Secret key = SomeKey();
  CHECK(FailEachCall([&] { return SealOnce(key, {}, kMessage, kMessage).status(); }) == 6);
  const Bytes sealed = *SealOnce(key, {}, kMessage, kMessage);
  CHECK(FailEachCall([&] { return OpenOnce(key, {}, kMessage, sealed).status(); }) == 6);
}

TEST_CASE("Sealing an envelope reports every failure of OpenSSL and ends the envelope") {
  const X25519KeyPair pair = SomePair();
  CHECK(FailEachCall([&] { return EnvelopeSealer::Create(pair.public_key, {}).status(); }) == 18);
  CHECK(FailEachCall([&] {
          Injection paused = std::exchange(injection, {});
          auto sealer = EnvelopeSealer::Create(pair.public_key, {});
          REQUIRE(sealer.ok());
          Bytes sealed(kMessage.size() + kTagBytes);
          injection = paused;
          const absl::Status status = sealer->SealNext(kMessage, true, sealed);
          paused = std::exchange(injection, {});
          CHECK(sealer->SealNext(kMessage, true, sealed).code() ==
                absl::StatusCode::kFailedPrecondition);
          injection = paused;
          return status;
        }) == 4);
}

TEST_CASE("Opening an envelope reports every failure of OpenSSL and shows no text") {
  const X25519KeyPair pair = SomePair();
  auto sealer = EnvelopeSealer::Create(pair.public_key, {});
  REQUIRE(sealer.ok());
  Bytes sealed(kMessage.size() + kTagBytes);
  REQUIRE(sealer->SealNext(kMessage, true, sealed).ok());
  CHECK(FailEachCall([&] { return EnvelopeOpener::Create(pair, sealer->header(), {}).status(); }) ==
        13);
  auto opener = EnvelopeOpener::Create(pair, sealer->header(), {});
  REQUIRE(opener.ok());
  CHECK(FailEachCall([&] {
          Bytes opened(kMessage.size(), 1);
          const absl::Status status = opener->Open(0, true, sealed, opened);
          CHECK(opened == (status.ok() ? kMessage : Bytes(kMessage.size(), 0)));
          return status;
        }) == 4);
}

TEST_CASE("A keystream reports every failure of OpenSSL and goes on right after it") {
  const Secret key = SomeKey();
  CHECK(FailEachCall([&] { return Keystream::Create(key).status(); }) == 2);
  Bytes expected(1000);
  REQUIRE(Keystream::Create(key)->Generate(5, expected).ok());
  auto keystream = Keystream::Create(key);
  REQUIRE(keystream.ok());
  CHECK(FailEachCall([&] {
          Bytes bytes(expected.size());
          const absl::Status status = keystream->Generate(5, bytes);
          const Injection paused = std::exchange(injection, {});
          CHECK(keystream->Generate(5, bytes).ok());
          CHECK(bytes == expected);
          injection = paused;
          return status;
        }) >= 2);
}

}  // namespace
}  // namespace consilium::crypto
