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

// Grey, 0 black to 255 white.
struct Raster {
  std::uint32_t width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // width * height, row by row

  Raster(std::uint32_t w, std::uint32_t h, std::uint8_t grey)
      : width(w), height(h), pixels(std::size_t{w} * h, grey) {}
  // Outside of the raster it does nothing.
  void Set(std::int64_t x, std::int64_t y, std::uint8_t grey);
  void Fill(std::int64_t left, std::int64_t top, std::int64_t columns, std::int64_t rows,
            std::uint8_t grey);
  void Write(std::int64_t left, std::int64_t top, std::string_view text, int scale,
             std::uint8_t grey);
};

// `title` stands above the steps; `verdict` below them.
Raster MakeContactSheet(std::string_view title, std::span<const Step> steps,
                        std::string_view verdict);

absl::StatusOr<Bytes> ToPng(const Raster& raster);

}  // namespace consilium::datasets::explain
