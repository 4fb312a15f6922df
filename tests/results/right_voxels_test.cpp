// A mask lands on the voxels that it was made on, for our reader and for pydicom, whatever the
// geometry.

#include <algorithm>

#include "common/base/progress.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/targets/segmentation.h"
#include "datasets/volumes/series.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/volumes_files.h"
#include "tests/results/judges.h"
#include "tests/results/result_sources.h"

namespace consilium::datasets::results {
namespace {

using volumes::Grid;

// Set where no symmetry maps it to itself: one voxel of slice 0, an L in slice 1, a row in the last
// but one. Nothing in the others.
std::vector<std::uint8_t> AsymmetricMask(const Grid& grid) {
  std::vector<std::uint8_t> voxels(grid.VoxelCount());
  const auto set = [&](std::size_t column, std::size_t row, std::size_t slice) {
    voxels[(slice * grid.size[1] + row) * grid.size[0] + column] = 1;
  };
  set(1, 2, 0);
  for (std::size_t row = 1; row < 5; ++row) set(2, row, 1);
  set(3, 4, 1);
  for (std::size_t column = 4; column < grid.size[0]; ++column) set(column, 0, grid.size[2] - 2);
  return voxels;
}

volumes::Stack StackOf(const fs::path& folder, std::string* sop_class_uid) {
  NoProgress quiet;
  auto series = volumes::ReadFolder(folder, 1, quiet);
  REQUIRE(series.ok());
  REQUIRE(series->series.size() == 1);
  *sop_class_uid = series->series[0].sop_class_uids.at(0);
  auto stacks = volumes::FindStacks(series->series[0], {});
  REQUIRE(stacks.ok());
  REQUIRE(stacks->size() == 1);
  return std::move(stacks->front());
}

NewSegment SegmentWith(std::vector<std::uint8_t> voxels, const std::string& label) {
  return {.label = label,
          .category = {"123037004", "SCT", "Anatomical Structure"},
          .type = {"10200004", "SCT", "Liver"},
          .voxels = std::move(voxels)};
}

TEST_CASE("a mask lands on the right voxels, tilted or not, in both orders of slices") {
  for (const double tilt : {0.0, 18.0}) {
    for (const bool descending : {false, true}) {
      for (const bool reversed : {false, true}) {
        INFO("tilt " << tilt << ", descending " << descending << ", reversed " << reversed);
        TemporaryFolder folder, out;
        WriteSeries(folder.path(), AsymmetricGrid(tilt), descending);
        const SourceImage source = SourceOf(folder / "1.dcm");
        std::string sop_class_uid;
        const volumes::Stack stack = StackOf(folder.path(), &sop_class_uid);
        const Grid& grid = stack.grid;
        CHECK(volumes::LargestDistance(grid, AsymmetricGrid(tilt)) < 1e-6);
        const std::vector<std::uint8_t> mask = AsymmetricMask(grid);
        NewSegmentation segmentation{.planes = PlanesOf(stack, sop_class_uid),
                                     .segments = {SegmentWith(mask, "liver")}};
        if (reversed) {  // the same mask on the grid whose slices count from the other end
          SegmentedPlanes& planes = segmentation.planes;
          planes.grid = volumes::ReversedSlices(grid);
          std::reverse(planes.sources.begin(), planes.sources.end());
          const std::size_t plane = grid.PlaneCount();
          auto& voxels = segmentation.segments[0].voxels;
          for (std::size_t k = 0; k < grid.size[2]; ++k) {
            std::copy_n(
                mask.begin() + static_cast<std::ptrdiff_t>(k * plane), plane,
                voxels.begin() + static_cast<std::ptrdiff_t>((grid.size[2] - 1 - k) * plane));
          }
        }
        const ModelDescription model = TestModel();
        const absl::Status written = WriteSegmentation(
            out / "seg.dcm", source, model, NameOf(ResultKind::kSegmentation, model.id, source),
            segmentation, TestTime());
        INFO(written.message());
        REQUIRE(written.ok());
        auto read = targets::Segmentation::Open(out / "seg.dcm");
        REQUIRE(read.ok());
        const auto found = read->ReadMask(1, grid, kFrameOfReference);
        INFO((found.ok() ? std::string() : found.refused().detail));
        REQUIRE(found.ok());
        CHECK(found->voxels == mask);
        CHECK(read->referenced_series() == std::vector<std::string>{source.series_instance_uid});
        CheckWithDciodvfy(out / "seg.dcm");
        // Each frame's pixels, position and source, against the source files themselves: a set
        // pixel's place in the patient is the place of the source image's pixel.
        CheckWithPydicom({"voxels", (out / "seg.dcm").string(), folder.path().string()});
      }
    }
  }
}

TEST_CASE("several segments and fractions share one grid") {
  TemporaryFolder folder, out;
  WriteSeries(folder.path(), AsymmetricGrid(), false);
  std::string sop_class_uid;
  const volumes::Stack stack = StackOf(folder.path(), &sop_class_uid);
  const SourceImage source = SourceOf(folder / "1.dcm");
  std::vector<std::uint8_t> half = AsymmetricMask(stack.grid), full = half;
  for (auto& v : half) v = static_cast<std::uint8_t>(v * 100);
  for (auto& v : full) v = static_cast<std::uint8_t>(v * 255);
  std::fill(full.begin(), full.begin() + 20, std::uint8_t{255});
  const NewSegmentation segmentation{
      .kind = SegmentationKind::kFractionalOccupancy,
      .planes = PlanesOf(stack, sop_class_uid),
      .segments = {SegmentWith(half, "half"), SegmentWith(full, "full"),
                   SegmentWith(std::vector<std::uint8_t>(half.size()), "nothing")}};
  const ModelDescription model = TestModel();
  REQUIRE(WriteSegmentation(out / "seg.dcm", source, model,
                            NameOf(ResultKind::kSegmentation, model.id, source), segmentation,
                            TestTime())
              .ok());
  CheckWithDciodvfy(out / "seg.dcm");
  auto read = targets::Segmentation::Open(out / "seg.dcm");
  REQUIRE(read.ok());
  REQUIRE(read->segments().size() == 3);
  CHECK(read->segments()[1].label == "full");
  CHECK(read->segments()[1].algorithm == "AUTOMATIC");
  const auto above = [&](std::uint32_t segment, double threshold) {
    auto mask = read->ReadMask(segment, stack.grid, kFrameOfReference, threshold);
    REQUIRE(mask.ok());
    return std::count(mask->voxels.begin(), mask->voxels.end(), 1);
  };
  const auto set = std::count_if(half.begin(), half.end(), [](auto v) { return v != 0; });
  CHECK(above(1, 0.3) == set);
  CHECK(above(1, 0.5) == 0);
  CHECK(above(2, 0.99) == std::count(full.begin(), full.end(), 255));
  CHECK(above(3, 0.1) == 0);
}

}  // namespace
}  // namespace consilium::datasets::results
