#include "datasets/targets/volume_mask.h"

#include "common/base/status.h"
#include "datasets/targets/image_mask.h"

namespace consilium::datasets::targets {
namespace {

struct Found {
  fs::path path;
  Segment segment;
};

OrRefused<std::vector<Found>> AllSegments(std::span<const fs::path> paths,
                                          const SegmentationReader& reader) {
  std::vector<Found> all;
  for (const fs::path& path : paths) {
    auto segments = reader.segments(path);
    if (!segments.ok()) return segments.refused();
    for (Segment& segment : *segments) all.push_back({path, std::move(segment)});
  }
  return all;
}

}  // namespace

SegmentationReader ReadSegmentationsInThisProcess() {
  return {.segments = [](const fs::path& path) -> OrRefused<std::vector<Segment>> {
            const auto segmentation = Segmentation::Open(path);
            if (!segmentation.ok()) return segmentation.refused();
            return segmentation->segments();
          },
          .mask = [](const fs::path& path, std::uint32_t segment, const volumes::Grid& grid,
                     const std::string& frame_of_reference) -> OrRefused<Mask> {
            auto segmentation = Segmentation::Open(path);
            if (!segmentation.ok()) return segmentation.refused();
            return segmentation->ReadMask(segment, grid, frame_of_reference);
          }};
}

OrRefused<PlacedMask> MakeMask(const volumes::PlacedVolume& placed,
                               std::span<const fs::path> segmentations,
                               const std::vector<std::string>& structures,
                               const SegmentationReader& reader) {
  CONSILIUM_CHECK(structures.size() <= kMostStructures);
  const auto segments = AllSegments(segmentations, reader);
  if (!segments.ok()) return segments.refused();
  const volumes::Grid& grid = placed.stack.grid;
  Bytes numbers(grid.VoxelCount());
  for (std::size_t i = 0; i < structures.size(); ++i) {
    const std::string wanted = FoldedLabel(structures[i]);
    for (const Found& found : *segments) {
      if (FoldedLabel(found.segment.label) != wanted) continue;
      const auto mask =
          reader.mask(found.path, found.segment.number, grid, placed.stack.frame_of_reference);
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
