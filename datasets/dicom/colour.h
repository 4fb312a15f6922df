#pragma once

#include <cstdint>
#include <vector>

#include "datasets/dicom/lookup.h"
#include "datasets/dicom/stored_frame.h"

namespace consilium::datasets::dicom {

// A colour frame as red, green and blue.
struct RgbFrame {
  std::uint32_t rows = 0, columns = 0;
  int bits = 8;                       // a sample: values are below 1 << bits
  std::vector<std::uint16_t> values;  // rows * columns * 3
};

// `frame` has integer samples of at most 16 bits: three of RGB or YBR (PS3.3 C.7.6.3.1.2), or one
// that indexes `palette`, which is only needed then. `bits` are the stored bits.
RgbFrame ToRgb(const StoredFrame& frame, int bits, const Palette* palette);

// Luminance (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601) of each pixel, in the units of its samples.
std::vector<float> Luminance(const RgbFrame& frame);

}  // namespace consilium::datasets::dicom
