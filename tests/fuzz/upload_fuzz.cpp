#include "common/wire/consilium.pb.h"
#include "tests/fuzz/proto_round_trip.h"

// The first message of an Upload call.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedByMessage(size));
  v1::UploadChunk chunk;
  if (!fuzz::Parse(fuzz::Input(data, size), &chunk) || !chunk.has_header()) return 0;
  const std::string bytes = chunk.header().SerializeAsString();
  const auto header = fuzz::RoundTripped<v1::UploadHeader>(AsBytes(bytes));
  if (!header) return 0;
  // Two headers that differ in what is bound never have the same context.
  wire::UploadHeader other = *header;
  other.weight += 1;
  const SiteId site("north");
  FUZZ_EXPECT(other.weight == header->weight ||
              wire::EnvelopeContext(site, other) != wire::EnvelopeContext(site, *header));
  FUZZ_EXPECT(wire::EnvelopeContext(SiteId("south"), *header) !=
              wire::EnvelopeContext(site, *header));
  return 0;
}
