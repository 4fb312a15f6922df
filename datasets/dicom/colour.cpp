#include "datasets/dicom/colour.h"

#include <algorithm>
#include <cmath>

namespace consilium::datasets::dicom {
namespace {

// Y, CB, CR to R, G, B: the inverse of the formulas of C.7.6.3.1.2. `partial`: Y has a footroom of
// 16 and 219 steps, CB and CR 224, of 255.
struct YbrToRgb {
  YbrToRgb(int bits, bool partial)
      : top(static_cast<float>((1 << bits) - 1)),
        middle(static_cast<float>(1 << (bits - 1))),
        floor(partial ? static_cast<float>(16 << (bits - 8)) : 0.0f),
        luma(partial ? 255.0f / 219.0f : 1.0f),
        chroma(partial ? 255.0f / 224.0f : 1.0f) {}

  void operator()(float y, float cb, float cr, std::uint16_t* rgb) const {
    y = (y - floor) * luma;
    cb = (cb - middle) * chroma;
    cr = (cr - middle) * chroma;
    rgb[0] = Clamped(y + 1.402f * cr);
    rgb[1] = Clamped(y - 0.344136f * cb - 0.714136f * cr);
    rgb[2] = Clamped(y + 1.772f * cb);
  }
  std::uint16_t Clamped(float value) const {
    return static_cast<std::uint16_t>(std::lround(std::clamp(value, 0.0f, top)));
  }

  float top, middle, floor, luma, chroma;
};

bool IsYbr(Photometric photometric) { return photometric >= Photometric::kYbrFull; }

bool IsPartial(Photometric photometric) {
  return photometric == Photometric::kYbrPartial422 || photometric == Photometric::kYbrPartial420;
}

std::uint16_t LookUp(const LookupTable& table, std::int32_t value) {
  const auto last = static_cast<std::int32_t>(table.entries.size()) - 1;
  return table.entries[static_cast<std::size_t>(std::clamp(value - table.first, 0, last))];
}

}  // namespace

RgbFrame ToRgb(const StoredFrame& frame, int bits, const Palette* palette) {
  const std::size_t pixels = std::size_t{frame.rows} * frame.columns;
  RgbFrame out{frame.rows, frame.columns, bits, std::vector<std::uint16_t>(pixels * 3)};
  if (frame.photometric == Photometric::kPalette) {
    CONSILIUM_CHECK(palette != nullptr && frame.samples == 1);
    out.bits = std::max({palette->red.bits, palette->green.bits, palette->blue.bits});
    frame.WithType([&](auto sample) {
      for (std::size_t i = 0; i < pixels; ++i) {
        const auto value = static_cast<std::int32_t>(frame.At<decltype(sample)>(i));
        out.values[3 * i] = LookUp(palette->red, value);
        out.values[3 * i + 1] = LookUp(palette->green, value);
        out.values[3 * i + 2] = LookUp(palette->blue, value);
      }
    });
    return out;
  }
  CONSILIUM_CHECK(frame.samples == 3 && bits >= 1 && bits <= 16);
  const bool ybr = IsYbr(frame.photometric);
  const YbrToRgb convert(std::max(bits, 8), IsPartial(frame.photometric));
  frame.WithType([&](auto sample) {
    using T = decltype(sample);
    for (std::size_t i = 0; i < pixels; ++i) {
      std::uint16_t* rgb = out.values.data() + 3 * i;
      if (ybr) {
        convert(static_cast<float>(frame.At<T>(3 * i)), static_cast<float>(frame.At<T>(3 * i + 1)),
                static_cast<float>(frame.At<T>(3 * i + 2)), rgb);
      } else {
        for (std::size_t s = 0; s < 3; ++s) {
          rgb[s] = static_cast<std::uint16_t>(frame.At<T>(3 * i + s));
        }
      }
    }
  });
  return out;
}

std::vector<float> Luminance(const RgbFrame& frame) {
  std::vector<float> out(std::size_t{frame.rows} * frame.columns);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint16_t* rgb = frame.values.data() + 3 * i;
    out[i] = 0.299f * static_cast<float>(rgb[0]) + 0.587f * static_cast<float>(rgb[1]) +
             0.114f * static_cast<float>(rgb[2]);
  }
  return out;
}

}  // namespace consilium::datasets::dicom
