#include "datasets/dicom/stored_frame.h"

#include <algorithm>
#include <bit>

namespace consilium::datasets::dicom {
namespace {

static_assert(std::endian::native == std::endian::little);

void ReverseBytes(Bytes& bytes, std::size_t size) {
  for (std::size_t i = 0; i + size <= bytes.size(); i += size) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + size));
  }
}

Bytes UnpackBits(const Bytes& bits, std::size_t count) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = bits[i / 8] >> (i % 8) & 1;
  return out;
}

// Plane by plane into pixel by pixel (PS3.3 C.7.6.3.1.3).
Bytes Interleaved(const Bytes& planes, std::size_t samples, std::size_t size) {
  Bytes out(planes.size());
  const std::size_t pixels = planes.size() / samples / size;
  for (std::size_t s = 0; s < samples; ++s) {
    for (std::size_t i = 0; i < pixels; ++i) {
      std::memcpy(out.data() + (i * samples + s) * size, planes.data() + (s * pixels + i) * size,
                  size);
    }
  }
  return out;
}

// Y1 Y2 CB CR for two pixels (C.7.6.3.1.2, YBR_FULL_422) into three samples each.
Bytes WithChrominanceOfEach(const Bytes& shared, std::size_t size) {
  Bytes out(shared.size() / 4 * 6);
  for (std::size_t i = 0, n = shared.size() / (4 * size); i < n; ++i) {
    const std::uint8_t* in = shared.data() + i * 4 * size;
    std::uint8_t* to = out.data() + i * 6 * size;
    for (std::size_t pixel = 0; pixel < 2; ++pixel, to += 3 * size) {
      std::memcpy(to, in + pixel * size, size);
      std::memcpy(to + size, in + 2 * size, 2 * size);
    }
  }
  return out;
}

SampleType TypeOf(const Header& header) {
  if (header.kind == SampleKind::kFloat) return SampleType::kFloat32;
  if (header.kind == SampleKind::kDouble) return SampleType::kFloat64;
  if (header.bits_allocated <= 8) return header.is_signed ? SampleType::kInt8 : SampleType::kUint8;
  if (header.bits_allocated == 16) {
    return header.is_signed ? SampleType::kInt16 : SampleType::kUint16;
  }
  return header.is_signed ? SampleType::kInt32 : SampleType::kUint32;
}

// The bits up to high_bit, sign-extended (PS3.5 section 8.1.1), in place.
template <class T>
void CutToStoredBits(const Header& header, Bytes& bytes) {
  constexpr int kBits = 8 * sizeof(T);
  const int left = kBits - 1 - header.high_bit, right = kBits - header.bits_stored;
  if (left == 0 && right == 0) return;
  for (std::size_t i = 0, n = bytes.size() / sizeof(T); i < n; ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    using Unsigned = std::make_unsigned_t<T>;
    const auto top = static_cast<Unsigned>(static_cast<Unsigned>(value) << left);
    value = static_cast<T>(static_cast<T>(top) >> right);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
}

Photometric AfterDecoding(const Header& header, bool native) {
  const bool transformed =
      header.photometric == Photometric::kYbrIct || header.photometric == Photometric::kYbrRct;
  if (transformed && !native) return Photometric::kRgb;
  return header.photometric;
}

}  // namespace

std::size_t SizeOf(SampleType type) {
  constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 8};
  return kSizes[static_cast<std::size_t>(type)];
}

StoredFrame ToStored(const Header& header, Bytes raw, bool native, bool big_endian) {
  StoredFrame frame{header.rows,    header.columns, header.samples, AfterDecoding(header, native),
                    TypeOf(header), std::move(raw)};
  if (header.bits_allocated == 1) {
    frame.bytes = UnpackBits(frame.bytes, frame.size());
    return frame;
  }
  const std::size_t size = SizeOf(frame.type);
  if (big_endian && size > 1) ReverseBytes(frame.bytes, size);
  const bool halved = header.photometric == Photometric::kYbrFull422 ||
                      header.photometric == Photometric::kYbrPartial422;
  if (native && header.samples == 3 && halved) {
    frame.bytes = WithChrominanceOfEach(frame.bytes, size);
  } else if (native && header.samples > 1 && header.planar) {
    frame.bytes = Interleaved(frame.bytes, static_cast<std::size_t>(header.samples), size);
  }
  if (header.kind != SampleKind::kInteger) return frame;
  frame.WithType([&](auto sample) {
    if constexpr (std::is_integral_v<decltype(sample)>) {
      CutToStoredBits<decltype(sample)>(header, frame.bytes);
    }
  });
  return frame;
}

}  // namespace consilium::datasets::dicom
