#include "datasets/dicom/dcmtk_jpeg.h"

#include <cstring>
#include <memory>

#include "common/base/status.h"
#include "datasets/dicom/library.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcpxitem.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::dicom {
namespace {

// By what the stream is: the transfer syntax that names it may be a sister's.
E_TransferSyntax SyntaxFor(std::uint8_t marker, TransferSyntax named) {
  switch (marker) {
    case 0xc0:
      return EXS_JPEGProcess1;
    case 0xc1:
      return EXS_JPEGProcess2_4;
    case 0xc2:
      return named == TransferSyntax::kJpegSpectralSelection ? EXS_JPEGProcess6_8
                                                             : EXS_JPEGProcess10_12;
    case 0xf7:
      return named == TransferSyntax::kJpegLsNearLossless ? EXS_JPEGLSLossy : EXS_JPEGLSLossless;
    default:
      return EXS_Unknown;
  }
}

// A data set of only what a decoder needs. Of samples it shall make as wide as the stream's.
bool Describe(const Header& header, const JpegFrameHeader& stream, E_TransferSyntax syntax,
              Bytes compressed, DcmDataset& data_set) {
  const auto put = [&](const DcmTagKey& tag, int value) {
    return data_set.putAndInsertUint16(tag, static_cast<Uint16>(value)).good();
  };
  const bool grey = stream.components == 1;
  const bool described =
      put(DCM_SamplesPerPixel, stream.components) && put(DCM_Rows, static_cast<int>(header.rows)) &&
      put(DCM_Columns, static_cast<int>(header.columns)) &&
      put(DCM_BitsAllocated, stream.precision <= 8 ? 8 : 16) &&
      put(DCM_BitsStored, stream.precision) && put(DCM_HighBit, stream.precision - 1) &&
      put(DCM_PixelRepresentation, 0) && (grey || put(DCM_PlanarConfiguration, 0)) &&
      data_set.putAndInsertString(DCM_PhotometricInterpretation, grey ? "MONOCHROME2" : "RGB")
          .good() &&
      data_set.putAndInsertString(DCM_SOPClassUID, UID_SecondaryCaptureImageStorage).good();
  if (!described) return false;
  if (compressed.size() % 2 != 0) compressed.push_back(0);
  auto sequence = std::make_unique<DcmPixelSequence>(DcmTag(DCM_PixelData, EVR_OB));
  auto table = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
  auto item = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
  if (item->putUint8Array(compressed.data(), compressed.size()).bad()) return false;
  if (sequence->insert(table.get()).bad()) return false;
  table.release();
  if (sequence->insert(item.get()).bad()) return false;
  item.release();
  auto pixels = std::make_unique<DcmPixelData>(DCM_PixelData);
  pixels->putOriginalRepresentation(syntax, nullptr, sequence.release());
  if (data_set.insert(pixels.get()).bad()) return false;
  pixels.release();
  return true;
}

// Samples of `from` bytes into samples of `to` bytes, little endian both.
Bytes Widened(ByteView samples, std::size_t from, std::size_t to) {
  Bytes out(samples.size() / from * to, 0);
  for (std::size_t i = 0, n = samples.size() / from; i < n; ++i) {
    std::memcpy(out.data() + i * to, samples.data() + i * from, from);
  }
  return out;
}

}  // namespace

OrRefused<Bytes> DecodeWithDcmtk(const Header& header, const JpegFrameHeader& stream,
                                 Bytes compressed) {
  InitialiseLibrary();
  const E_TransferSyntax syntax = SyntaxFor(stream.marker, header.transfer_syntax);
  if (syntax == EXS_Unknown) return Refused{Refusal::kUndecodable, "a JPEG process not known here"};
  DcmDataset data_set;
  if (!Describe(header, stream, syntax, std::move(compressed), data_set)) {
    return Refused{Refusal::kUndecodable, ""};
  }
  const OFCondition decoded = data_set.chooseRepresentation(EXS_LittleEndianExplicit, nullptr);
  if (decoded.bad()) return Refused{Refusal::kUndecodable, decoded.text()};
  DcmElement* pixels = nullptr;
  Uint16 allocated = 0, planar = 0;
  data_set.findAndGetUint16(DCM_BitsAllocated, allocated);
  data_set.findAndGetUint16(DCM_PlanarConfiguration, planar);
  const std::size_t from = allocated == 8 ? 1 : 2;
  const std::size_t bytes = std::size_t{header.rows} * header.columns *
                            static_cast<std::size_t>(stream.components) * from;
  const bool found = data_set.findAndGetElement(DCM_PixelData, pixels).good();
  if (!found || (allocated != 8 && allocated != 16) || planar != 0 || pixels->getLength() < bytes) {
    return Refused{Refusal::kUndecodable,
                   "the stream decodes to another size than the header says"};
  }
  Uint8* samples = nullptr;
  Uint16* words = nullptr;
  if (allocated == 16 && pixels->getUint16Array(words).good() && words != nullptr) {
    samples = reinterpret_cast<Uint8*>(words);
  } else if (pixels->getUint8Array(samples).bad() || samples == nullptr) {
    return Refused{Refusal::kUndecodable, ""};
  }
  const auto to = static_cast<std::size_t>(header.bits_allocated / 8);
  if (to < from) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG stream has ", stream.precision,
                          " bits a sample and the header says ", header.bits_allocated)};
  }
  if (to == from) return Bytes(samples, samples + bytes);
  return Widened({samples, bytes}, from, to);
}

}  // namespace consilium::datasets::dicom
