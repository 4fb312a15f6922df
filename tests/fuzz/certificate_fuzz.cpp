#include "common/crypto/certificates.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::crypto {
namespace {

const Time kNow{FromSeconds(1'800'000'000)};

void CheckIssued(const PemIdentity& authority, std::string_view request) {
  const auto certificate = SignRequest(authority, request, "north", "site", kNow, 30);
  if (!certificate.ok()) return;
  FUZZ_EXPECT(VerifyIssuedBy(*certificate, authority.certificate, kNow).ok());
  const auto subject = ReadSubject(*certificate);
  FUZZ_EXPECT(subject.ok() && subject->name == "north" && subject->role == "site");
  FUZZ_EXPECT(*RequestKeyFingerprint(request) == *KeyFingerprint(*certificate));
}

}  // namespace
}  // namespace consilium::crypto

// PEM text as a peer sends it: a certificate, a request, or neither.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::crypto;
  static const auto authority = *MakeAuthority("lung-network", kNow, 3650);
  static const auto other = *MakeAuthority("another", kNow, 3650);
  const std::string_view pem = AsText(fuzz::Input(data, size));
  // OpenSSL's tables for a first use of a curve.
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size) + (256 << 10));
  const auto fingerprint = CertificateFingerprint(pem);
  FUZZ_EXPECT(fingerprint.ok() || absl::IsInvalidArgument(fingerprint.status()));
  if (KeyFingerprint(pem).ok()) FUZZ_EXPECT(fingerprint.ok());
  const auto subject = ReadSubject(pem);
  if (subject.ok()) FUZZ_EXPECT(fingerprint.ok());
  FUZZ_EXPECT(!VerifyIssuedBy(pem, other.certificate, kNow).ok());
  CheckIssued(authority, pem);
  return 0;
}
