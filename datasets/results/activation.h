#pragma once

// Where on its input a classifier saw what it was asked for, and where that is on the image.

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/pipeline/placement.h"

namespace consilium::datasets::results {

// A class activation map (Zhou et al. 2016): what each place of the last feature map added to the
// classifier's logit. Row by row.
struct ActivationMap {
  std::uint32_t size = 0;  // rows and columns
  // The input position (see pipeline::Placement) of the first value's centre, and the distance
  // between neighbours, along both axes.
  double first = 0, step = 1;
  std::vector<float> values;  // size * size, in logits
};

// The map at every pixel of the image, row by row: what spoke for the finding, relative to the
// map's own largest value, 0 to 1. All 0 where nothing spoke for it. Linear between the map's
// values, 0 where the input does not show the image. It says nothing of how sure the model is, and
// it is no outline.
std::vector<float> OnImage(const ActivationMap& map, const pipeline::Placement& placement);

// The number of the structure that the input's nearest pixel belongs to, at every pixel of the
// image, row by row; 0 where the input does not show the image. `mask`: placement.size squared.
std::vector<std::uint8_t> OnImage(std::span<const std::uint8_t> mask,
                                  const pipeline::Placement& placement);

}  // namespace consilium::datasets::results
