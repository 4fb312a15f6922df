#pragma once

// A picture of an image with what a model saw on it, for viewers that show neither segmentations
// nor reports.

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/image.h"

namespace consilium::datasets::results {

struct Picture {
  std::uint32_t rows = 0, columns = 0;
  std::vector<std::uint8_t> rgb;  // rows * columns * 3
};

// The image as its window shows it (else between percentiles 1 and 99) with square pixels, its
// longer side kPictureSide.
inline constexpr std::uint32_t kPictureSide = 768;
struct Backdrop {
  std::uint32_t rows = 0, columns = 0;              // of the picture
  std::uint32_t image_rows = 0, image_columns = 0;  // of the image
  std::vector<float> brightness;                    // rows * columns, 0 to 1
};
Backdrop MakeBackdrop(const Image& image);

// Warm where `activation` (image_rows * image_columns, 0 to 1; empty: none) is high, with a line
// around what is at least half of the most. Below the image, on black and never on it, a line of
// text for each of `lines` (ASCII), cut where the picture ends.
Picture Draw(const Backdrop& backdrop, const std::vector<float>& activation,
             const std::vector<std::string>& lines);

}  // namespace consilium::datasets::results
