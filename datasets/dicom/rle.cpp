#include "datasets/dicom/rle.h"

namespace consilium::datasets::dicom {
namespace {

constexpr std::size_t kHeaderBytes = 64;

// PackBits (annex G.3.1) into every `stride`th byte from `out` on, `count` of them.
bool DecodeSegment(ByteView segment, std::uint8_t* out, std::size_t count, std::size_t stride) {
  const std::uint8_t* in = segment.data();
  const std::uint8_t* const end = in + segment.size();
  while (count > 0) {
    if (in >= end) return false;
    const int control = static_cast<std::int8_t>(*in++);
    if (control == -128) continue;
    const auto length = static_cast<std::size_t>(control >= 0 ? control + 1 : 1 - control);
    const std::size_t needed = control >= 0 ? length : 1;
    if (length > count || needed > static_cast<std::size_t>(end - in)) return false;
    const std::size_t step = control >= 0 ? 1 : 0;  // a run repeats one byte
    for (std::size_t i = 0; i < length; ++i) out[i * stride] = in[i * step];
    in += needed;
    out += length * stride;
    count -= length;
  }
  return true;
}

}  // namespace

std::optional<Bytes> DecodeRle(ByteView frame, std::size_t pixel_count, std::size_t sample_bytes) {
  if (frame.size() < kHeaderBytes || LoadLe32(frame.data()) != sample_bytes) return std::nullopt;
  Bytes samples(pixel_count * sample_bytes);
  for (std::size_t i = 0; i < sample_bytes; ++i) {
    const std::uint8_t* offsets = frame.data() + 4;
    const std::size_t start = LoadLe32(offsets + 4 * i);
    const std::size_t end = i + 1 < sample_bytes ? LoadLe32(offsets + 4 * (i + 1)) : frame.size();
    if (start < kHeaderBytes || start > end || end > frame.size()) return std::nullopt;
    std::uint8_t* out = samples.data() + (sample_bytes - 1 - i);
    if (!DecodeSegment(frame.subspan(start, end - start), out, pixel_count, sample_bytes)) {
      return std::nullopt;
    }
  }
  return samples;
}

}  // namespace consilium::datasets::dicom
