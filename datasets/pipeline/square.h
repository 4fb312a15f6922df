#pragma once

// The last step of the pipeline: an image onto the network's square.

#include <cstdint>
#include <span>
#include <vector>

namespace consilium::datasets::pipeline {

// Where `size` output pixels lie along one axis of the image. In source pixels: pixel i reaches
// from i to i + 1.
struct Axis {
  std::size_t length = 0;  // source pixels
  double centre = 0;       // what the output's middle shows
  double step = 1;         // source pixels to one output pixel
};

// size * size pixels of `pixels` (down.length * across.length of them). Shrinking averages over the
// covered area, enlarging interpolates linearly; what lies outside is 0.
std::vector<float> OntoSquare(std::span<const float> pixels, const Axis& down, const Axis& across,
                              std::size_t size);

}  // namespace consilium::datasets::pipeline
