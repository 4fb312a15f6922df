#include "datasets/dicom/rle.h"

#include "tests/fuzz/fuzz.h"

// Bytes a sample and samples a pixel (1 byte), pixels (3 bytes), then the frame.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint32_t first = input.Number32();
  const std::size_t sample_bytes = 1 + first % 2;
  const std::size_t samples = (first & 4) != 0 ? 3 : 1;
  const ByteView frame = input.Rest();
  // The caller has checked that so many bytes can hold the pixels.
  const std::size_t pixels = (first >> 8) % (64 * frame.size() / sample_bytes / samples + 1);
  const fuzz::AllocationLimit limit(64 * frame.size() + (64 << 10));
  const auto decoded = datasets::dicom::DecodeRle(frame, pixels, sample_bytes, samples);
  if (decoded) FUZZ_EXPECT(decoded->size() == pixels * sample_bytes * samples);
  return 0;
}
