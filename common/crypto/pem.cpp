#include "common/crypto/pem.h"

#include <openssl/pem.h>

#include "common/base/status.h"

namespace consilium::crypto {

namespace {

constexpr std::size_t kMaxPemBytes = 256 * 1024;

// Without it OpenSSL asks the terminal for the passphrase of an encrypted block.
int NoPassphrase(char*, int, int, void*) { return -1; }

std::string DescribePem(std::string_view text) {
  if (text.size() > kMaxPemBytes) return "the text has over 256 KiB";
  constexpr std::string_view kBegin = "-----BEGIN ";
  const std::size_t begin = text.find(kBegin);
  if (begin == std::string_view::npos) return "the text holds no PEM block";
  std::string_view label = text.substr(begin + kBegin.size());
  label = label.substr(0, label.find("-----"));
  if (label.find("PRIVATE KEY") != std::string_view::npos) return "the text is a private key";
  if (label == "CERTIFICATE") return "the text is a certificate block, perhaps damaged";
  if (label.ends_with("CERTIFICATE REQUEST")) {
    return "the text is a certificate request block, perhaps damaged";
  }
  return "the text is PEM of another kind";
}

absl::Status NotPem(std::string_view wanted, std::string_view text) {
  ERR_clear_error();
  return absl::InvalidArgumentError(
      StrCat("cannot read ", wanted, " from PEM: ", DescribePem(text)));
}

template <auto kRead>
auto ParsePem(std::string_view text) -> decltype(kRead(nullptr, nullptr, nullptr, nullptr)) {
  if (text.empty() || text.size() > kMaxPemBytes) return nullptr;
  const OwnedBio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  return bio != nullptr ? kRead(bio.get(), nullptr, NoPassphrase, nullptr) : nullptr;
}

// What `write` puts into a memory BIO, whose buffer OpenSSL cleanses when it goes.
template <class Text, class Write>
absl::StatusOr<Text> WritePem(std::string_view what, Write write, Text (*copy)(ByteView)) {
  const OwnedBio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) return OpenSslError(StrCat("write ", what));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  if (size <= 0 || data == nullptr) return OpenSslError(StrCat("write ", what));
  return copy(AsBytes({data, static_cast<std::size_t>(size)}));
}

std::string CopyText(ByteView bytes) { return std::string(AsText(bytes)); }

}  // namespace

absl::StatusOr<OwnedCertificate> ParseCertificate(std::string_view pem) {
  OwnedCertificate certificate(ParsePem<PEM_read_bio_X509>(pem));
  if (certificate == nullptr) return NotPem("a certificate", pem);
  ERR_clear_error();
  return certificate;
}

absl::StatusOr<OwnedRequest> ParseRequest(std::string_view pem) {
  OwnedRequest request(ParsePem<PEM_read_bio_X509_REQ>(pem));
  if (request == nullptr) return NotPem("a certificate request", pem);
  ERR_clear_error();
  return request;
}

absl::StatusOr<OwnedPkey> ParsePrivateKey(const Secret& pem) {
  const std::string_view text = AsText(pem.Reveal());
  OwnedPkey key(ParsePem<PEM_read_bio_PrivateKey>(text));
  if (key == nullptr) return NotPem("a private key without passphrase", text);
  ERR_clear_error();
  return key;
}

absl::StatusOr<std::string> ToPem(const X509* certificate) {
  return WritePem<std::string>(
      "a certificate", [&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); }, CopyText);
}

absl::StatusOr<std::string> ToPem(const X509_REQ* request) {
  return WritePem<std::string>(
      "a certificate request", [&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request); },
      CopyText);
}

absl::StatusOr<Secret> PrivateKeyToPem(const EVP_PKEY* key) {
  return WritePem<Secret>(
      "a private key",
      [&](BIO* bio) {
        return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
      },
      Secret::CopyOf);
}

}  // namespace consilium::crypto
