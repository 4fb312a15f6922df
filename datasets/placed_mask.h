#pragma once

#include <vector>

#include "common/base/bytes.h"

namespace consilium::datasets {

// A mask as the pipeline places the input that it belongs to.
struct PlacedMask {
  Bytes structures;      // image_size^2: 0 background, i the i-th of the plan's structures, from 1
  float spacing_mm = 0;  // from pixel to pixel of the input; 0: not known
};

}  // namespace consilium::datasets
