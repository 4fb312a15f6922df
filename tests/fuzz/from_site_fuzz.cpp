#include "common/wire/consilium.pb.h"
#include "tests/fuzz/proto_round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  fuzz::RoundTripped<v1::FromSite>(fuzz::Input(data, size));
  return 0;
}
