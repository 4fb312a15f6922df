#include "datasets/results/slice_picture.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::datasets::results {
namespace {

using volumes::Grid;

struct Tiling {
  explicit Tiling(const Grid& grid, std::size_t slices)
      : columns(grid.size[0]),
        rows(grid.size[1]),
        across(static_cast<std::uint32_t>(std::min<std::size_t>(slices, kTilesAcross))),
        down(static_cast<std::uint32_t>((slices + across - 1) / across)) {}

  // Calls put(pixel of the tiling, voxel of the volume) for all that is shown.
  template <class Put>
  void Visit(std::span<const std::uint32_t> slices, const Put& put) const {
    for (std::size_t tile = 0; tile < slices.size(); ++tile) {
      const std::size_t left = tile % across * columns, top = tile / across * rows;
      for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t voxel = (slices[tile] * rows + row) * columns;
        const std::size_t pixel = (top + row) * width() + left;
        for (std::size_t column = 0; column < columns; ++column) {
          put(pixel + column, voxel + column);
        }
      }
    }
  }
  std::size_t width() const { return columns * across; }
  std::size_t pixels() const { return width() * rows * down; }

  const std::size_t columns, rows;
  const std::uint32_t across, down;
};

}  // namespace

std::vector<std::uint32_t> SlicesToShow(const Grid& grid, std::span<const std::uint8_t> mask) {
  const std::uint32_t all = grid.size[2];
  const std::size_t plane = grid.PlaneCount();
  std::uint32_t first = all, end = 0;
  for (std::uint32_t slice = 0; slice < all && !mask.empty(); ++slice) {
    const auto voxels = mask.subspan(slice * plane, plane);
    if (std::none_of(voxels.begin(), voxels.end(), [](std::uint8_t v) { return v != 0; })) continue;
    first = std::min(first, slice);
    end = slice + 1;
  }
  if (end == 0) {
    first = all / 4;
    end = all - all / 4;
  }
  const std::uint32_t shown = std::min(kTiles, end - first);
  std::vector<std::uint32_t> slices;
  for (std::uint32_t i = 0; i < shown; ++i) {
    slices.push_back(first + (2 * i + 1) * (end - first) / (2 * shown));
  }
  return slices;
}

Image Tile(const volumes::Volume& brightness, std::span<const std::uint32_t> slices) {
  CONSILIUM_CHECK(!slices.empty());
  const Tiling tiling(brightness.grid, slices.size());
  Image image;
  image.columns = static_cast<std::uint32_t>(tiling.width());
  image.rows = static_cast<std::uint32_t>(tiling.pixels() / tiling.width());
  image.pixels.assign(tiling.pixels(), 0.0f);
  tiling.Visit(slices, [&](std::size_t pixel, std::size_t voxel) {
    image.pixels[pixel] = brightness.voxels[voxel];
  });
  image.window = VoiWindow{0.5, 1, VoiWindow::Function::kLinearExact};  // as it is
  image.column_spacing_mm = brightness.grid.spacing_mm[0];
  image.row_spacing_mm = brightness.grid.spacing_mm[1];
  return image;
}

std::vector<std::uint8_t> Tile(const Grid& grid, std::span<const std::uint8_t> mask,
                               std::span<const std::uint32_t> slices) {
  CONSILIUM_CHECK(!slices.empty() && mask.size() == grid.VoxelCount());
  const Tiling tiling(grid, slices.size());
  std::vector<std::uint8_t> shown(tiling.pixels(), 0);
  tiling.Visit(slices, [&](std::size_t pixel, std::size_t voxel) { shown[pixel] = mask[voxel]; });
  return shown;
}

}  // namespace consilium::datasets::results
