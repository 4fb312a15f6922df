#pragma once

#include "common/base/bytes.h"
#include "datasets/dicom/reader.h"

namespace consilium::datasets::dicom {

// Decompresses one grey frame: JPEG and JPEG-LS with DCMTK, RLE with code of ours. `compressed` is
// the whole frame (its fragments joined). The frame header of a JPEG stream must agree with
// `header` before a decoder sees it. Returns samples of header.bits_allocated bits, little endian,
// or why it cannot be.
OrRefused<Bytes> Decompress(const Header& header, Bytes compressed);

}  // namespace consilium::datasets::dicom
