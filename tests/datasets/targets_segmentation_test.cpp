#include <algorithm>
#include <numeric>

#include "common/base/progress.h"
#include "datasets/targets/segmentation.h"
#include "datasets/volumes/series.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::targets {
namespace {

using volumes::Grid;

// Set in one asymmetric corner: (column, row) of (1, 2), (2, 2) and (2, 3), and of the slice's own
// number in row 0.
std::vector<std::uint8_t> Corner(const Grid& grid, std::uint32_t slice, std::uint8_t value = 1) {
  std::vector<std::uint8_t> pixels(grid.PlaneCount());
  const std::size_t columns = grid.size[0];
  pixels[2 * columns + 1] = pixels[2 * columns + 2] = pixels[3 * columns + 2] = pixels[slice] =
      value;
  return pixels;
}

std::vector<std::uint8_t> Expected(const Grid& grid, const std::vector<std::uint32_t>& slices) {
  std::vector<std::uint8_t> voxels(grid.VoxelCount());
  for (const std::uint32_t slice : slices) {
    const auto plane = Corner(grid, slice);
    std::copy(plane.begin(), plane.end(),
              voxels.begin() + static_cast<std::ptrdiff_t>(slice * grid.PlaneCount()));
  }
  return voxels;
}

Segmentation Opened(const fs::path& path) {
  auto segmentation = Segmentation::Open(path);
  INFO((segmentation.ok() ? std::string() : segmentation.refused().detail));
  REQUIRE(segmentation.ok());
  return std::move(*segmentation);
}

std::vector<std::uint8_t> MaskOf(Segmentation& segmentation, std::uint32_t segment,
                                 const Grid& grid) {
  auto mask = segmentation.ReadMask(segment, grid, kFrameOfReference);
  INFO((mask.ok() ? std::string() : mask.refused().detail));
  REQUIRE(mask.ok());
  return std::move(mask->voxels);
}

TEST_CASE("a binary segmentation's frames land on their voxels, whatever their order") {
  for (const double tilt : {0.0, 18.0}) {
    const Grid grid = AsymmetricGrid(tilt);
    TemporaryFolder folder;
    WriteSegmentation(folder / "seg.dcm", grid, "BINARY",
                      {{4, 1, Corner(grid, 4)},
                       {1, 2, Corner(grid, 1)},
                       {0, 1, Corner(grid, 0)},
                       {3, 1, Corner(grid, 3)}},
                      2);
    Segmentation segmentation = Opened(folder / "seg.dcm");
    CHECK(segmentation.kind() == Segmentation::Kind::kBinary);
    REQUIRE(segmentation.segments().size() == 2);
    CHECK(segmentation.segments()[1].number == 2);
    CHECK(segmentation.segments()[1].label == "segment 2");
    CHECK(segmentation.segments()[1].type.Is("10200004", "SCT"));
    CHECK(segmentation.segments()[1].algorithm == "MANUAL");
    CHECK(segmentation.referenced_series() == std::vector<std::string>{"1.2.826.3"});
    CHECK(MaskOf(segmentation, 1, grid) == Expected(grid, {0, 3, 4}));
    CHECK(MaskOf(segmentation, 2, grid) == Expected(grid, {1}));
  }
}

TEST_CASE("a mask lands on the volume of its series, read from files in either slice order") {
  for (const double tilt : {0.0, 18.0}) {
    for (const bool descending : {false, true}) {
      const Grid grid = AsymmetricGrid(tilt);
      TemporaryFolder folder;
      WriteSeries(folder.path(), grid, descending);
      NoProgress progress;
      const auto read = volumes::ReadFolder(folder.path(), 1, progress);
      REQUIRE(read.ok());
      const auto stacks = FindStacks(read->series.at(0), {});
      REQUIRE(stacks.ok());
      WriteSegmentation(folder / "seg.dcm", grid, "BINARY",
                        {{2, 1, Corner(grid, 2)}, {0, 1, Corner(grid, 0)}}, 1);
      Segmentation segmentation = Opened(folder / "seg.dcm");
      CHECK(MaskOf(segmentation, 1, stacks->front().grid) == Expected(grid, {0, 2}));
    }
  }
}

TEST_CASE("on a volume with its slices in the other order the mask is turned with it") {
  const Grid grid = AsymmetricGrid(18);
  TemporaryFolder folder;
  WriteSegmentation(folder / "seg.dcm", grid, "BINARY", {{3, 1, Corner(grid, 3)}}, 1);
  Segmentation segmentation = Opened(folder / "seg.dcm");
  const auto voxels = MaskOf(segmentation, 1, ReversedSlices(grid));
  const auto plane = Corner(grid, 3);
  CHECK(std::equal(plane.begin(), plane.end(),
                   voxels.begin() + static_cast<std::ptrdiff_t>(1 * grid.PlaneCount())));
  CHECK(std::accumulate(voxels.begin(), voxels.end(), 0) == 4);
}

TEST_CASE("fractional segments count from their threshold on") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  WriteSegmentation(folder / "seg.dcm", grid, "FRACTIONAL",
                    {{0, 1, Corner(grid, 0, 99)}, {2, 1, Corner(grid, 2, 100)}}, 1);
  Segmentation segmentation = Opened(folder / "seg.dcm");
  CHECK(segmentation.kind() == Segmentation::Kind::kFractional);
  CHECK(MaskOf(segmentation, 1, grid) == Expected(grid, {2}));
  CHECK(segmentation.ReadMask(1, grid, kFrameOfReference, 0.1)->voxels == Expected(grid, {0, 2}));
}

TEST_CASE("a label map holds all segments in one frame") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  std::vector<std::uint8_t> both = Corner(grid, 1, 2);
  both.back() = 1;
  WriteSegmentation(folder / "seg.dcm", grid, "LABELMAP", {{1, 0, both}}, 2);
  Segmentation segmentation = Opened(folder / "seg.dcm");
  CHECK(segmentation.kind() == Segmentation::Kind::kLabelMap);
  CHECK(MaskOf(segmentation, 2, grid) == Expected(grid, {1}));
  const auto first = MaskOf(segmentation, 1, grid);
  CHECK(std::accumulate(first.begin(), first.end(), 0) == 1);
  CHECK(first[2 * grid.PlaneCount() - 1] == 1);
}

TEST_CASE("a segmentation of half the pixel spacing marks the voxels at its pixels") {
  const Grid grid = AsymmetricGrid();
  Grid fine = grid;
  fine.size = {17, 13, 5};
  fine.spacing_mm = {grid.spacing_mm[0] / 2, grid.spacing_mm[1] / 2, grid.spacing_mm[2]};
  std::vector<std::uint8_t> pixels(fine.PlaneCount());
  for (const auto& [column, row] : {std::pair{2, 4}, {4, 4}, {4, 6}, {2, 0}}) {
    pixels[static_cast<std::size_t>(row * 17 + column)] = 1;
  }
  TemporaryFolder folder;
  WriteSegmentation(folder / "seg.dcm", fine, "BINARY", {{1, 1, pixels}}, 1);
  Segmentation segmentation = Opened(folder / "seg.dcm");
  CHECK(MaskOf(segmentation, 1, grid) == Expected(grid, {1}));
}

TEST_CASE("what does not lie on the volume is refused, and never cut off in silence") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  WriteSegmentation(folder / "seg.dcm", grid, "BINARY", {{4, 1, Corner(grid, 4)}}, 1);
  Segmentation segmentation = Opened(folder / "seg.dcm");
  const auto reason = [&](const Grid& on, const char* frame = kFrameOfReference) {
    const auto mask = segmentation.ReadMask(1, on, frame);
    REQUIRE_FALSE(mask.ok());
    return mask.refused().reason;
  };
  Grid other = grid;
  other.size[2] = 4;
  CHECK(reason(other) == Refusal::kOutsideVolume);
  other = grid;
  other.size[1] = 3;
  CHECK(reason(other) == Refusal::kOutsideVolume);
  other = grid;
  std::swap(other.directions[1], other.directions[2]);
  CHECK(reason(other) == Refusal::kOutsideVolume);
  CHECK(reason(grid, "1.2.3") == Refusal::kOtherFrameOfReference);
  CHECK(segmentation.ReadMask(7, grid, kFrameOfReference).refused().reason ==
        Refusal::kNoReference);
}

TEST_CASE("files that are no sound segmentation are refused") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  const auto reason = [&](const std::string& type, const Change& change) {
    WriteSegmentation(folder / "seg.dcm", grid, type, {{4, 1, Corner(grid, 4)}}, 1, change);
    const auto segmentation = Segmentation::Open(folder / "seg.dcm");
    REQUIRE_FALSE(segmentation.ok());
    return segmentation.refused().reason;
  };
  CHECK(reason("MAGIC", {}) == Refusal::kUnsupportedTarget);
  CHECK(reason("BINARY", [](DcmItem& item) { Put(item, 0x0028, 0x0008, "2"); }) ==
        Refusal::kDamaged);
  CHECK(reason("BINARY", [](DcmItem& item) { Put(item, 0x0028, 0x0008, "2000000000"); }) !=
        Refusal::kNone);
  WriteSlice(folder / "slice.dcm", grid, 0, 1);
  CHECK(Segmentation::Open(folder / "slice.dcm").refused().reason == Refusal::kUnsupportedTarget);
}

TEST_CASE("highdicom's segmentation of one CT slice lands on that slice") {
  const auto folder = SharedData("dicom/highdicom_seg_sr_sm");
  if (!folder) return;
  const auto image = volumes::ReadInstance(*folder / "ct_image.dcm");
  REQUIRE(image.ok());
  volumes::StackOptions options;
  options.fewest_slices = 1;
  const auto stacks = FindStacks(*image, options);
  REQUIRE(stacks.ok());
  Segmentation segmentation = Opened(*folder / "seg_image_ct_binary_single_frame.dcm");
  const auto mask =
      segmentation.ReadMask(segmentation.segments().at(0).number, stacks->front().grid,
                            image->slices[0].frame_of_reference);
  INFO((mask.ok() ? std::string() : mask.refused().detail));
  REQUIRE(mask.ok());
  const auto count = std::accumulate(mask->voxels.begin(), mask->voxels.end(), std::size_t{0});
  CHECK(count == 1832);  // pydicom counts as many
  CHECK(mask->voxels[6 * 128 + 57] == 1);
  CHECK(mask->voxels[6 * 128 + 56] == 0);
}

}  // namespace
}  // namespace consilium::datasets::targets
