#include "datasets/dicom/jpeg_stream.h"

namespace consilium::datasets::dicom {

std::optional<JpegFrameHeader> FindJpegFrameHeader(ByteView stream) {
  if (stream.size() < 4 || stream[0] != 0xff || stream[1] != 0xd8) return std::nullopt;
  std::size_t at = 2;
  while (at + 4 <= stream.size() && stream[at] == 0xff) {
    const std::uint8_t marker = stream[at + 1];
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    const std::size_t length = stream[at + 2] << 8 | stream[at + 3];
    const bool frame =
        (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) ||
        marker == 0xf7;
    if (frame) {
      if (at + 10 > stream.size()) return std::nullopt;
      const std::uint8_t* p = stream.data() + at;
      return JpegFrameHeader{marker, p[4], static_cast<std::uint32_t>(p[5] << 8 | p[6]),
                             static_cast<std::uint32_t>(p[7] << 8 | p[8]), p[9]};
    }
    if (marker == 0xda || length < 2) return std::nullopt;
    at += 2 + length;
  }
  return std::nullopt;
}

}  // namespace consilium::datasets::dicom
