#include "common/wire/consilium.pb.h"
#include "coordinator/researcher/run_tree.h"
#include "tests/fuzz/proto_round_trip.h"

// Events one after another, each behind its length (2 bytes), as a researcher watches them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  fuzz::Cursor input(fuzz::Input(data, size));
  researcher::RunTree tree;
  while (!input.AtEnd()) {
    const std::size_t length = input.Byte() | input.Byte() << 8;
    const auto event = fuzz::RoundTripped<v1::RunEvent>(input.Take(length));
    if (!event) continue;
    const std::string lines = tree.On(*event);
    FUZZ_EXPECT(lines.empty() || lines.back() == '\n');
    FUZZ_EXPECT(tree.StatusLine().find('\n') == std::string::npos);
  }
  return 0;
}
