#include "datasets/dicom/decompress.h"

#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include "common/base/status.h"
#include "datasets/dicom/library.h"
#include "datasets/dicom/rle.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcpxitem.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::dicom {
namespace {

// PS3.5 annex G: at best two bytes of an RLE stream make 128.
constexpr std::uint64_t kMostRleExpansion = 64;

// Pixels that a byte of the stream can stand for at best, so that a few hundred bytes cannot ask
// for a quarter of a gigabyte.
std::uint64_t MostPixelsAByte(const Header& header) {
  switch (header.transfer_syntax) {
    case TransferSyntax::kJpegBaseline:
    case TransferSyntax::kJpegExtended:
      return 8 * 64;  // ITU-T T.81: a bit for each block of 8x8
    case TransferSyntax::kJpegLossless:
    case TransferSyntax::kJpegLosslessSv1:
      return 8;  // T.81 annex H: a bit for each sample
    default:
      return std::uint64_t{8} * header.columns;  // T.87 A.7: a bit for each line that is one run
  }
}

E_TransferSyntax ForDcmtk(TransferSyntax syntax) {
  switch (syntax) {
    case TransferSyntax::kJpegBaseline:
      return EXS_JPEGProcess1;
    case TransferSyntax::kJpegExtended:
      return EXS_JPEGProcess2_4;
    case TransferSyntax::kJpegLossless:
      return EXS_JPEGProcess14;
    case TransferSyntax::kJpegLosslessSv1:
      return EXS_JPEGProcess14SV1;
    case TransferSyntax::kJpegLsLossless:
      return EXS_JPEGLSLossless;
    case TransferSyntax::kJpegLsNearLossless:
      return EXS_JPEGLSLossy;
    default:
      return EXS_Unknown;
  }
}

struct FrameHeader {
  std::uint32_t rows = 0, columns = 0;
  int components = 0;
};

// The first start-of-frame segment of a JPEG or JPEG-LS stream (ITU-T T.81 B.2.2, T.87 C.2.2).
std::optional<FrameHeader> FindFrameHeader(ByteView stream) {
  if (stream.size() < 4 || stream[0] != 0xff || stream[1] != 0xd8) return std::nullopt;
  std::size_t at = 2;
  while (at + 4 <= stream.size() && stream[at] == 0xff) {
    const std::uint8_t marker = stream[at + 1];
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    const std::size_t length = stream[at + 2] << 8 | stream[at + 3];
    const bool frame =
        (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) ||
        marker == 0xf7;
    if (frame) {
      if (at + 10 > stream.size()) return std::nullopt;
      const std::uint8_t* p = stream.data() + at;
      return FrameHeader{static_cast<std::uint32_t>(p[5] << 8 | p[6]),
                         static_cast<std::uint32_t>(p[7] << 8 | p[8]), p[9]};
    }
    if (marker == 0xda || length < 2) return std::nullopt;
    at += 2 + length;
  }
  return std::nullopt;
}

std::optional<Refused> CheckClaims(const Header& header, ByteView compressed) {
  const std::uint64_t bytes =
      std::uint64_t{header.rows} * header.columns * (header.bits_allocated / 8);
  if (header.transfer_syntax == TransferSyntax::kRle) {
    if (bytes > compressed.size() * kMostRleExpansion) {
      return Refused{Refusal::kDamaged, "fewer RLE bytes than the image size needs"};
    }
    return std::nullopt;
  }
  const auto frame = FindFrameHeader(compressed);
  if (!frame) return Refused{Refusal::kUndecodable, "no JPEG frame header"};
  if (frame->components != 1) return Refused{Refusal::kColourImage, "a JPEG stream in colour"};
  if (frame->rows != header.rows || frame->columns != header.columns) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG stream is ", frame->columns, "x", frame->rows,
                          " and the header says ", header.columns, "x", header.rows)};
  }
  if (std::uint64_t{header.rows} * header.columns > compressed.size() * MostPixelsAByte(header)) {
    return Refused{Refusal::kDamaged, "fewer JPEG bytes than the image size needs"};
  }
  return std::nullopt;
}

// A data set of only what a decoder needs.
bool Describe(const Header& header, Bytes compressed, DcmDataset& data_set) {
  const auto put = [&](const DcmTagKey& tag, int value) {
    return data_set.putAndInsertUint16(tag, static_cast<Uint16>(value)).good();
  };
  const bool described =
      put(DCM_SamplesPerPixel, 1) && put(DCM_Rows, static_cast<int>(header.rows)) &&
      put(DCM_Columns, static_cast<int>(header.columns)) &&
      put(DCM_BitsAllocated, header.bits_allocated) && put(DCM_BitsStored, header.bits_stored) &&
      put(DCM_HighBit, header.high_bit) && put(DCM_PixelRepresentation, header.is_signed ? 1 : 0) &&
      data_set.putAndInsertString(DCM_PhotometricInterpretation, "MONOCHROME2").good() &&
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
  pixels->putOriginalRepresentation(ForDcmtk(header.transfer_syntax), nullptr, sequence.release());
  if (data_set.insert(pixels.get()).bad()) return false;
  pixels.release();
  return true;
}

OrRefused<Bytes> DecompressWithDcmtk(const Header& header, Bytes compressed) {
  DcmDataset data_set;
  if (!Describe(header, std::move(compressed), data_set)) {
    return Refused{Refusal::kUndecodable, ""};
  }
  const OFCondition decoded = data_set.chooseRepresentation(EXS_LittleEndianExplicit, nullptr);
  if (decoded.bad()) return Refused{Refusal::kUndecodable, decoded.text()};
  DcmElement* pixels = nullptr;
  if (data_set.findAndGetElement(DCM_PixelData, pixels).bad()) {
    return Refused{Refusal::kUndecodable, ""};
  }
  Uint16 allocated = 0;
  data_set.findAndGetUint16(DCM_BitsAllocated, allocated);
  const std::size_t bytes = std::size_t{header.rows} * header.columns *
                            static_cast<std::size_t>(header.bits_allocated / 8);
  if (allocated != header.bits_allocated || pixels->getLength() < bytes) {
    return Refused{Refusal::kUndecodable,
                   "the stream decodes to another size than the header says"};
  }
  Uint8* samples = nullptr;
  Uint16* words = nullptr;
  if (header.bits_allocated == 16 && pixels->getUint16Array(words).good() && words != nullptr) {
    samples = reinterpret_cast<Uint8*>(words);
  } else if (pixels->getUint8Array(samples).bad() || samples == nullptr) {
    return Refused{Refusal::kUndecodable, ""};
  }
  return Bytes(samples, samples + bytes);
}

}  // namespace

OrRefused<Bytes> Decompress(const Header& header, Bytes compressed) {
  if (auto refused = CheckClaims(header, compressed)) return *std::move(refused);
  if (header.transfer_syntax == TransferSyntax::kRle) {
    auto samples = DecodeRle(compressed, std::size_t{header.rows} * header.columns,
                             static_cast<std::size_t>(header.bits_allocated / 8));
    if (samples) return *std::move(samples);
    return Refused{Refusal::kUndecodable, "the RLE segments are not sound"};
  }
  InitialiseLibrary();
  try {
    return DecompressWithDcmtk(header, std::move(compressed));
  } catch (const std::bad_alloc&) {
    return Refused{Refusal::kTooLarge, "not enough memory to decode it"};
  } catch (...) {
    return Refused{Refusal::kUndecodable, ""};
  }
}

}  // namespace consilium::datasets::dicom
