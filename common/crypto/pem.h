#pragma once

// PEM text to OpenSSL's objects and back. Internal to this folder, as openssl.h is.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/openssl.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// The first block of the kind in the text. kInvalidArgument says what is there instead. Never asks
// for a passphrase.
absl::StatusOr<OwnedCertificate> ParseCertificate(std::string_view pem);
absl::StatusOr<OwnedRequest> ParseRequest(std::string_view pem);
absl::StatusOr<OwnedPkey> ParsePrivateKey(const Secret& pem);

absl::StatusOr<std::string> ToPem(const X509* certificate);
absl::StatusOr<std::string> ToPem(const X509_REQ* request);
absl::StatusOr<Secret> PrivateKeyToPem(const EVP_PKEY* key);  // PKCS#8, not encrypted

}  // namespace consilium::crypto
