#include "datasets/dicom/decompress.h"

#include <new>
#include <optional>

#include "common/base/text.h"
#include "datasets/dicom/dcmtk_jpeg.h"
#include "datasets/dicom/jpeg2000.h"
#include "datasets/dicom/jpeg_stream.h"
#include "datasets/dicom/rle.h"
#include "datasets/dicom/structure_scan.h"

namespace consilium::datasets::dicom {
namespace {

// PS3.5 annex G: at best two bytes of an RLE stream make 128.
constexpr std::uint64_t kMostRleExpansion = 64;

// Pixels that a byte of the stream can stand for at best, so that a few hundred bytes cannot ask
// for a quarter of a gigabyte.
std::uint64_t MostPixelsAByte(const JpegFrameHeader& stream, std::uint32_t columns) {
  switch (stream.marker) {
    case 0xc3:
      return 8;  // T.81 annex H: a bit for each sample
    case 0xf7:
      return std::uint64_t{8} * columns;  // T.87 A.7: a bit for each line that is one run
    case 0xc2:
      return 8 * 64 * 64;  // T.81 G.1.2.2: runs of blocks that end at once
    default:
      return 8 * 64;  // T.81: a bit for each block of 8x8
  }
}

std::optional<Refused> CheckClaims(const Header& header, const JpegFrameHeader& stream,
                                   std::size_t bytes) {
  if (stream.components != header.samples) {
    return Refused{Refusal::kDamaged, StrCat("the JPEG stream has ", stream.components,
                                             " components and the header says ", header.samples)};
  }
  if (stream.rows != header.rows || stream.columns != header.columns) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG stream is ", stream.columns, "x", stream.rows,
                          " and the header says ", header.columns, "x", header.rows)};
  }
  if (stream.precision > header.bits_allocated || stream.precision < 2) {
    return Refused{Refusal::kDamaged,
                   StrCat("the JPEG stream has ", stream.precision,
                          " bits a sample and the header says ", header.bits_allocated)};
  }
  if (std::uint64_t{header.rows} * header.columns >
      bytes * MostPixelsAByte(stream, header.columns)) {
    return Refused{Refusal::kDamaged, "fewer JPEG bytes than the image size needs"};
  }
  return std::nullopt;
}

OrRefused<Bytes> DecompressRle(const Header& header, ByteView compressed) {
  if (FrameBytes(header) > compressed.size() * kMostRleExpansion) {
    return Refused{Refusal::kDamaged, "fewer RLE bytes than the image size needs"};
  }
  auto samples = DecodeRle(compressed, std::size_t{header.rows} * header.columns,
                           static_cast<std::size_t>(header.bits_allocated / 8),
                           static_cast<std::size_t>(header.samples));
  if (samples) return *std::move(samples);
  return Refused{Refusal::kUndecodable, "the RLE segments are not sound"};
}

OrRefused<Bytes> DecompressJpeg(const Header& header, Bytes compressed) {
  const auto stream = FindJpegFrameHeader(compressed);
  if (!stream) return Refused{Refusal::kUndecodable, "no JPEG frame header"};
  if (auto refused = CheckClaims(header, *stream, compressed.size())) return *std::move(refused);
  if (stream->marker != 0xc3) return DecodeWithDcmtk(header, *stream, std::move(compressed));
  auto samples = DecodeLosslessJpeg(compressed, *stream, header.bits_allocated / 8);
  if (samples) return *std::move(samples);
  return Refused{Refusal::kUndecodable, "the lossless JPEG stream is not sound or ends early"};
}

OrRefused<Bytes> Exactly(const Header& header, Bytes samples) {
  const std::uint64_t bytes = FrameBytes(header);
  if (samples.size() == bytes || samples.size() == bytes + bytes % 2) {
    samples.resize(bytes);
    return samples;
  }
  return Refused{Refusal::kDamaged,
                 StrCat("the frame has ", samples.size(), " bytes where its pixels need ", bytes)};
}

OrRefused<Bytes> DecompressAny(const Header& header, Bytes compressed) {
  switch (header.transfer_syntax) {
    case TransferSyntax::kRle:
      return DecompressRle(header, compressed);
    case TransferSyntax::kJpeg2000Lossless:
    case TransferSyntax::kJpeg2000:
    case TransferSyntax::kJpeg2000Part2Lossless:
    case TransferSyntax::kJpeg2000Part2:
    case TransferSyntax::kHtj2kLossless:
    case TransferSyntax::kHtj2kLosslessRpcl:
    case TransferSyntax::kHtj2k:
      return DecodeJpeg2000(header, compressed);
    case TransferSyntax::kEncapsulatedUncompressed:
      return Exactly(header, std::move(compressed));
    case TransferSyntax::kDeflatedFrames: {
      auto samples = Inflate(compressed, FrameBytes(header) + 1);
      if (!samples.ok()) return samples.refused();
      return Exactly(header, *std::move(samples));
    }
    default:
      return DecompressJpeg(header, std::move(compressed));
  }
}

}  // namespace

std::uint64_t FrameBytes(const Header& header) {
  const std::uint64_t samples =
      std::uint64_t{header.rows} * header.columns * static_cast<std::uint64_t>(header.samples);
  return (samples * static_cast<std::uint64_t>(header.bits_allocated) + 7) / 8;
}

OrRefused<Bytes> Decompress(const Header& header, Bytes compressed) {
  try {
    return DecompressAny(header, std::move(compressed));
  } catch (const std::bad_alloc&) {
    return Refused{Refusal::kTooLarge, "not enough memory to decode it"};
  } catch (...) {
    return Refused{Refusal::kUndecodable, ""};
  }
}

}  // namespace consilium::datasets::dicom
