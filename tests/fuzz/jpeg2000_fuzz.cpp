#include "datasets/dicom/codestream.h"
#include "datasets/dicom/jpeg2000.h"
#include "tests/fuzz/fuzz.h"

// A codestream, or a JP2 file around one, decoded as an image of what it says of itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets;
  const ByteView frame = fuzz::Input(data, size);
  const auto stream = [&] {
    const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
    return dicom::CheckCodestream(frame);
  }();
  if (!stream.ok()) return 0;
  const std::uint64_t samples = std::uint64_t{stream->rows} * stream->columns *
                                static_cast<std::uint64_t>(stream->components);
  if (samples > 1 << 22) return 0;  // slow, and no other code
  dicom::Header header;
  header.transfer_syntax = dicom::TransferSyntax::kJpeg2000;
  header.rows = stream->rows;
  header.columns = stream->columns;
  header.samples = stream->components;
  header.bits_allocated = stream->precision <= 8 ? 8 : stream->precision <= 16 ? 16 : 32;
  header.bits_stored = stream->precision;
  header.is_signed = stream->is_signed;
  // OpenJPEG keeps 32 bits a sample, and tables of its tiles and code-blocks.
  const fuzz::AllocationLimit limit((8 << 20) + 16 * samples + 64 * size);
  const auto decoded = dicom::DecodeJpeg2000(header, frame);
  if (decoded.ok()) {
    FUZZ_EXPECT(decoded->size() == samples * static_cast<std::uint64_t>(header.bits_allocated) / 8);
  }
  return 0;
}
