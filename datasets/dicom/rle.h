#pragma once

#include <cstddef>
#include <optional>

#include "common/base/bytes.h"

namespace consilium::datasets::dicom {

// Decodes one grey RLE frame (PS3.5 annex G): one segment a byte of the sample, the most
// significant first. Returns pixel_count * sample_bytes bytes, little endian; nothing when the
// frame has another number of segments, or one that ends early or runs over. Several times faster
// than DCMTK's decoder.
std::optional<Bytes> DecodeRle(ByteView frame, std::size_t pixel_count, std::size_t sample_bytes);

}  // namespace consilium::datasets::dicom
