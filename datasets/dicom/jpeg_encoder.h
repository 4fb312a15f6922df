#pragma once

#include <cstdint>

#include "common/base/bytes.h"

namespace consilium::datasets::dicom {

// A baseline JPEG (ITU-T T.81) of 8-bit samples: one of grey, or red, green and blue, which become
// YBR_FULL_422. DCMTK's own encoder needs its imaging library for colour. Empty when it fails.
Bytes EncodeJpegBaseline(std::uint32_t rows, std::uint32_t columns, int samples, ByteView pixels);

}  // namespace consilium::datasets::dicom
