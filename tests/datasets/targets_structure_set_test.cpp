#include <numeric>

#include "datasets/targets/structure_set.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::targets {
namespace {

using volumes::Grid;

DrawnContour Rectangle(const Grid& grid, int region, double left, double top, double right,
                       double bottom, double slice) {
  return {region,
          {grid.ToPatient({left, top, slice}), grid.ToPatient({right, top, slice}),
           grid.ToPatient({right, bottom, slice}), grid.ToPatient({left, bottom, slice})}};
}

TEST_CASE("a structure set's regions are drawn onto the volume, holes left out") {
  for (const Grid& grid : {AsymmetricGrid(20), ReversedSlices(AsymmetricGrid(20))}) {
    TemporaryFolder folder;
    WriteStructureSet(
        folder / "rt.dcm",
        {Rectangle(grid, 1, 0.6, 0.6, 6.4, 4.4, 2), Rectangle(grid, 1, 2.6, 1.6, 4.4, 3.4, 2),
         Rectangle(grid, 1, 0.6, 0.6, 2.4, 1.4, 4), Rectangle(grid, 2, 0.6, 0.6, 1.4, 1.4, 0)});
    const auto set = StructureSet::Open(folder / "rt.dcm");
    REQUIRE(set.ok());
    REQUIRE(set->regions().size() == 2);
    CHECK(set->regions()[1].number == 2);
    CHECK(set->regions()[1].name == "region 2");
    CHECK(set->regions()[1].interpreted_type == "ORGAN");
    CHECK(set->referenced_series() == std::vector<std::string>{"1.2.826.3"});
    const auto mask = set->ReadMask(1, grid, kFrameOfReference);
    REQUIRE(mask.ok());
    const auto at = [&](std::uint32_t column, std::uint32_t row, std::uint32_t slice) {
      return mask->voxels[(slice * 7 + row) * 9 + column];
    };
    CHECK(at(1, 1, 2) == 1);
    CHECK(at(6, 4, 2) == 1);
    CHECK(at(3, 2, 2) == 0);
    CHECK(at(4, 3, 2) == 0);
    CHECK(at(2, 1, 4) == 1);
    CHECK(at(1, 1, 0) == 0);
    CHECK(std::accumulate(mask->voxels.begin(), mask->voxels.end(), 0) == 6 * 4 - 4 + 2);
  }
}

TEST_CASE("regions that make no mask are refused with their reason") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  DrawnContour points = Rectangle(grid, 1, 1, 1, 3, 3, 1);
  points.type = "POINT";
  WriteStructureSet(folder / "rt.dcm", {points, Rectangle(grid, 3, 1, 1, 3, 3, 1)});
  const auto set = StructureSet::Open(folder / "rt.dcm");
  REQUIRE(set.ok());
  const auto reason = [&](int region, const char* frame) {
    return set->ReadMask(region, grid, frame).refused().reason;
  };
  CHECK(reason(1, kFrameOfReference) == Refusal::kUnsupportedTarget);
  CHECK(reason(2, kFrameOfReference) == Refusal::kUnsupportedTarget);  // nothing drawn
  CHECK(reason(9, kFrameOfReference) == Refusal::kNoReference);
  CHECK(reason(3, "1.2.3") == Refusal::kOtherFrameOfReference);
  CHECK(set->ReadMask(3, grid, kFrameOfReference).ok());
}

TEST_CASE("a contour whose data is no points, and a file that is no structure set, are refused") {
  const Grid grid = AsymmetricGrid();
  TemporaryFolder folder;
  WriteStructureSet(folder / "rt.dcm", {Rectangle(grid, 1, 1, 1, 3, 3, 1)}, [](DcmItem& set) {
    DcmItem& drawn = NewItem(set, 0x3006, 0x0039);
    Put(drawn, 0x3006, 0x0084, "2");
    Put(NewItem(set, 0x3006, 0x0020), 0x3006, 0x0022, "2");
    DcmItem& contour = NewItem(drawn, 0x3006, 0x0040);
    Put(contour, 0x3006, 0x0042, "CLOSED_PLANAR");
    Put(contour, 0x3006, 0x0050, "1\\2\\3\\4");
  });
  const auto set = StructureSet::Open(folder / "rt.dcm");
  REQUIRE(set.ok());
  CHECK(set->ReadContours(2).refused().reason == Refusal::kDamaged);
  CHECK(set->ReadContours(1)->size() == 1);
  WriteSlice(folder / "slice.dcm", grid, 0, 1);
  CHECK(StructureSet::Open(folder / "slice.dcm").refused().reason == Refusal::kUnsupportedTarget);
  CHECK(StructureSet::Open(folder / "none.dcm").refused().reason == Refusal::kUnreadable);
}

}  // namespace
}  // namespace consilium::datasets::targets
