#include <algorithm>
#include <cmath>

#include "datasets/targets/structure_set.h"
#include "tests/fuzz/fuzz.h"

// A DICOM file as a structure set, and each of its regions on a small grid.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets;
  const fs::path path = fuzz::Scratch("structures.dcm", fuzz::Input(data, size));
  const fuzz::AllocationLimit limit(4 * fuzz::JustifiedBy(size));
  const auto structures = targets::StructureSet::Open(path);
  if (!structures.ok()) return 0;
  volumes::Grid grid;
  grid.size = {5, 4, 3};
  const std::size_t most = std::min<std::size_t>(structures->regions().size(), 4);
  for (std::size_t i = 0; i < most; ++i) {
    const targets::Region& region = structures->regions()[i];
    const auto contours = structures->ReadContours(region.number);
    const auto mask = structures->ReadMask(region.number, grid, region.frame_of_reference);
    FUZZ_EXPECT(!mask.ok() || contours.ok());
    if (!mask.ok()) continue;
    FUZZ_EXPECT(mask->voxels.size() == grid.VoxelCount());
    for (const auto& contour : *contours) {
      for (const auto& point : contour) {
        for (const double number : point) FUZZ_EXPECT(std::isfinite(number));
      }
    }
  }
  return 0;
}
