#include <limits>

#include "common/model/external_model.h"
#include "common/model/safetensors.h"
#include "tests/fuzz/fuzz.h"

// The first eight bytes are the file's size as it is claimed, the rest its beginning.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(16 * size));
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint64_t file_size = input.Number64();
  const ByteView beginning = input.Rest();
  const auto offset = SafetensorsDataOffset(beginning, file_size);
  if (offset.ok()) FUZZ_EXPECT(*offset % 8 == 0 && *offset <= file_size);
  // What others wrote is read by the same reader, with fewer wishes.
  const auto external = ReadExternalHeader(beginning, file_size);
  for (std::size_t i = 0; external.ok() && i < external->size(); ++i) {
    const ExternalTensor& tensor = (*external)[i];
    FUZZ_EXPECT(tensor.offset <= file_size && tensor.bytes <= file_size - tensor.offset);
  }
  const auto header = ReadSafetensorsHeader(beginning, file_size);
  FUZZ_EXPECT(!header.ok() || (external.ok() && external->size() == header->layout.size()));
  if (!header.ok()) return 0;
  FUZZ_EXPECT(offset.ok() && header->data_offset == *offset && header->file_size() == file_size);
  FUZZ_EXPECT(CheckLayout(header->layout).ok());
  const std::string written = WriteSafetensorsHeader(header->layout, header->metadata);
  const std::uint64_t elements = TotalElements(header->layout);
  FUZZ_EXPECT(elements < std::numeric_limits<std::uint64_t>::max() / 4);
  const auto again = ReadSafetensorsHeader(AsBytes(written), written.size() + 4 * elements);
  FUZZ_EXPECT(again.ok() && again->layout == header->layout);
  FUZZ_EXPECT(again->metadata == header->metadata);
  FUZZ_EXPECT(WriteSafetensorsHeader(again->layout, again->metadata) == written);
  return 0;
}
