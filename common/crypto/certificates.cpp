#include "common/crypto/certificates.h"

#include <arpa/inet.h>
#include <openssl/ec.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/pem.h"
#include "common/crypto/sha256.h"

namespace consilium::crypto {

namespace {

using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMaxNameBytes = 64;  // ub-common-name, RFC 5280 appendix A
constexpr long kVersion3 = 2;
constexpr int kMostDays = 36500;

struct Extension {
  int nid;
  std::string value;  // in the words of x509v3_config(5)
};

// What a certificate says besides its times and its issuer.
struct CertificateContent {
  std::string name;
  std::string role;  // left out when empty
  EVP_PKEY* key = nullptr;
  std::vector<Extension> extensions;
};

struct Issuer {
  OwnedCertificate certificate;
  OwnedPkey key;
  Time not_after;
};

absl::Status CheckSubjectText(std::string_view what, std::string_view text) {
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (text.empty() || text.size() > kMaxNameBytes || control) {
    return absl::InvalidArgumentError(
        StrCat("the ", what, " in a certificate has 1 to ", kMaxNameBytes,
               " bytes and no control characters; this one has ", text.size(), " bytes"));
  }
  return absl::OkStatus();
}

absl::Status AddText(X509_NAME* name, int nid, std::string_view text) {
  if (X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()), -1, 0) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("a name for a certificate is not valid UTF-8");
  }
  return absl::OkStatus();
}

absl::StatusOr<OwnedPkey> MakeP256Key() {
  OwnedPkey key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("make a P-256 key");
  return key;
}

absl::Status SetSerial(X509* certificate) {
  std::array<std::uint8_t, 16> random;
  SystemRandom().Fill(random);
  const OwnedBigNumber serial(BN_bin2bn(random.data(), static_cast<int>(random.size()), nullptr));
  if (serial == nullptr || BN_set_bit(serial.get(), 0) != 1 ||  // never zero
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpenSslError("set a certificate's serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, Time not_before, Time not_after) {
  const auto to_asn1 = [](Time time) {
    return OwnedTime(
        ASN1_TIME_set(nullptr, std::chrono::floor<seconds>(time).time_since_epoch().count()));
  };
  const OwnedTime from = to_asn1(not_before), to = to_asn1(not_after);
  if (from == nullptr || to == nullptr || X509_set1_notBefore(certificate, from.get()) != 1 ||
      X509_set1_notAfter(certificate, to.get()) != 1) {
    return OpenSslError("set a certificate's validity");
  }
  return absl::OkStatus();
}

absl::StatusOr<Time> FromAsn1(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate's validity is not a time");
  }
  return Time(seconds(timegm(&parts)));
}

absl::Status AddExtension(X509* certificate, X509* issuer, const Extension& extension) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const OwnedExtension made(
      X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.value.c_str()));
  if (made == nullptr || X509_add_ext(certificate, made.get(), -1) != 1) {
    return OpenSslError(StrCat("add ", OBJ_nid2sn(extension.nid), " to a certificate"));
  }
  return absl::OkStatus();
}

// Signed by `issuer`, or by itself with its own key when that is null.
absl::StatusOr<OwnedCertificate> IssueCertificate(const CertificateContent& content,
                                                  const Issuer* issuer, Time now, Duration life) {
  if (life < seconds(1) || life > days(kMostDays)) {
    return absl::InvalidArgumentError(StrCat("a certificate is made for a second to ", kMostDays,
                                             " days, not for ", Seconds(life), " seconds"));
  }
  RETURN_IF_ERROR(CheckSubjectText("name", content.name));
  Time not_after = now + life;
  if (issuer != nullptr) not_after = std::min(not_after, issuer->not_after);

  OwnedCertificate certificate(X509_new());
  if (certificate == nullptr || X509_set_version(certificate.get(), kVersion3) != 1 ||
      X509_set_pubkey(certificate.get(), content.key) != 1) {
    return OpenSslError("make a certificate");
  }
  RETURN_IF_ERROR(SetSerial(certificate.get()));
  RETURN_IF_ERROR(
      SetValidity(certificate.get(), now - std::min<Duration>(minutes(5), life / 10), not_after));
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  RETURN_IF_ERROR(AddText(subject, NID_commonName, content.name));
  if (!content.role.empty()) {
    RETURN_IF_ERROR(AddText(subject, NID_organizationalUnitName, content.role));
  }
  X509* issuing = issuer != nullptr ? issuer->certificate.get() : certificate.get();
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuing)) != 1) {
    return OpenSslError("name a certificate's issuer");
  }
  for (const Extension& extension : content.extensions) {
    RETURN_IF_ERROR(AddExtension(certificate.get(), issuing, extension));
  }
  RETURN_IF_ERROR(AddExtension(certificate.get(), issuing, {NID_subject_key_identifier, "hash"}));
  RETURN_IF_ERROR(
      AddExtension(certificate.get(), issuing, {NID_authority_key_identifier, "keyid:always"}));
  EVP_PKEY* signing = issuer != nullptr ? issuer->key.get() : content.key;
  if (X509_sign(certificate.get(), signing, EVP_sha256()) <= 0) {
    return OpenSslError("sign a certificate");
  }
  return certificate;
}

absl::StatusOr<Issuer> LoadIssuer(const PemIdentity& authority, Time now) {
  Issuer issuer;
  ASSIGN_OR_RETURN(issuer.certificate, ParseCertificate(authority.certificate));
  ASSIGN_OR_RETURN(issuer.key, ParsePrivateKey(authority.private_key));
  const X509* certificate = issuer.certificate.get();
  if (X509_check_ca(issuer.certificate.get()) != 1) {
    return absl::FailedPreconditionError(
        "the authority's certificate may not sign certificates: give the authority's own, not a "
        "server's or a site's");
  }
  if (X509_check_private_key(certificate, issuer.key.get()) != 1) {
    ERR_clear_error();
    return absl::FailedPreconditionError(
        "the authority's private key is not that of its certificate: restore both from one backup");
  }
  ASSIGN_OR_RETURN(const Time not_before, FromAsn1(X509_get0_notBefore(certificate)));
  ASSIGN_OR_RETURN(issuer.not_after, FromAsn1(X509_get0_notAfter(certificate)));
  if (now < not_before || now >= issuer.not_after) {
    return absl::FailedPreconditionError(
        StrCat("the authority's certificate is valid from ", ToRfc3339(not_before), " to ",
               ToRfc3339(issuer.not_after), ", and now is ", ToRfc3339(now),
               ": check the clock, or make a new authority"));
  }
  return issuer;
}

// Any number of days that is too many stays too many.
Duration LifeOf(int number_of_days) { return days(std::clamp(number_of_days, 0, kMostDays + 1)); }

bool IsIpAddress(const std::string& host) {
  std::array<std::uint8_t, 16> address;
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

// Labels of letters, digits and inner hyphens (RFC 1123 section 2.1), and underscores, which
// container names have.
bool IsDnsName(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  while (true) {
    const std::string_view label = host.substr(0, host.find('.'));
    const bool good = std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    });
    if (!good || label.empty() || label.size() > 63 || label.front() == '-' ||
        label.back() == '-') {
      return false;
    }
    if (label.size() == host.size()) {  // the last label of a name is never a number
      return label.find_first_not_of("0123456789") != std::string_view::npos;
    }
    host.remove_prefix(label.size() + 1);
  }
}

absl::StatusOr<std::string> SubjectAltName(const std::vector<std::string>& hosts) {
  if (hosts.empty()) {
    return absl::InvalidArgumentError(
        "a server's certificate needs at least one DNS name or IP address");
  }
  std::string names;
  for (const std::string& host : hosts) {
    const bool address = IsIpAddress(host);
    if (!address && !IsDnsName(host)) {
      return absl::InvalidArgumentError(
          StrCat("\"", host,
                 "\" is neither a DNS name nor an IP address; give it without port and brackets"));
    }
    StrAppend(&names, names.empty() ? "" : ",", address ? "IP:" : "DNS:", host);
  }
  return names;
}

std::vector<Extension> LeafExtensions(std::string usage) {
  return {{NID_basic_constraints, "critical,CA:FALSE"},
          {NID_key_usage, "critical,digitalSignature"},
          {NID_ext_key_usage, std::move(usage)}};
}

// Proof of possession, and a key of the only kind we sign.
absl::Status CheckRequest(X509_REQ* request, EVP_PKEY* key) {
  std::array<char, 32> group{};
  int explicit_parameters = 0;
  const bool p256 =
      EVP_PKEY_is_a(key, "EC") == 1 &&
      EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1 &&
      std::string_view(group.data()) == SN_X9_62_prime256v1 &&
      EVP_PKEY_get_int_param(key, "decoded-from-explicit", &explicit_parameters) == 1 &&
      explicit_parameters == 0;
  if (!p256) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "the certificate request's key is not an ECDSA P-256 key: make the request with consilium");
  }
  if (X509_REQ_verify(request, key) != 1) {
    ERR_clear_error();
    return absl::UnauthenticatedError(
        "the certificate request is not signed with the key in it: it was changed on the way, or "
        "its sender does not hold the key");
  }
  return absl::OkStatus();
}

// The one entry of the kind; empty when there is none and that may be.
absl::StatusOr<std::string> SubjectText(const X509_NAME* subject, int nid, bool required) {
  const int at = X509_NAME_get_index_by_NID(subject, nid, -1);
  if (at < 0 && !required) return std::string();
  if (at < 0 || X509_NAME_get_index_by_NID(subject, nid, at) >= 0) {
    return absl::InvalidArgumentError(StrCat("the certificate's subject has ",
                                             at < 0 ? "no " : "more than one ", OBJ_nid2sn(nid),
                                             ": it is not one of ours"));
  }
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate's subject is not text");
  }
  std::string value(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  RETURN_IF_ERROR(CheckSubjectText(OBJ_nid2sn(nid), value));
  return value;
}

absl::StatusOr<Digest> HashOfKey(const X509_PUBKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(key, &der);
  if (size <= 0 || der == nullptr) return OpenSslError("write a public key");
  const Digest digest = Sha256(ByteView(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return digest;
}

}  // namespace

absl::StatusOr<PemIdentity> MakeAuthority(std::string_view name, Time now, int days) {
  ASSIGN_OR_RETURN(const OwnedPkey key, MakeP256Key());
  const CertificateContent content{std::string(name),
                                   "",
                                   key.get(),
                                   {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                    {NID_key_usage, "critical,keyCertSign"}}};
  ASSIGN_OR_RETURN(const OwnedCertificate certificate,
                   IssueCertificate(content, nullptr, now, LifeOf(days)));
  PemIdentity identity;
  ASSIGN_OR_RETURN(identity.certificate, ToPem(certificate.get()));
  ASSIGN_OR_RETURN(identity.private_key, PrivateKeyToPem(key.get()));
  return identity;
}

absl::StatusOr<std::string> MakeServerCertificate(const PemIdentity& authority,
                                                  const Secret& private_key,
                                                  const std::vector<std::string>& hosts, Time now,
                                                  Duration life) {
  ASSIGN_OR_RETURN(std::string names, SubjectAltName(hosts));
  ASSIGN_OR_RETURN(const Issuer issuer, LoadIssuer(authority, now));
  ASSIGN_OR_RETURN(const OwnedPkey key, ParsePrivateKey(private_key));
  // A DNS name may be longer than a CN; clients look at subjectAltName alone (RFC 6125
  // section 6.4.4).
  const std::string name = hosts[0].size() <= kMaxNameBytes ? hosts[0] : "server";
  CertificateContent content{name, "", key.get(), LeafExtensions("serverAuth")};
  content.extensions.push_back({NID_subject_alt_name, std::move(names)});
  ASSIGN_OR_RETURN(const OwnedCertificate certificate,
                   IssueCertificate(content, &issuer, now, life));
  ASSIGN_OR_RETURN(const std::string leaf, ToPem(certificate.get()));
  ASSIGN_OR_RETURN(const std::string authority_pem, ToPem(issuer.certificate.get()));
  return leaf + authority_pem;
}

absl::StatusOr<PemIdentity> MakeServerIdentity(const PemIdentity& authority,
                                               const std::vector<std::string>& hosts, Time now,
                                               int days) {
  ASSIGN_OR_RETURN(const OwnedPkey key, MakeP256Key());
  PemIdentity identity;
  ASSIGN_OR_RETURN(identity.private_key, PrivateKeyToPem(key.get()));
  ASSIGN_OR_RETURN(identity.certificate, MakeServerCertificate(authority, identity.private_key,
                                                               hosts, now, LifeOf(days)));
  return identity;
}

absl::StatusOr<CertificateRequest> MakeRequest(std::string_view name) {
  ASSIGN_OR_RETURN(const OwnedPkey key, MakeP256Key());
  CertificateRequest made;
  ASSIGN_OR_RETURN(made.private_key, PrivateKeyToPem(key.get()));
  ASSIGN_OR_RETURN(made.pem, MakeRequest(name, made.private_key));
  return made;
}

absl::StatusOr<std::string> MakeRequest(std::string_view name, const Secret& private_key) {
  RETURN_IF_ERROR(CheckSubjectText("name", name));
  ASSIGN_OR_RETURN(const OwnedPkey key, ParsePrivateKey(private_key));
  const OwnedRequest request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1) {
    return OpenSslError("make a certificate request");
  }
  RETURN_IF_ERROR(AddText(X509_REQ_get_subject_name(request.get()), NID_commonName, name));
  if (X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return OpenSslError("sign a certificate request");
  }
  return ToPem(request.get());
}

absl::StatusOr<std::string> SignRequest(const PemIdentity& authority, std::string_view request_pem,
                                        std::string_view name, std::string_view role, Time now,
                                        int days) {
  return SignRequest(authority, request_pem, name, role, now, LifeOf(days));
}

absl::StatusOr<std::string> SignRequest(const PemIdentity& authority, std::string_view request_pem,
                                        std::string_view name, std::string_view role, Time now,
                                        Duration life) {
  RETURN_IF_ERROR(CheckSubjectText("role", role));
  ASSIGN_OR_RETURN(const OwnedRequest request, ParseRequest(request_pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate request holds no key that can be read");
  }
  RETURN_IF_ERROR(CheckRequest(request.get(), key));
  ASSIGN_OR_RETURN(const Issuer issuer, LoadIssuer(authority, now));
  const CertificateContent content{std::string(name), std::string(role), key,
                                   LeafExtensions("clientAuth")};
  ASSIGN_OR_RETURN(const OwnedCertificate certificate,
                   IssueCertificate(content, &issuer, now, life));
  return ToPem(certificate.get());
}

absl::StatusOr<Digest> CertificateFingerprint(std::string_view pem) {
  ASSIGN_OR_RETURN(const OwnedCertificate certificate, ParseCertificate(pem));
  Digest digest;
  unsigned size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest.bytes.data(), &size) != 1 ||
      size != digest.bytes.size()) {
    return OpenSslError("hash a certificate");
  }
  return digest;
}

absl::StatusOr<Digest> KeyFingerprint(std::string_view certificate_pem) {
  ASSIGN_OR_RETURN(const OwnedCertificate certificate, ParseCertificate(certificate_pem));
  return HashOfKey(X509_get_X509_PUBKEY(certificate.get()));
}

absl::StatusOr<Digest> RequestKeyFingerprint(std::string_view request_pem) {
  ASSIGN_OR_RETURN(const OwnedRequest request, ParseRequest(request_pem));
  return HashOfKey(X509_REQ_get_X509_PUBKEY(request.get()));
}

absl::Status VerifyIssuedBy(std::string_view pem, std::string_view authority_pem, Time now) {
  ASSIGN_OR_RETURN(const OwnedCertificate certificate, ParseCertificate(pem));
  ASSIGN_OR_RETURN(const OwnedCertificate authority, ParseCertificate(authority_pem));
  const bool issued = X509_check_ca(authority.get()) == 1 &&
                      X509_check_issued(authority.get(), certificate.get()) == X509_V_OK &&
                      X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  if (!issued || X509_check_ca(certificate.get()) != 0) {
    ERR_clear_error();
    return absl::UnauthenticatedError(
        "the certificate was not issued to a member by the authority that we were enrolled with");
  }
  ASSIGN_OR_RETURN(const Time not_before, FromAsn1(X509_get0_notBefore(certificate.get())));
  ASSIGN_OR_RETURN(const Time not_after, FromAsn1(X509_get0_notAfter(certificate.get())));
  if (now < not_before || now >= not_after) {
    return absl::UnauthenticatedError(StrCat("the certificate is valid from ",
                                             ToRfc3339(not_before), " to ", ToRfc3339(not_after),
                                             ", and now is ", ToRfc3339(now), ": check the clock"));
  }
  return absl::OkStatus();
}

absl::StatusOr<CertificateSubject> ReadSubject(std::string_view pem) {
  ASSIGN_OR_RETURN(const OwnedCertificate certificate, ParseCertificate(pem));
  const X509_NAME* name = X509_get_subject_name(certificate.get());
  CertificateSubject subject;
  ASSIGN_OR_RETURN(subject.name, SubjectText(name, NID_commonName, /*required=*/true));
  ASSIGN_OR_RETURN(subject.role, SubjectText(name, NID_organizationalUnitName, false));
  ASSIGN_OR_RETURN(subject.not_before, FromAsn1(X509_get0_notBefore(certificate.get())));
  ASSIGN_OR_RETURN(subject.not_after, FromAsn1(X509_get0_notAfter(certificate.get())));
  return subject;
}

}  // namespace consilium::crypto
