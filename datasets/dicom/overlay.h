#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dicom/data_set.h"
#include "datasets/dicom/header.h"

namespace consilium::datasets::dicom {

// A graphic or a region that lies over an image (PS3.3 C.9.2), group 60xx.
struct Overlay {
  std::uint16_t group = 0;
  bool region = false;  // of interest; else graphics
  std::string label;
  std::uint32_t rows = 0, columns = 0;
  int row = 1, column = 1;  // where its first pixel lies on the image, from 1 on
  std::vector<bool> mask;   // rows * columns

  // Of an image's size: rows * columns, true where the overlay covers it.
  std::vector<bool> OnImage(std::uint32_t image_rows, std::uint32_t image_columns) const;
};

// The overlays of a frame. Overlays whose data is missing, shorter than they claim, or kept in the
// pixel data (retired, with a bit position of 1 or more) without `samples` are left out. `samples`:
// the frame's, little endian, of header.bits_allocated bits, as the file holds them before any bit
// is cut off; empty when not at hand.
std::vector<Overlay> ReadOverlays(const DataSet& data_set, const Header& header,
                                  std::uint32_t frame, ByteView samples);
// Whether one of them is kept in unused bits of the pixel data.
bool HasEmbeddedOverlay(const DataSet& data_set);

}  // namespace consilium::datasets::dicom
