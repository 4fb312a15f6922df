#pragma once

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "datasets/refusal.h"

namespace consilium::datasets::dicom {

// What the marker segments of a JPEG 2000 codestream claim (ITU-T T.800 annex A).
struct Codestream {
  ByteView bytes;  // from SOC on
  std::uint32_t rows = 0, columns = 0;
  int components = 0;
  int precision = 0;  // of all components
  bool is_signed = false;
};

// Finds the codestream in a frame (which may be a JP2 file, T.800 annex I) and checks its claims:
// components of one size and precision; tiles, packets and code-blocks that such a number of bytes
// can hold. Whoever decodes it then allocates within a small multiple of its pixels.
OrRefused<Codestream> CheckCodestream(ByteView frame);

}  // namespace consilium::datasets::dicom
