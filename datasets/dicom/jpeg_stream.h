#pragma once

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"

namespace consilium::datasets::dicom {

// The first start-of-frame segment of a JPEG or JPEG-LS stream (ITU-T T.81 B.2.2, T.87 C.2.2).
struct JpegFrameHeader {
  std::uint8_t marker = 0;  // 0xc0 baseline, 0xc1 extended, 0xc2 progressive, 0xc3 lossless,
                            // 0xf7 JPEG-LS
  int precision = 0;        // bits a sample
  std::uint32_t rows = 0, columns = 0;
  int components = 0;
};
// Nothing when `stream` does not start with one of them.
std::optional<JpegFrameHeader> FindJpegFrameHeader(ByteView stream);

// Decodes a lossless JPEG stream (T.81 annex H, Huffman coding, any predictor, interleaved or not)
// of 2 to 16 bits a sample and components of the same size. Returns the components of a pixel side
// by side, each in `sample_bytes` (1 or 2) bytes, little endian; nothing when the stream is not
// sound, ends early, or does not fit `sample_bytes`. Allocates for rows * columns * components of
// `header`, which the caller has found in the stream and checked.
std::optional<Bytes> DecodeLosslessJpeg(ByteView stream, const JpegFrameHeader& header,
                                        int sample_bytes);

}  // namespace consilium::datasets::dicom
