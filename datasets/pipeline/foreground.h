#pragma once

// The largest bright object of an image: the breast of a mammogram, the bright disc of a retinal
// photograph. Pure; thread-safe.

#include <cstdint>
#include <optional>

#include "datasets/image.h"

namespace consilium::datasets::pipeline {

// Pixels [left, right) x [top, bottom) of an image.
struct Box {
  std::uint32_t left = 0, top = 0, right = 0, bottom = 0;
  std::uint32_t columns() const { return right - left; }
  std::uint32_t rows() const { return bottom - top; }
  bool operator==(const Box&) const = default;
};

struct Foreground {
  Box box;           // all of the object, and at most two cells around it
  double share = 0;  // of the image (without its padding) that the object covers
  float threshold =
      0;  // what is beyond it is bright: above it, below it where larger values are darker
  // Of the object, in the right half of the image and of its box.
  double right_of_image = 0.5, right_of_box = 0.5;
};

// Found on cells, of which the longer side of the image has 256 at most: what is clearly above the
// background (an eighth of the way from the darkest twentieth to Otsu's threshold, IEEE Trans. SMC
// 9, 1979, 62), in one piece (4-connected) that bridges and frames thinner than three cells do not
// hold together. So letters, markers and bright borders are left out, unless they touch the object
// broadly. Nothing when the image is constant, or the largest object covers less than a hundredth.
std::optional<Foreground> FindForeground(const Image& image);

}  // namespace consilium::datasets::pipeline
