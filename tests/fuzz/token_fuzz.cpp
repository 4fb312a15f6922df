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
  // Words with a space between them may be a piece of the message itself.
  const std::string_view beginning = text.substr(0, 12);
  const bool repeated = beginning.size() == 12 && beginning.find(' ') == std::string_view::npos &&
                        fuzz::Contains(ToStd(token.status().message()), beginning);
  FUZZ_EXPECT(absl::IsInvalidArgument(token.status()) && !repeated);
  return 0;
}
