#include <algorithm>

#include "datasets/targets/segmentation.h"
#include "tests/fuzz/fuzz.h"

// A DICOM file as a segmentation, and each of its segments on the grid of its seeds.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets;
  const fs::path path = fuzz::Scratch("segmentation.dcm", fuzz::Input(data, size));
  // Frames and their planes are larger than what says them; a frame's bits become bytes.
  const fuzz::AllocationLimit limit((1 << 20) + 64 * size);
  auto segmentation = targets::Segmentation::Open(path);
  if (!segmentation.ok()) return 0;
  volumes::Grid grid;
  grid.size = {5, 4, 3};
  const std::size_t most = std::min<std::size_t>(segmentation->segments().size(), 4);
  for (std::size_t i = 0; i < most; ++i) {
    const auto mask = segmentation->ReadMask(segmentation->segments()[i].number, grid,
                                             segmentation->frame_of_reference());
    if (!mask.ok()) continue;
    FUZZ_EXPECT(mask->voxels.size() == grid.VoxelCount());
    for (const std::uint8_t voxel : mask->voxels) FUZZ_EXPECT(voxel <= 1);
  }
  return 0;
}
