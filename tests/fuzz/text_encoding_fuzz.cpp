#include "absl/strings/ascii.h"
#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  const std::string text(AsText(fuzz::Input(data, size)));
  if (const auto bytes = FromHex(text); bytes.ok()) {
    FUZZ_EXPECT(ToHex(*bytes) == absl::AsciiStrToLower(text));
  }
  if (const auto bytes = FromBase64Url(text); bytes.ok()) FUZZ_EXPECT(ToBase64Url(*bytes) == text);
  if (const auto digest = Digest::FromHex(text); digest.ok()) {
    FUZZ_EXPECT(digest->Hex() == absl::AsciiStrToLower(text));
  }
  if (CheckName("a name", text).ok()) {
    FUZZ_EXPECT(size >= 1 && size <= 63 && text.find_first_of("/.\\ \n") == std::string::npos);
  }
  FUZZ_EXPECT(FromBase64Url(ToBase64Url(fuzz::Input(data, size))).ok());
  return 0;
}
