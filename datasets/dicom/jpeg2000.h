#pragma once

#include "common/base/bytes.h"
#include "datasets/dicom/header.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// Decodes one JPEG 2000 or HTJ2K frame (ITU-T T.800, T.814) with OpenJPEG: a codestream, or a JP2
// file around one. What the codestream says of its size, tiles, precincts, layers and code-blocks
// is checked against `header` and against its own length before OpenJPEG allocates for it. Returns
// the samples of a pixel side by side (RGB where a component transform was undone), each in
// header.bits_allocated bits, little endian.
OrRefused<Bytes> DecodeJpeg2000(const Header& header, ByteView frame);

// One frame as a lossless codestream. `samples` as DecodeJpeg2000 returns them. Empty when OpenJPEG
// fails.
Bytes EncodeJpeg2000(const Header& header, ByteView samples);

}  // namespace consilium::datasets::dicom
