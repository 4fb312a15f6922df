#pragma once

#include <cstddef>
#include <optional>

#include "common/base/bytes.h"

namespace consilium::datasets::dicom {

// Decodes one RLE frame (PS3.5 annex G): one segment a byte of each sample of a pixel, the most
// significant first. Returns pixel_count * samples * sample_bytes bytes: the samples of a pixel
// side by side, each little endian; nothing when the frame has another number of segments, or one
// that ends early or runs over. Several times faster than DCMTK's decoder.
std::optional<Bytes> DecodeRle(ByteView frame, std::size_t pixel_count, std::size_t sample_bytes,
                               std::size_t samples = 1);

}  // namespace consilium::datasets::dicom
