#include <algorithm>
#include <cmath>

#include "datasets/dicom/image_file.h"
#include "datasets/dicom/library.h"
#include "datasets/dicom/reader.h"
#include "datasets/transform.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::uint32_t kMostFrames = 8;

// Samples that a byte of the file can stand for at most: what reader and decompressor must check
// before they believe rows and columns.
std::uint64_t MostSamplesAByte(const Header& header) {
  switch (header.transfer_syntax) {
    case TransferSyntax::kImplicitLittleEndian:
    case TransferSyntax::kExplicitLittleEndian:
    case TransferSyntax::kExplicitBigEndian:
    case TransferSyntax::kEncapsulatedUncompressed:
      return 12;  // bits, and two chrominance samples for a luminance that the file holds
    case TransferSyntax::kRle:
      return 64;  // PS3.5 annex G
    case TransferSyntax::kDeflated:
    case TransferSyntax::kDeflatedFrames:
      return 12 * 1032;  // a deflate stream's best
    default:
      return kMaxFrameSamples;  // JPEG: a bit for many blocks, a line, or an empty code-block
  }
}

void CheckTraining(const fs::path& file) {
  const auto stored = ReadStoredPixels(file);
  const auto image = ReadImage(file);
  FUZZ_EXPECT(!image.ok() || stored.ok());
  if (!image.ok()) return;
  FUZZ_EXPECT(image->pixels.size() == std::size_t{image->rows} * image->columns);
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 16;
  const auto input = Preprocess(*image, preprocessing);
  if (!input.ok()) return;
  for (const float value : *input) FUZZ_EXPECT(value >= 0 && value <= 1);
}

void CheckFrames(ImageFile& file) {
  for (std::uint32_t i = 0; i < std::min(file.frame_count(), kMostFrames); ++i) {
    const auto stored = file.ReadStored(i);
    if (stored.ok()) FUZZ_EXPECT(stored->bytes.size() == stored->size() * SizeOf(stored->type));
    const auto image = file.ReadModality(i);
    FUZZ_EXPECT(!image.ok() || stored.ok());
    if (image.ok()) {
      for (const float value : image->pixels) FUZZ_EXPECT(std::isfinite(value));
      FUZZ_EXPECT(image->padding.empty() || image->padding.size() == image->pixels.size());
    }
    const auto rgb = file.ReadRgb(i);
    if (rgb.ok()) FUZZ_EXPECT(rgb->values.size() == std::size_t{rgb->rows} * rgb->columns * 3);
    const auto overlays = file.ReadOverlays(i);
    if (!overlays.ok()) continue;
    for (const Overlay& overlay : *overlays) {
      FUZZ_EXPECT(overlay.mask.size() == std::size_t{overlay.rows} * overlay.columns);
    }
  }
}

// Every sequence, to the depth that the reader allows.
void Walk(const DataSet& data_set, int depth) {
  for (const Element& element : data_set.elements()) {
    (void)data_set.Numbers(element.tag);
    if (element.vr != Vr{'S', 'Q'} || depth > 3) continue;
    const auto items = data_set.Sequence(element.tag);
    if (!items.ok()) continue;
    for (const DataSet& item : *items) Walk(item, depth + 1);
  }
}

}  // namespace
}  // namespace consilium::datasets::dicom

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets::dicom;
  InitialiseLibrary();
  const fs::path path = fuzz::Scratch("image.dcm", fuzz::Input(data, size));
  // A deflated data set may be larger than its file, by what a deflate stream can hold.
  const bool deflated =
      fuzz::Contains(AsText(fuzz::Input(data, size)), Uid(TransferSyntax::kDeflated));
  const std::size_t bytes = deflated ? 1032 * size : size;
  {
    const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * bytes));
    const auto data_set = DataSet::Open(path);
    if (!data_set.ok()) return 0;
    Walk(*data_set, 0);
  }
  auto file = [&] {
    const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * bytes));
    return ImageFile::Open(path);
  }();
  if (!file.ok()) return 0;
  const Header& header = file->header();
  const std::uint64_t samples =
      std::uint64_t{header.rows} * header.columns * static_cast<std::uint64_t>(header.samples);
  FUZZ_EXPECT(samples <= kMaxFrameSamples);
  const std::uint64_t most = std::min(samples, size * MostSamplesAByte(header));
  // DCMTK's own: a data set with a dictionary entry for each element, Huffman tables, some lines.
  const std::size_t dcmtk = (1 << 20) + 16 * std::size_t{header.columns};
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(2 * bytes) + 8 * most + dcmtk);
  CheckFrames(*file);
  CheckTraining(path);
  return 0;
}
