#pragma once

// Which structure each voxel of a plan's input of volumes belongs to, by what outlines the series.
// Where structures overlap, the later one of the list counts.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/placed_mask.h"
#include "datasets/targets/outlines.h"
#include "datasets/volumes/input.h"

namespace consilium::datasets::targets {

// Who reads outlines: this process, or a sandboxed worker.
struct OutlineReader {
  std::function<OrRefused<std::vector<OutlinedStructure>>(const fs::path&)> structures;
  // Outlines::ReadMask of a structure's number.
  std::function<OrRefused<Mask>(const fs::path&, std::uint32_t, const volumes::Grid&,
                                const std::string& frame_of_reference)>
      mask;
};
OutlineReader ReadOutlinesInThisProcess();

// slices * image_size^2 structure numbers as the input lies (volumes/input.h), each voxel that of
// the nearest of the volume; 0 beside it. Refuses what Outlines::ReadMask does.
OrRefused<PlacedMask> MakeMask(const volumes::PlacedVolume& placed,
                               std::span<const fs::path> outlines,
                               const std::vector<std::string>& structures,
                               const OutlineReader& reader);

}  // namespace consilium::datasets::targets
