#include <algorithm>
#include <cmath>

#include "datasets/dicom/library.h"
#include "datasets/dicom/reader.h"
#include "datasets/transform.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::datasets::dicom {
namespace {

// Pixels that a byte of the file can stand for at most: what reader and decompressor must check
// before they believe rows and columns.
std::uint64_t MostPixelsAByte(TransferSyntax syntax) {
  switch (syntax) {
    case TransferSyntax::kImplicitLittleEndian:
    case TransferSyntax::kExplicitLittleEndian:
    case TransferSyntax::kExplicitBigEndian:
      return 1;
    case TransferSyntax::kRle:
      return 64;  // PS3.5 annex G
    case TransferSyntax::kDeflated:
      return 1032;  // a deflate stream's best
    case TransferSyntax::kJpegLossless:
    case TransferSyntax::kJpegLosslessSv1:
      return 8;  // a bit a sample
    case TransferSyntax::kJpegBaseline:
    case TransferSyntax::kJpegExtended:
      return 512;  // a bit a block of 8x8
    default:
      return 8 * 65535;  // JPEG-LS: a bit a line
  }
}

void CheckImage(const fs::path& file, const Header& header) {
  const auto stored = ReadStoredPixels(file);
  const auto image = ReadImage(file);
  FUZZ_EXPECT(!image.ok() || stored.ok());
  if (!image.ok()) return;
  FUZZ_EXPECT(image->pixels.size() == std::size_t{header.rows} * header.columns);
  FUZZ_EXPECT(stored->values.size() == image->pixels.size());
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 16;
  const auto input = Preprocess(*image, preprocessing);
  if (!input.ok()) return;
  for (const float value : *input) FUZZ_EXPECT(value >= 0 && value <= 1);
}

}  // namespace
}  // namespace consilium::datasets::dicom

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets::dicom;
  InitialiseLibrary();
  const fs::path file = fuzz::Scratch("image.dcm", fuzz::Input(data, size));
  // A deflated data set may be larger than its file, by what a deflate stream can hold.
  const bool deflated =
      fuzz::Contains(AsText(fuzz::Input(data, size)), Uid(TransferSyntax::kDeflated));
  const std::size_t bytes = deflated ? MostPixelsAByte(TransferSyntax::kDeflated) * size : size;
  const auto header = [&] {
    const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * bytes));
    return ReadHeader(file);
  }();
  if (!header.ok()) return 0;
  const std::uint64_t pixels = std::uint64_t{header->rows} * header->columns;
  const std::uint64_t most = std::min(pixels, size * MostPixelsAByte(header->transfer_syntax));
  // DCMTK's own: a data set with a dictionary entry for each element, Huffman tables, some lines.
  const std::size_t dcmtk = (1 << 20) + 16 * std::size_t{header->columns};
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * bytes) + 4 * most + dcmtk);
  CheckImage(file, *header);
  return 0;
}
