#include "datasets/labels.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

// The first row's patient, whom no message may name.
constexpr std::string_view kPatient = "PATIENT-8841-Q";

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const std::string_view input = AsText(fuzz::Input(data, size));
  const std::string with_patient = StrCat("patient_id,opacity\n", kPatient, ",", input);
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * with_patient.size()));
  if (const auto labels = datasets::ParseLabels(with_patient); !labels.ok()) {
    FUZZ_EXPECT(!fuzz::Contains(ToStd(labels.status().message()), kPatient));
  }
  const auto labels = datasets::ParseLabels(input);
  if (!labels.ok()) {
    const std::string_view message = ToStd(labels.status().message());
    FUZZ_EXPECT(std::ranges::count(message, '\n') <= 10);
    return 0;
  }
  FUZZ_EXPECT(!labels->targets.empty());
  for (const auto& [key, values] : labels->values) {
    FUZZ_EXPECT(!key.empty());
    for (const auto& [target, value] : values) {
      FUZZ_EXPECT(!value.empty() && value.size() <= datasets::kLongestLabel);
      FUZZ_EXPECT(std::ranges::count(labels->targets, target) == 1);
    }
  }
  return 0;
}
