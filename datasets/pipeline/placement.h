#pragma once

// Where the network's input lies on the image that it was made of, so that what the network says
// about its input can be shown on the image.

#include <cstdint>

namespace consilium::datasets::pipeline {

// Positions are continuous: pixel i of a row reaches from i to i + 1, its centre is at i + 0.5.
// Columns count from the left and rows from the top of the image as it is stored.
struct Placement {
  std::uint32_t frame = 0;              // of the file, from 0
  std::uint32_t rows = 0, columns = 0;  // of that frame
  std::uint32_t size = 0;               // of the input, a square
  // The part of the image that the input shows; what lies beside it on the input is padding.
  double left = 0, top = 0, right = 0, bottom = 0;
  // Image pixels to one pixel of the input. They differ where the pixels are not square.
  double columns_a_pixel = 1, rows_a_pixel = 1;
  // The image position of the input's centre. The input's left edge lies size / 2 * columns_a_pixel
  // to the left of it, or to the right when mirrored.
  double centre_column = 0, centre_row = 0;
  bool mirrored = false;  // left and right are exchanged on the input

  // The input's position that shows this position of the image, and back.
  double InputColumn(double column) const {
    const double away = (column - centre_column) / columns_a_pixel;
    return size / 2.0 + (mirrored ? -away : away);
  }
  double InputRow(double row) const { return size / 2.0 + (row - centre_row) / rows_a_pixel; }
  double ImageColumn(double input_column) const {
    const double away = (input_column - size / 2.0) * columns_a_pixel;
    return centre_column + (mirrored ? -away : away);
  }
  double ImageRow(double input_row) const {
    return centre_row + (input_row - size / 2.0) * rows_a_pixel;
  }
  bool Shows(double column, double row) const {
    return column >= left && column < right && row >= top && row < bottom;
  }
};

}  // namespace consilium::datasets::pipeline
