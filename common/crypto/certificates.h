#pragma once

// X.509 for mutual TLS: the coordinator's own small authority. ECDSA P-256, SHA-256, serials of 128
// random bits.
//
// Certificates are valid from five minutes before `now` (other machines' clocks; a tenth of their
// life when that is less) for `life` (a second to 36500 days; `days` the same as a number), and no
// longer than their authority. Names are 1 to 64 bytes of UTF-8 without control
// characters. PEM of the wrong kind, damaged or over 256 KiB is kInvalidArgument; an authority that
// is expired, is none or has another's key is kFailedPrecondition.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

struct PemIdentity {
  std::string certificate;  // PEM; for a chain, leaf first
  Secret private_key;       // PKCS#8 PEM text
};

// A self-signed authority that may only sign certificates (basicConstraints CA, pathlen 0).
absl::StatusOr<PemIdentity> MakeAuthority(std::string_view name, Time now, int days);

// A certificate with its key, signed by `authority`, for a server: its DNS names and IP addresses
// as subjectAltName.
absl::StatusOr<PemIdentity> MakeServerIdentity(const PemIdentity& authority,
                                               const std::vector<std::string>& hosts, Time now,
                                               int days);
// The same for a key that is there already (PKCS#8 PEM text), as for a renewal: the chain.
absl::StatusOr<std::string> MakeServerCertificate(const PemIdentity& authority,
                                                  const Secret& private_key,
                                                  const std::vector<std::string>& hosts, Time now,
                                                  Duration life);

// A fresh key and a PKCS#10 request that proves possession of it. CN = name.
struct CertificateRequest {
  std::string pem;
  Secret private_key;  // PKCS#8 PEM text
};
absl::StatusOr<CertificateRequest> MakeRequest(std::string_view name);
// The same for a key that is there already (PKCS#8 PEM text), as for a renewal: the request's PEM.
absl::StatusOr<std::string> MakeRequest(std::string_view name, const Secret& private_key);

// Checks the request's signature and key (P-256), ignores all names in it, and signs a client
// certificate with CN = name and OU = role, extendedKeyUsage clientAuth.
absl::StatusOr<std::string> SignRequest(const PemIdentity& authority, std::string_view request_pem,
                                        std::string_view name, std::string_view role, Time now,
                                        int days);
absl::StatusOr<std::string> SignRequest(const PemIdentity& authority, std::string_view request_pem,
                                        std::string_view name, std::string_view role, Time now,
                                        Duration life);

// SHA-256 of the DER form of the first certificate in `pem`.
absl::StatusOr<Digest> CertificateFingerprint(std::string_view pem);

// SHA-256 of the SubjectPublicKeyInfo (DER, RFC 5280 section 4.1.2.7) of the first certificate, or
// the request, in `pem`: names the key, whatever certificate it has.
absl::StatusOr<Digest> KeyFingerprint(std::string_view certificate_pem);
absl::StatusOr<Digest> RequestKeyFingerprint(std::string_view request_pem);

// OK when the first certificate in `pem` was signed by `authority_pem`, is no authority itself, and
// is valid at `now`. kUnauthenticated otherwise.
absl::Status VerifyIssuedBy(std::string_view pem, std::string_view authority_pem, Time now);

// Of the first certificate in `pem`.
struct CertificateSubject {
  std::string name;  // CN
  std::string role;  // OU; empty when there is none
  Time not_before, not_after;
};
absl::StatusOr<CertificateSubject> ReadSubject(std::string_view pem);

// Connects, through the proxy that the environment names (base/http_proxy.h), with TLS 1.2 or later
// (ALPN h2) without trust, sends nothing beyond the handshake, takes the chain the server shows,
// and returns the PEM of the certificate in it whose fingerprint is `authority` after checking that
// it is an authority and signed the leaf. kUnauthenticated when the chain holds no such certificate
// (someone stands between, or the token is of another coordinator); kUnavailable when nobody
// answers with TLS within timeout_s (resolving the name is not counted), or the proxy does not let
// us through. `address` is "host:port", "[::1]:port" for IPv6. Validity dates are left to the
// connection that trusts the result.
absl::StatusOr<std::string> FetchAuthority(const std::string& address, const Digest& authority,
                                           double timeout_s);

}  // namespace consilium::crypto
