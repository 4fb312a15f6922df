#include "datasets/targets/volume_mask.h"

#include "common/base/status.h"
#include "datasets/targets/image_mask.h"

namespace consilium::datasets::targets {
namespace {

struct Found {
  fs::path path;
  OutlinedStructure structure;
};

OrRefused<std::vector<Found>> AllStructures(std::span<const fs::path> paths,
                                            const OutlineReader& reader) {
  std::vector<Found> all;
  for (const fs::path& path : paths) {
    auto structures = reader.structures(path);
    if (!structures.ok()) return structures.refused();
    for (OutlinedStructure& structure : *structures) all.push_back({path, std::move(structure)});
  }
  return all;
}

}  // namespace

OutlineReader ReadOutlinesInThisProcess() {
  return {.structures = [](const fs::path& path) -> OrRefused<std::vector<OutlinedStructure>> {
            const auto outlines = Outlines::Open(path);
            if (!outlines.ok()) return outlines.refused();
            return outlines->structures();
          },
          .mask = [](const fs::path& path, std::uint32_t structure, const volumes::Grid& grid,
                     const std::string& frame_of_reference) -> OrRefused<Mask> {
            auto outlines = Outlines::Open(path);
            if (!outlines.ok()) return outlines.refused();
            return outlines->ReadMask(structure, grid, frame_of_reference);
          }};
}

OrRefused<PlacedMask> MakeMask(const volumes::PlacedVolume& placed,
                               std::span<const fs::path> outlines,
                               const std::vector<std::string>& structures,
                               const OutlineReader& reader) {
  CONSILIUM_CHECK(structures.size() <= kMostStructures);
  const auto all = AllStructures(outlines, reader);
  if (!all.ok()) return all.refused();
  const volumes::Grid& grid = placed.stack.grid;
  Bytes numbers(grid.VoxelCount());
  for (std::size_t i = 0; i < structures.size(); ++i) {
    const std::string wanted = FoldedLabel(structures[i]);
    for (const Found& found : *all) {
      if (FoldedLabel(found.structure.label) != wanted) continue;
      const auto mask =
          reader.mask(found.path, found.structure.number, grid, placed.stack.frame_of_reference);
      if (!mask.ok()) return mask.refused();
      for (std::size_t at = 0; at < numbers.size(); ++at) {
        if (mask->voxels[at] != 0) numbers[at] = static_cast<std::uint8_t>(i + 1);
      }
    }
  }
  auto input = volumes::ResampleMask(numbers, grid, placed.input);
  if (!input.ok()) return input.refused();
  return PlacedMask{std::move(*input), static_cast<float>(placed.SpacingMm()),
                    static_cast<float>(placed.SliceSpacingMm())};
}

}  // namespace consilium::datasets::targets
