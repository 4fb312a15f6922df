#pragma once

// OpenSSL's objects as owners, and its errors as statuses. Included by the .cpp files of this
// folder only.

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

#include "absl/status/status.h"

namespace consilium::crypto {

template <auto kFree>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using OwnedPkey = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using OwnedPkeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using OwnedDigestContext = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using OwnedCipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using OwnedKdf = std::unique_ptr<EVP_KDF, FreeWith<EVP_KDF_free>>;
using OwnedKdfContext = std::unique_ptr<EVP_KDF_CTX, FreeWith<EVP_KDF_CTX_free>>;
using OwnedBio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using OwnedBigNumber = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using OwnedTime = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using OwnedCertificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using OwnedRequest = std::unique_ptr<X509_REQ, FreeWith<X509_REQ_free>>;
using OwnedExtension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using OwnedSslContext = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using OwnedSsl = std::unique_ptr<SSL, FreeWith<SSL_free>>;

// kInternal: "cannot <what>: <OpenSSL's reason>". Empties the thread's error queue, which gRPC
// reads too.
absl::Status OpenSslError(std::string_view what);

}  // namespace consilium::crypto
