#pragma once

// The stages of the pipeline side by side in one picture: each with its name, what it did, and the
// histogram of its values.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "datasets/explain/explanation.h"

namespace consilium::datasets::explain {

struct Colour {  // 0 to 255
  std::uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Colour&) const = default;
};

struct Raster {
  std::uint32_t width = 0, height = 0;
  std::vector<Colour> pixels;  // width * height, row by row

  Raster(std::uint32_t w, std::uint32_t h, Colour colour)
      : width(w), height(h), pixels(std::size_t{w} * h, colour) {}
  // Outside of the raster it does nothing.
  void Set(std::int64_t x, std::int64_t y, Colour colour);
  void Fill(std::int64_t left, std::int64_t top, std::int64_t columns, std::int64_t rows,
            Colour colour);
  void Write(std::int64_t left, std::int64_t top, std::string_view text, int scale, Colour colour);
};

// The colour of a structure's outline, from 1.
Colour ColourOf(std::uint8_t structure);

// What segmentations say of the input, the last step: structure numbers (placed_mask.h), and their
// names from structure 1 on.
struct Outlines {
  ByteView structures;
  std::vector<std::string> names;
};

// `title` stands above the steps; `verdict` below them, and before it the outlines' names in their
// colours. `outlines`: null, or drawn into the last step.
Raster MakeContactSheet(std::string_view title, std::span<const Step> steps,
                        std::string_view verdict, const Outlines* outlines = nullptr);

absl::StatusOr<Bytes> ToPng(const Raster& raster);

}  // namespace consilium::datasets::explain
