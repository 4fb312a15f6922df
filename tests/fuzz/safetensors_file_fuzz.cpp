#include <cmath>
#include <cstring>

#include "common/model/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(8 * size));
  const auto model = ParseSafetensors(fuzz::Input(data, size));
  if (!model.ok()) {
    FUZZ_EXPECT(absl::IsInvalidArgument(model.status()));
    return 0;
  }
  FUZZ_EXPECT(model->values().size() == TotalElements(model->layout()));
  for (const float value : model->values()) FUZZ_EXPECT(std::isfinite(value));
  // The canonical file of the same model holds the same values.
  const std::string header = WriteSafetensorsHeader(model->layout());
  Bytes file(header.begin(), header.end());
  const auto* values = reinterpret_cast<const std::uint8_t*>(model->values().data());
  file.insert(file.end(), values, values + model->values().size_bytes());
  const auto again = ParseSafetensors(file);
  FUZZ_EXPECT(again.ok() && again->layout() == model->layout());
  FUZZ_EXPECT(model->values().empty() ||
              std::memcmp(again->values().data(), values, model->values().size_bytes()) == 0);
  return 0;
}
