#include "common/identity/token.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  const std::string_view text = AsText(fuzz::Input(data, size));
  const auto token = identity::Token::Parse(text);
  if (token.ok()) {
    FUZZ_EXPECT(token->ToString() == text);
    return 0;
  }
  const bool repeated =
      text.size() >= 12 && fuzz::Contains(ToStd(token.status().message()), text.substr(0, 12));
  FUZZ_EXPECT(absl::IsInvalidArgument(token.status()) && !repeated);
  return 0;
}
