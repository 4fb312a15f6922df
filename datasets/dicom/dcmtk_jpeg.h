#pragma once

#include "common/base/bytes.h"
#include "datasets/dicom/header.h"
#include "datasets/dicom/jpeg_stream.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// Decodes one JPEG (ITU-T T.81, not lossless) or JPEG-LS (T.87) frame with DCMTK, whose frame
// header the caller has checked against `header`. No colour conversion. Returns the samples of a
// pixel side by side, each in header.bits_allocated bits, little endian.
OrRefused<Bytes> DecodeWithDcmtk(const Header& header, const JpegFrameHeader& stream,
                                 Bytes compressed);

}  // namespace consilium::datasets::dicom
