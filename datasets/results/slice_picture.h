#pragma once

// A few slices of a volume side by side, as one image that a picture can be made of (picture.h).

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/image.h"
#include "datasets/volumes/volume.h"

namespace consilium::datasets::results {

// At most so many slices are shown, in rows of kTilesAcross.
inline constexpr std::uint32_t kTiles = 4, kTilesAcross = 2;

// Which slices, in their order, evenly apart: of those from the first to the last one that `mask`
// (of the grid's voxels) has a structure in; where it has none, of the middle half of the stack.
std::vector<std::uint32_t> SlicesToShow(const volumes::Grid& grid,
                                        std::span<const std::uint8_t> mask);

// Those slices of a volume of brightness, from left to right and from top to bottom; black where
// there is no slice left.
Image Tile(const volumes::Volume& brightness, std::span<const std::uint32_t> slices);
// The structures of a mask, 0 elsewhere, in the same places.
std::vector<std::uint8_t> Tile(const volumes::Grid& grid, std::span<const std::uint8_t> mask,
                               std::span<const std::uint32_t> slices);

}  // namespace consilium::datasets::results
