#include "common/crypto/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <random>

#include "common/base/random.h"
#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"

namespace consilium::crypto {
namespace {

using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;

const Time kNow{seconds(1772366400)};  // 2026-03-01T12:00:00Z
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeStore {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
};
struct FreeStoreContext {
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
};
using Certificate = std::unique_ptr<X509, FreeX509>;

Certificate Parse(std::string_view pem) {
  const std::unique_ptr<BIO, FreeBio> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  REQUIRE(certificate != nullptr);
  return certificate;
}

// As TLS does: chain, dates, purpose and strict RFC 5280 form. X509_V_OK or why not.
int VerifyChain(std::string_view authority, std::string_view leaf, int purpose, Time at) {
  const Certificate root = Parse(authority), certificate = Parse(leaf);
  const std::unique_ptr<X509_STORE, FreeStore> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, FreeStoreContext> context(X509_STORE_CTX_new());
  REQUIRE(X509_STORE_add_cert(store.get(), root.get()) == 1);
  REQUIRE(X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) == 1);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_time(parameters,
                             std::chrono::floor<seconds>(at).time_since_epoch().count());
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_verify_cert(context.get());
  ERR_clear_error();
  return X509_STORE_CTX_get_error(context.get());
}

PemIdentity Authority(std::string_view name = "North Federation", int valid_days = 3650) {
  auto authority = MakeAuthority(name, kNow, valid_days);
  REQUIRE(authority.ok());
  return *std::move(authority);
}

CertificateRequest Request(std::string_view name = "north-hospital") {
  auto request = MakeRequest(name);
  REQUIRE(request.ok());
  return *std::move(request);
}

absl::StatusCode SignCode(const PemIdentity& authority, std::string_view request, Time now = kNow,
                          std::string_view name = "north-hospital", std::string_view role = "site",
                          int valid_days = 90) {
  return SignRequest(authority, request, name, role, now, valid_days).status().code();
}

TEST_CASE("A site's certificate verifies as a client's of its authority, and as nothing else") {
  const PemIdentity authority = Authority(), other = Authority();
  const auto site = SignRequest(authority, Request().pem, "north-hospital", "site", kNow, 90);
  REQUIRE(site.ok());
  CHECK(VerifyChain(authority.certificate, *site, X509_PURPOSE_SSL_CLIENT, kNow) == X509_V_OK);
  CHECK(VerifyChain(authority.certificate, *site, X509_PURPOSE_SSL_SERVER, kNow) ==
        X509_V_ERR_INVALID_PURPOSE);
  CHECK(VerifyChain(other.certificate, *site, X509_PURPOSE_SSL_CLIENT, kNow) != X509_V_OK);
  CHECK(VerifyChain(authority.certificate, *site, X509_PURPOSE_SSL_CLIENT, kNow + days(91)) ==
        X509_V_ERR_CERT_HAS_EXPIRED);
  CHECK(VerifyChain(authority.certificate, *site, X509_PURPOSE_SSL_CLIENT, kNow - minutes(4)) ==
        X509_V_OK);
  CHECK(VerifyChain(authority.certificate, *site, X509_PURPOSE_SSL_CLIENT, kNow - minutes(6)) ==
        X509_V_ERR_CERT_NOT_YET_VALID);
}

TEST_CASE("A server's certificate names its hosts and addresses, with the authority in its chain") {
  const PemIdentity authority = Authority();
  const auto server = MakeServerIdentity(
      authority, {"coordinator.example.org", "127.0.0.1", "::1", "localhost"}, kNow, 90);
  REQUIRE(server.ok());
  CHECK(VerifyChain(authority.certificate, server->certificate, X509_PURPOSE_SSL_SERVER, kNow) ==
        X509_V_OK);
  CHECK(VerifyChain(authority.certificate, server->certificate, X509_PURPOSE_SSL_CLIENT, kNow) ==
        X509_V_ERR_INVALID_PURPOSE);
  CHECK(server->certificate.ends_with(authority.certificate));
  const Certificate leaf = Parse(server->certificate);
  CHECK(X509_check_host(leaf.get(), "coordinator.example.org", 0, 0, nullptr) == 1);
  CHECK(X509_check_host(leaf.get(), "localhost", 0, 0, nullptr) == 1);
  CHECK(X509_check_host(leaf.get(), "example.org", 0, 0, nullptr) == 0);
  CHECK(X509_check_ip_asc(leaf.get(), "127.0.0.1", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "::1", 0) == 1);
  CHECK(X509_check_ip_asc(leaf.get(), "127.0.0.2", 0) == 0);
}

TEST_CASE("A server's certificate is renewed with the same key") {
  const PemIdentity authority = Authority();
  const auto server = MakeServerIdentity(authority, {"coordinator.example.org"}, kNow, 90);
  REQUIRE(server.ok());
  const auto renewed = MakeServerCertificate(
      authority, server->private_key, {"coordinator.example.org"}, kNow + days(60), days(90));
  REQUIRE(renewed.ok());
  CHECK(KeyFingerprint(*renewed).value() == KeyFingerprint(server->certificate).value());
  CHECK(*renewed != server->certificate);
  CHECK(renewed->ends_with(authority.certificate));
  CHECK(VerifyChain(authority.certificate, *renewed, X509_PURPOSE_SSL_SERVER, kNow + days(149)) ==
        X509_V_OK);
}

TEST_CASE("A certificate may live for seconds, and then begins only a little before now") {
  const PemIdentity authority = Authority();
  const auto site =
      SignRequest(authority, Request().pem, "north-hospital", "site", kNow, seconds(30));
  REQUIRE(site.ok());
  const auto subject = ReadSubject(*site);
  REQUIRE(subject.ok());
  CHECK(subject->not_before == kNow - seconds(3));
  CHECK(subject->not_after == kNow + seconds(30));
  CHECK(SignRequest(authority, Request().pem, "north-hospital", "site", kNow, Duration(1))
            .status()
            .code() == kInvalid);
}

TEST_CASE("A host that is neither name nor address, or would smuggle in another, is refused") {
  const PemIdentity authority = Authority();
  for (const char* host : {"", "a,DNS:evil.example", "host:443", "[::1]", "*.example.org", "a..b",
                           "-a.example", "a b", "300.1.1.1", "a\nb", "host."}) {
    CHECK(MakeServerIdentity(authority, {"good.example", host}, kNow, 90).status().code() ==
          kInvalid);
  }
  CHECK(MakeServerIdentity(authority, {}, kNow, 90).status().code() == kInvalid);
  const std::string label(60, 'a');
  const std::string longest = label + "." + label + "." + label;
  const auto server = MakeServerIdentity(authority, {longest}, kNow, 90);
  REQUIRE(server.ok());
  CHECK(X509_check_host(Parse(server->certificate).get(), longest.c_str(), 0, 0, nullptr) == 1);
}

TEST_CASE("The name, the role and the dates are read from a certificate") {
  const PemIdentity authority = Authority("Fédération du Nord");
  // The names in the request are ignored.
  const auto site = SignRequest(authority, Request("evil-hospital").pem, "north-hospital",
                                "researcher", kNow, 90);
  REQUIRE(site.ok());
  const auto subject = ReadSubject(*site);
  REQUIRE(subject.ok());
  CHECK(subject->name == "north-hospital");
  CHECK(subject->role == "researcher");
  CHECK(subject->not_before == kNow - minutes(5));
  CHECK(subject->not_after == kNow + days(90));
  const auto own = ReadSubject(authority.certificate);
  REQUIRE(own.ok());
  CHECK(own->name == "Fédération du Nord");
  CHECK(own->role.empty());
}

TEST_CASE("The fingerprint is the SHA-256 of the DER form and differs for each certificate") {
  const PemIdentity one = Authority(), two = Authority();
  const auto fingerprint = CertificateFingerprint(one.certificate);
  REQUIRE(fingerprint.ok());
  CHECK(*fingerprint != *CertificateFingerprint(two.certificate));
  CHECK(*fingerprint == *CertificateFingerprint(one.certificate + two.certificate));
  unsigned char der_hash[32];
  unsigned char* der = nullptr;
  const int size = i2d_X509(Parse(one.certificate).get(), &der);
  REQUIRE(size > 0);
  REQUIRE(EVP_Digest(der, static_cast<std::size_t>(size), der_hash, nullptr, EVP_sha256(),
                     nullptr) == 1);
  OPENSSL_free(der);
  CHECK(ToHex(der_hash) == fingerprint->Hex());
}

TEST_CASE("No certificate outlives its authority, and an authority out of its time signs nothing") {
  const PemIdentity authority = Authority("short", 30);
  const auto site = SignRequest(authority, Request().pem, "north-hospital", "site", kNow, 90);
  REQUIRE(site.ok());
  CHECK(ReadSubject(*site)->not_after == kNow + days(30));
  CHECK(SignCode(authority, Request().pem, kNow + days(31)) == kPrecondition);
  CHECK(SignCode(authority, Request().pem, kNow - days(1)) == kPrecondition);
  const auto late = MakeServerIdentity(authority, {"localhost"}, kNow + days(31), 90);
  CHECK(late.status().code() == kPrecondition);
  CHECK(ToStd(late.status().message()).find("2026-03-31T12:00:00Z") != std::string_view::npos);
}

TEST_CASE("Only an authority with its own key signs") {
  const PemIdentity authority = Authority();
  PemIdentity mixed{authority.certificate, Secret::CopyOf(Authority().private_key.Reveal())};
  CHECK(SignCode(mixed, Request().pem) == kPrecondition);
  const auto server = MakeServerIdentity(authority, {"localhost"}, kNow, 90);
  REQUIRE(server.ok());
  CHECK(SignCode(*server, Request().pem) == kPrecondition);
  PemIdentity swapped{std::string(AsText(authority.private_key.Reveal())),
                      Secret::CopyOf(AsBytes(authority.certificate))};
  CHECK(SignCode(swapped, Request().pem) == kInvalid);
}

// The request with the byte at `from_end` before the end of its DER form changed.
std::string WithChangedByte(const std::string& pem, int from_end) {
  const std::unique_ptr<BIO, FreeBio> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char *name = nullptr, *header = nullptr;
  unsigned char* der = nullptr;
  long size = 0;
  REQUIRE(PEM_read_bio(in.get(), &name, &header, &der, &size) == 1);
  der[size - from_end] ^= 1;
  const std::unique_ptr<BIO, FreeBio> out(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio(out.get(), name, header, der, size) > 0);
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(der);
  char* text = nullptr;
  const long length = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

TEST_CASE("A request that its own key did not sign is refused") {
  const PemIdentity authority = Authority();
  const auto refused =
      SignRequest(authority, WithChangedByte(Request().pem, 3), "north-hospital", "site", kNow, 90);
  CHECK(refused.status().code() == absl::StatusCode::kUnauthenticated);
  CHECK(ToStd(refused.status().message()).find("does not hold the key") != std::string_view::npos);
}

std::string RequestWithKey(EVP_PKEY* key, const EVP_MD* hash) {
  X509_REQ* request = X509_REQ_new();
  REQUIRE(X509_REQ_set_pubkey(request, key) == 1);
  REQUIRE(X509_REQ_sign(request, key, hash) > 0);
  const std::unique_ptr<BIO, FreeBio> out(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_X509_REQ(out.get(), request) == 1);
  X509_REQ_free(request);
  EVP_PKEY_free(key);
  char* text = nullptr;
  const long length = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

TEST_CASE("A request with a key of another kind is refused") {
  const PemIdentity authority = Authority();
  CHECK(SignCode(authority, RequestWithKey(EVP_EC_gen("P-384"), EVP_sha384())) == kInvalid);
  CHECK(SignCode(authority, RequestWithKey(EVP_RSA_gen(2048), EVP_sha256())) == kInvalid);
  CHECK(SignCode(authority, RequestWithKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"),
                                           nullptr)) == kInvalid);
  CHECK(SignCode(authority, RequestWithKey(EVP_EC_gen("P-256"), EVP_sha256())) ==
        absl::StatusCode::kOk);
}

TEST_CASE("Names, roles and days out of range are refused") {
  const PemIdentity authority = Authority();
  const std::string request = Request().pem, too_long(65, 'a');
  for (const std::string& name : {std::string(), too_long, std::string("a\nb"),
                                  std::string("a\0b", 3), std::string("\xff\xfe")}) {
    CHECK(SignCode(authority, request, kNow, name) == kInvalid);
    CHECK(SignCode(authority, request, kNow, "north-hospital", name) == kInvalid);
    CHECK(MakeRequest(name).status().code() == kInvalid);
    CHECK(MakeAuthority(name, kNow, 10).status().code() == kInvalid);
  }
  for (const int valid_days : {0, -1, 36501}) {
    CHECK(SignCode(authority, request, kNow, "north-hospital", "site", valid_days) == kInvalid);
  }
}

TEST_CASE("A request can be made again for a key that is there, and names the same key") {
  const CertificateRequest first = Request();
  const auto again = MakeRequest("north-hospital", first.private_key);
  REQUIRE(again.ok());
  CHECK(*RequestKeyFingerprint(*again) == *RequestKeyFingerprint(first.pem));
  CHECK(*RequestKeyFingerprint(Request().pem) != *RequestKeyFingerprint(first.pem));
  CHECK(MakeRequest("north", Secret()).status().code() == kInvalid);
  CHECK(MakeRequest("", first.private_key).status().code() == kInvalid);
}

TEST_CASE("A key keeps its fingerprint through request, certificate and renewed certificate") {
  const PemIdentity authority = Authority();
  const CertificateRequest request = Request();
  const Digest key = *RequestKeyFingerprint(request.pem);
  const auto first = SignRequest(authority, request.pem, "north", "site", kNow, days(90));
  const auto renewed = SignRequest(authority, *MakeRequest("north", request.private_key), "north",
                                   "site", kNow + days(60), days(90));
  REQUIRE(first.ok());
  REQUIRE(renewed.ok());
  CHECK(*KeyFingerprint(*first) == key);
  CHECK(*KeyFingerprint(*renewed) == key);
  CHECK(*CertificateFingerprint(*first) != *CertificateFingerprint(*renewed));
  CHECK(KeyFingerprint(request.pem).status().code() == kInvalid);
  CHECK(RequestKeyFingerprint(*first).status().code() == kInvalid);
}

TEST_CASE("The fingerprint of a key is SHA-256 of its SubjectPublicKeyInfo") {
  const CertificateRequest request = Request();
  const std::unique_ptr<BIO, FreeBio> bio(
      BIO_new_mem_buf(request.pem.data(), static_cast<int>(request.pem.size())));
  X509_REQ* parsed = PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr);
  REQUIRE(parsed != nullptr);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(parsed), &der);
  REQUIRE(size == 91);  // of a P-256 key
  CHECK(*RequestKeyFingerprint(request.pem) ==
        Sha256(ByteView(der, static_cast<std::size_t>(size))));
  OPENSSL_free(der);
  X509_REQ_free(parsed);
}

TEST_CASE("A certificate is checked against its authority, its kind and the time") {
  const PemIdentity authority = Authority(), other = Authority();
  const std::string member =
      *SignRequest(authority, Request().pem, "north", "site", kNow, days(90));
  constexpr auto kRefused = absl::StatusCode::kUnauthenticated;
  CHECK(VerifyIssuedBy(member, authority.certificate, kNow).ok());
  CHECK(VerifyIssuedBy(member, authority.certificate, kNow + days(90) - seconds(1)).ok());
  CHECK(VerifyIssuedBy(member, authority.certificate, kNow + days(90)).code() == kRefused);
  CHECK(VerifyIssuedBy(member, authority.certificate, kNow - minutes(6)).code() == kRefused);
  CHECK(VerifyIssuedBy(member, other.certificate, kNow).code() == kRefused);
  CHECK(VerifyIssuedBy(authority.certificate, authority.certificate, kNow).code() == kRefused);
  CHECK(VerifyIssuedBy(member, member, kNow).code() == kRefused);
  CHECK(VerifyIssuedBy("", authority.certificate, kNow).code() == kInvalid);
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("Text that is not the PEM asked for is refused in words that say what it is") {
  const PemIdentity authority = Authority();
  const std::string key(AsText(authority.private_key.Reveal()));
  const auto message = [](std::string_view pem) {
    const auto fingerprint = CertificateFingerprint(pem);
    CHECK(fingerprint.status().code() == kInvalid);
    return std::string(ToStd(fingerprint.status().message()));
  };
  CHECK(message("") == "cannot read a certificate from PEM: the text holds no PEM block");
  CHECK(message("hello") == message(""));
  CHECK(message(key) == "cannot read a certificate from PEM: the text is a private key");
  CHECK(message(Request().pem) ==
        "cannot read a certificate from PEM: the text is a certificate request block, perhaps "
        "damaged");
  CHECK(message(authority.certificate.substr(0, 300)) ==
        "cannot read a certificate from PEM: the text is a certificate block, perhaps damaged");
  CHECK(message(std::string(300000, 'a')) ==
        "cannot read a certificate from PEM: the text has over 256 KiB");
  CHECK(SignCode(authority, authority.certificate) == kInvalid);
  CHECK(SignCode(authority, key) == kInvalid);
  CHECK(ReadSubject("garbage").status().code() == kInvalid);
  CHECK(ERR_peek_error() == 0);  // gRPC reads the same queue
}

TEST_CASE("Randomly changed requests are refused or signed, and never crash") {
  const PemIdentity authority = Authority();
  const std::string request = Request().pem;
  const std::uint64_t seed = std::random_device()();
  INFO("seed " << seed);
  SeededRandom random(seed);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = request;
    for (std::uint64_t change = 0; change <= random.Below(4); ++change) {
      const std::size_t at = random.Below(changed.size());
      switch (random.Below(4)) {
        case 0:
          changed[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          changed[at] = "ABCDwxyz0189+/=\n"[random.Below(16)];
          break;
        case 2:
          changed.erase(at, 1 + random.Below(8));
          break;
        default:
          changed.insert(at, changed.substr(random.Below(changed.size()), 5));
      }
      if (changed.empty()) changed.push_back('-');
    }
    refused += SignCode(authority, changed) != absl::StatusCode::kOk;
  }
  CHECK(refused > 2000);
  CHECK(ERR_peek_error() == 0);
}

}  // namespace
}  // namespace consilium::crypto
