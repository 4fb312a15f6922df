#include "site_agent/given_answers.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  const auto given = site_agent::ReadGivenAnswers(fuzz::Input(data, size));
  if (!given.ok()) {
    FUZZ_EXPECT(absl::IsDataLoss(given.status()));
    return 0;
  }
  const crypto::Secret written = site_agent::WriteGivenAnswers(*given);
  const auto again = site_agent::ReadGivenAnswers(written.Reveal());
  FUZZ_EXPECT(again.ok() && *again == *given);
  return 0;
}
