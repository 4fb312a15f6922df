#include "datasets/dicom/rle.h"

#include <algorithm>

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kHeaderBytes = 64;

// PackBits (annex G.3.1) into plane[0 .. count).
bool DecodeSegment(ByteView segment, std::uint8_t* plane, std::size_t count) {
  const std::uint8_t* in = segment.data();
  const std::uint8_t* const end = in + segment.size();
  std::uint8_t* out = plane;
  std::uint8_t* const full = plane + count;
  while (out < full) {
    if (in >= end) return false;
    const int control = static_cast<std::int8_t>(*in++);
    if (control == -128) continue;
    const auto length = static_cast<std::ptrdiff_t>(control >= 0 ? control + 1 : 1 - control);
    if (length > full - out) return false;
    if (control >= 0) {
      if (length > end - in) return false;
      out = std::copy_n(in, length, out);
      in += length;
    } else {
      if (in >= end) return false;
      out = std::fill_n(out, length, *in++);
    }
  }
  return true;
}

}  // namespace

std::optional<Bytes> DecodeRle(ByteView frame, std::size_t pixel_count, std::size_t sample_bytes) {
  if (frame.size() < kHeaderBytes || LoadLe32(frame.data()) != sample_bytes) return std::nullopt;
  Bytes samples(pixel_count * sample_bytes), plane(pixel_count);
  for (std::size_t i = 0; i < sample_bytes; ++i) {
    const std::uint8_t* offsets = frame.data() + 4;
    const std::size_t start = LoadLe32(offsets + 4 * i);
    const std::size_t end = i + 1 < sample_bytes ? LoadLe32(offsets + 4 * (i + 1)) : frame.size();
    if (start < kHeaderBytes || start > end || end > frame.size()) return std::nullopt;
    if (!DecodeSegment(frame.subspan(start, end - start), plane.data(), pixel_count)) {
      return std::nullopt;
    }
    std::uint8_t* out = samples.data() + (sample_bytes - 1 - i);
    for (std::size_t p = 0; p < pixel_count; ++p) out[p * sample_bytes] = plane[p];
  }
  return samples;
}

}  // namespace consilium::datasets::dicom
