#pragma once

#include <cstdint>

namespace consilium::datasets::results {

// A fixed-width bitmap font of printable ASCII.
inline constexpr int kGlyphColumns = 5, kGlyphRows = 8, kGlyphAdvance = 6;

// Whether a pixel of a character is set; of any other character, of "_".
bool GlyphPixel(char character, int column, int row);

}  // namespace consilium::datasets::results
