// Every call of OpenSSL that certificates are made and read with is made to fail, one after the
// other, with 0 and with -1: each time the function must return an error.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdarg>

#include "common/crypto/certificates.h"
#include "tests/catch.h"
#include "tests/common/crypto/failing_openssl.h"

CONSILIUM_WRAP(BIO*, BIO_new, (const BIO_METHOD* method), (method))
CONSILIUM_WRAP(BIO*, BIO_new_mem_buf, (const void* data, int size), (data, size))
CONSILIUM_WRAP(long, BIO_ctrl, (BIO * bio, int command, long number, void* pointer),
               (bio, command, number, pointer))
CONSILIUM_WRAP(X509*, PEM_read_bio_X509, (BIO * b, X509** x, pem_password_cb* c, void* u),
               (b, x, c, u))
CONSILIUM_WRAP(X509_REQ*, PEM_read_bio_X509_REQ,
               (BIO * b, X509_REQ** x, pem_password_cb* c, void* u), (b, x, c, u))
CONSILIUM_WRAP(EVP_PKEY*, PEM_read_bio_PrivateKey,
               (BIO * b, EVP_PKEY** x, pem_password_cb* c, void* u), (b, x, c, u))
CONSILIUM_WRAP(int, PEM_write_bio_X509, (BIO * b, const X509* x), (b, x))
CONSILIUM_WRAP(int, PEM_write_bio_X509_REQ, (BIO * b, const X509_REQ* x), (b, x))
CONSILIUM_WRAP(int, PEM_write_bio_PKCS8PrivateKey,
               (BIO * b, const EVP_PKEY* x, const EVP_CIPHER* e, const char* k, int n,
                pem_password_cb* c, void* u),
               (b, x, e, k, n, c, u))
CONSILIUM_WRAP(BIGNUM*, BN_bin2bn, (const unsigned char* s, int n, BIGNUM* r), (s, n, r))
CONSILIUM_WRAP(int, BN_set_bit, (BIGNUM * a, int n), (a, n))
CONSILIUM_WRAP(ASN1_INTEGER*, BN_to_ASN1_INTEGER, (const BIGNUM* a, ASN1_INTEGER* i), (a, i))
CONSILIUM_WRAP(ASN1_TIME*, ASN1_TIME_set, (ASN1_TIME * s, time_t t), (s, t))
CONSILIUM_WRAP(int, ASN1_TIME_to_tm, (const ASN1_TIME* s, std::tm* t), (s, t))
CONSILIUM_WRAP(int, ASN1_STRING_to_UTF8, (unsigned char** out, const ASN1_STRING* in), (out, in))
CONSILIUM_WRAP(X509*, X509_new, (), ())
CONSILIUM_WRAP(int, X509_set_version, (X509 * x, long version), (x, version))
CONSILIUM_WRAP(int, X509_set_pubkey, (X509 * x, EVP_PKEY* key), (x, key))
CONSILIUM_WRAP(int, X509_set_issuer_name, (X509 * x, const X509_NAME* name), (x, name))
CONSILIUM_WRAP(int, X509_set1_notBefore, (X509 * x, const ASN1_TIME* t), (x, t))
CONSILIUM_WRAP(int, X509_set1_notAfter, (X509 * x, const ASN1_TIME* t), (x, t))
CONSILIUM_WRAP(const ASN1_TIME*, X509_get0_notBefore, (const X509* x), (x))
CONSILIUM_WRAP(const ASN1_TIME*, X509_get0_notAfter, (const X509* x), (x))
CONSILIUM_WRAP(int, X509_NAME_add_entry_by_NID,
               (X509_NAME * n, int nid, int type, const unsigned char* bytes, int size, int at,
                int set),
               (n, nid, type, bytes, size, at, set))
CONSILIUM_WRAP(X509_EXTENSION*, X509V3_EXT_conf_nid,
               (LHASH_OF(CONF_VALUE) * conf, X509V3_CTX* c, int nid, const char* value),
               (conf, c, nid, value))
CONSILIUM_WRAP(int, X509_add_ext, (X509 * x, X509_EXTENSION* e, int at), (x, e, at))
CONSILIUM_WRAP(int, X509_sign, (X509 * x, EVP_PKEY* key, const EVP_MD* md), (x, key, md))
CONSILIUM_WRAP(int, X509_verify, (X509 * x, EVP_PKEY* key), (x, key))
CONSILIUM_WRAP(int, X509_check_private_key, (const X509* x, const EVP_PKEY* key), (x, key))
CONSILIUM_WRAP(int, X509_digest,
               (const X509* x, const EVP_MD* md, unsigned char* out, unsigned* size),
               (x, md, out, size))
CONSILIUM_WRAP(X509_REQ*, X509_REQ_new, (), ())
CONSILIUM_WRAP(int, X509_REQ_set_version, (X509_REQ * x, long version), (x, version))
CONSILIUM_WRAP(int, X509_REQ_set_pubkey, (X509_REQ * x, EVP_PKEY* key), (x, key))
CONSILIUM_WRAP(EVP_PKEY*, X509_REQ_get0_pubkey, (X509_REQ * x), (x))
CONSILIUM_WRAP(int, X509_REQ_sign, (X509_REQ * x, EVP_PKEY* key, const EVP_MD* md), (x, key, md))
CONSILIUM_WRAP(int, X509_REQ_verify, (X509_REQ * x, EVP_PKEY* key), (x, key))
CONSILIUM_WRAP(int, i2d_X509_PUBKEY, (const X509_PUBKEY* key, unsigned char** out), (key, out))
CONSILIUM_WRAP(int, EVP_PKEY_is_a, (const EVP_PKEY* key, const char* name), (key, name))
CONSILIUM_WRAP(int, EVP_PKEY_get_group_name,
               (const EVP_PKEY* key, char* name, std::size_t size, std::size_t* length),
               (key, name, size, length))
CONSILIUM_WRAP(int, EVP_PKEY_get_int_param, (const EVP_PKEY* key, const char* name, int* out),
               (key, name, out))

// What EVP_EC_gen is, which takes one more argument of a type that depends on the kind of key.
extern "C" EVP_PKEY* __real_EVP_PKEY_Q_keygen(OSSL_LIB_CTX*, const char*, const char*, ...);
extern "C" EVP_PKEY* __wrap_EVP_PKEY_Q_keygen(OSSL_LIB_CTX* context, const char* query,
                                              const char* type, ...) {
  std::va_list arguments;
  va_start(arguments, type);
  const char* curve = va_arg(arguments, const char*);
  va_end(arguments);
  return consilium::crypto::FailsNow() ? nullptr
                                       : __real_EVP_PKEY_Q_keygen(context, query, type, curve);
}

namespace consilium::crypto {
namespace {

const Time kNow{std::chrono::seconds(1772366400)};  // 2026-03-01T12:00:00Z

TEST_CASE("Making an authority and a server's certificate reports every failure of OpenSSL") {
  CHECK(FailEachCall([] { return MakeAuthority("test", kNow, 10).status(); }) > 20);
  const PemIdentity authority = *MakeAuthority("test", kNow, 10);
  CHECK(FailEachCall([&] {
          return MakeServerIdentity(authority, {"coordinator.example.org"}, kNow, 1).status();
        }) > 25);
}

TEST_CASE("Making and signing a request reports every failure of OpenSSL") {
  const PemIdentity authority = *MakeAuthority("test", kNow, 10);
  const CertificateRequest request = *MakeRequest("north");
  CHECK(FailEachCall([] { return MakeRequest("north").status(); }) > 10);
  CHECK(FailEachCall([&] { return MakeRequest("north", request.private_key).status(); }) > 8);
  CHECK(FailEachCall([&] {
          return SignRequest(authority, request.pem, "north", "site", kNow, 1).status();
        }) > 25);
}

TEST_CASE("Reading and checking a certificate reports every failure of OpenSSL") {
  const PemIdentity authority = *MakeAuthority("test", kNow, 10);
  const CertificateRequest request = *MakeRequest("north");
  const std::string member = *SignRequest(authority, request.pem, "north", "site", kNow, 1);
  CHECK(FailEachCall([&] { return CertificateFingerprint(member).status(); }) == 3);
  CHECK(FailEachCall([&] { return KeyFingerprint(member).status(); }) == 3);
  CHECK(FailEachCall([&] { return RequestKeyFingerprint(request.pem).status(); }) == 3);
  CHECK(FailEachCall([&] { return ReadSubject(member).status(); }) == 8);
  CHECK(FailEachCall([&] { return VerifyIssuedBy(member, authority.certificate, kNow); }) == 9);
}

}  // namespace
}  // namespace consilium::crypto
