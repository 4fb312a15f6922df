#pragma once

#include "common/base/bytes.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// Bytes of a frame as the decoders return it: bits_allocated / 8 a sample.
std::uint64_t FrameBytes(const Header& header);

// Decompresses one frame: RLE and lossless JPEG with code of ours, JPEG and JPEG-LS with DCMTK,
// JPEG 2000 with OpenJPEG. `compressed` is the whole frame (its fragments joined). What its own
// header claims must agree with `header`, and be possible for so many bytes, before a decoder sees
// it. Returns the samples of a pixel side by side, each in header.bits_allocated bits, little
// endian, or why it cannot be.
OrRefused<Bytes> Decompress(const Header& header, Bytes compressed);

}  // namespace consilium::datasets::dicom
