#include "datasets/dicom/rle.h"

#include <cstring>

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kMostSegments = 15;

// PackBits (annex G.3.1) into every `kStride`th byte from `out` on, `count` of them; a stride of 0
// stands for `any_stride`.
template <std::size_t kStride>
bool DecodeSegment(ByteView segment, std::uint8_t* out, std::size_t count, std::size_t any_stride) {
  const std::size_t stride = kStride == 0 ? any_stride : kStride;
  const std::uint8_t* in = segment.data();
  const std::uint8_t* const end = in + segment.size();
  while (count > 0) {
    if (in >= end) return false;
    const int control = static_cast<std::int8_t>(*in++);
    if (control == -128) continue;
    const auto length = static_cast<std::size_t>(control >= 0 ? control + 1 : 1 - control);
    const std::size_t needed = control >= 0 ? length : 1;
    if (length > count || needed > static_cast<std::size_t>(end - in)) return false;
    if (control >= 0) {
      for (std::size_t i = 0; i < length; ++i) out[i * stride] = in[i];
    } else if (kStride == 1) {
      std::memset(out, *in, length);
    } else {
      for (std::size_t i = 0; i < length; ++i) out[i * stride] = *in;
    }
    in += needed;
    out += length * stride;
    count -= length;
  }
  return true;
}

bool DecodeInto(ByteView segment, std::uint8_t* out, std::size_t count, std::size_t stride) {
  if (stride == 1) return DecodeSegment<1>(segment, out, count, stride);
  if (stride == 2) return DecodeSegment<2>(segment, out, count, stride);
  return DecodeSegment<0>(segment, out, count, stride);
}

}  // namespace

std::optional<Bytes> DecodeRle(ByteView frame, std::size_t pixel_count, std::size_t sample_bytes,
                               std::size_t samples) {
  const std::size_t segments = sample_bytes * samples;
  if (segments > kMostSegments || frame.size() < kHeaderBytes ||
      LoadLe32(frame.data()) != segments) {
    return std::nullopt;
  }
  Bytes out(pixel_count * segments);
  for (std::size_t i = 0; i < segments; ++i) {
    const std::uint8_t* offsets = frame.data() + 4;
    const std::size_t start = LoadLe32(offsets + 4 * i);
    const std::size_t end = i + 1 < segments ? LoadLe32(offsets + 4 * (i + 1)) : frame.size();
    if (start < kHeaderBytes || start > end || end > frame.size()) return std::nullopt;
    const std::size_t sample = i / sample_bytes, byte = sample_bytes - 1 - i % sample_bytes;
    if (!DecodeInto(frame.subspan(start, end - start), out.data() + sample * sample_bytes + byte,
                    pixel_count, segments)) {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace consilium::datasets::dicom
