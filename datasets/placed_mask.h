#pragma once

#include <vector>

#include "common/base/bytes.h"

namespace consilium::datasets {

// A mask as the pipeline places the input that it belongs to.
struct PlacedMask {
  // image_size^2, of volumes slices times: 0 background, i the i-th of the plan's structures, from 1
  Bytes structures;
  float spacing_mm = 0;        // from pixel to pixel of the input; 0: not known
  float slice_spacing_mm = 0;  // of volumes: from slice to slice
};

}  // namespace consilium::datasets
