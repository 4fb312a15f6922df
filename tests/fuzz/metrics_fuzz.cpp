#include "common/metrics/evaluation_sums.h"
#include "common/metrics/json.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::metrics {
namespace {

void CheckJson(std::string_view text) {
  const auto sums = SumsFromJson(text);
  if (!sums.ok()) return;
  const auto again = SumsFromJson(ToJson(*sums));
  FUZZ_EXPECT(again.ok() && *again == *sums);
  FUZZ_EXPECT(!SiteJson(*sums, 0.9).empty());
}

// The input's numbers over the first of a valid vector.
void CheckRing(ByteView bytes) {
  static const std::vector<std::uint64_t> empty = ToRing({});
  std::vector<std::uint64_t> ring = empty;
  fuzz::Cursor input(bytes);
  while (!input.AtEnd()) {
    const std::size_t at = input.Byte() | input.Byte() << 8;
    ring[at % ring.size()] = input.Number64();
  }
  const auto sums = FromRing(ring, 3);
  if (!sums.ok()) return;
  const auto again = FromRing(ToRing(*sums), 3);
  FUZZ_EXPECT(again.ok() && *again == *sums);
}

}  // namespace
}  // namespace consilium::metrics

// '{': sums as JSON; else changes of a secure evaluation's numbers: index (2 bytes), value (8).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const std::size_t ring_bytes = 8 * metrics::kEvaluationSums;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size) + 16 * ring_bytes);
  const ByteView input = fuzz::Input(data, size);
  if (size > 0 && data[0] == '{') {
    metrics::CheckJson(AsText(input));
  } else {
    metrics::CheckRing(input);
  }
  return 0;
}
