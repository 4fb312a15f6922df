#include "common/wire/consilium.pb.h"
#include "site_agent/log_follower.h"
#include "tests/fuzz/proto_round_trip.h"

namespace consilium {
namespace {

// The chain is followed to its last entry, or not at all; whoever signed its end takes it again.
void CheckFollowed(const wire::LogExtension& extension) {
  const auto head = site_agent::Follow(std::nullopt, extension);
  if (!head.ok()) return;
  FUZZ_EXPECT(head->number == extension.entries.back().number);
  FUZZ_EXPECT(site_agent::Follow(*head, extension).ok());
  site_agent::LogHead other = *head;
  other.head.bytes[0] ^= 1;
  FUZZ_EXPECT(!site_agent::Follow(other, extension).ok());
}

}  // namespace
}  // namespace consilium

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  const auto message = fuzz::RoundTripped<v1::ToSite>(fuzz::Input(data, size));
  if (!message) return 0;
  if (const auto* extension = std::get_if<wire::LogExtension>(&*message)) {
    CheckFollowed(*extension);
  }
  return 0;
}
