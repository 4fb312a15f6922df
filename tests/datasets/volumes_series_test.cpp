#include "datasets/volumes/series.h"

#include <algorithm>
#include <cmath>

#include "common/base/progress.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

// DCMTK's configuration comes before its other headers.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

namespace consilium::datasets::volumes {
namespace {

FolderOfSeries Read(const fs::path& folder) {
  NoProgress progress;
  auto read = ReadFolder(folder, 2, progress);
  REQUIRE(read.ok());
  return *std::move(read);
}

std::vector<Stack> StacksOf(const Series& series) {
  auto stacks = FindStacks(series, {});
  INFO((stacks.ok() ? std::string() : stacks.refused().detail));
  REQUIRE(stacks.ok());
  return std::move(*stacks);
}

Volume Load(const Stack& stack, StackOptions::Tilt tilt = StackOptions::Tilt::kKeep) {
  StackOptions options;
  options.tilt = tilt;
  auto volume = LoadVolume(stack, options, -1000);
  INFO((volume.ok() ? std::string() : volume.refused().detail));
  REQUIRE(volume.ok());
  return std::move(*volume);
}

TEST_CASE("a series' files make the volume they were, whatever their names and instance numbers") {
  for (const double tilt : {0.0, 18.0}) {
    for (const bool descending : {false, true}) {
      TemporaryFolder folder;
      const Grid grid = AsymmetricGrid(tilt);
      WriteSeries(folder.path(), grid, descending);
      const FolderOfSeries read = Read(folder.path());
      REQUIRE(read.series.size() == 1);
      CHECK(read.series[0].modality == "CT");
      const std::vector<Stack> stacks = StacksOf(read.series[0]);
      REQUIRE(stacks.size() == 1);
      CHECK(stacks[0].tilted == (tilt > 0));
      const Volume volume = Load(stacks[0]);
      CHECK(LargestDistance(volume.grid, grid) < 1e-5);
      CHECK(volume.voxels == VolumeOf(grid).voxels);
      CHECK(volume.frame_of_reference == kFrameOfReference);
      CHECK(stacks[0].slices[0].instance == (descending ? "1.2.826.4.5" : "1.2.826.4.1"));
    }
  }
}

TEST_CASE("frames of an enhanced image go where their functional groups say") {
  TemporaryFolder folder;
  const Grid grid = AsymmetricGrid(-11);
  WriteEnhanced(folder / "enhanced.dcm", grid, {3, 0, 4, 1, 2}, {0, 0, 0, 0, 0});
  const std::vector<Stack> stacks = StacksOf(Read(folder.path()).series.at(0));
  REQUIRE(stacks.size() == 1);
  const Volume volume = Load(stacks[0]);
  CHECK(LargestDistance(volume.grid, grid) < 1e-5);
  CHECK(volume.voxels == VolumeOf(grid).voxels);
  CHECK(stacks[0].slices[0].frame == 2);
}

TEST_CASE("an enhanced image of two b-values makes two volumes") {
  TemporaryFolder folder;
  const Grid grid = AsymmetricGrid();
  WriteEnhanced(folder / "enhanced.dcm", grid, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4},
                {800, 50, 50, 800, 800, 50, 50, 800, 800, 50});
  const std::vector<Stack> stacks = StacksOf(Read(folder.path()).series.at(0));
  REQUIRE(stacks.size() == 2);
  CHECK(stacks[0].what == "b-value 50");
  CHECK(stacks[1].what == "b-value 800");
  CHECK(Load(stacks[0]).voxels == VolumeOf(grid).voxels);
  CHECK(Load(stacks[1]).voxels == VolumeOf(grid).voxels);
}

TEST_CASE("a copy of an instance is left out; a report and a text file belong to no series") {
  TemporaryFolder folder;
  WriteSeries(folder.path(), AsymmetricGrid(), false);
  fs::copy_file(folder / "3.dcm", folder / "copy.dcm");
  WriteReport(folder / "report.dcm", "1.5");
  REQUIRE(WriteFileDurably(folder / "notes.txt", std::string_view("nothing to see")).ok());
  const FolderOfSeries read = Read(folder.path());
  CHECK(read.files == 8);
  REQUIRE(read.series.size() == 1);
  CHECK(StacksOf(read.series[0])[0].slices.size() == 5);
  CHECK(read.refused == std::map<Refusal, std::uint64_t>{{Refusal::kNotDicom, 1},
                                                         {Refusal::kNoPixelData, 1},
                                                         {Refusal::kDuplicateInstance, 1}});
}

TEST_CASE("files whose UIDs were emptied are of one series when they lie in one folder") {
  TemporaryFolder folder;
  const Grid grid = AsymmetricGrid();
  for (const char* part : {"a", "b"}) {
    fs::create_directory(folder / part);
    for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
      WriteSlice(folder / part / std::to_string(k), grid, k, 1, [](DcmItem& item) {
        Put(item, 0x0008, 0x0018, "");
        Put(item, 0x0020, 0x000e, "");
      });
    }
  }
  const FolderOfSeries read = Read(folder.path());
  REQUIRE(read.series.size() == 2);
  CHECK(Load(StacksOf(read.series[1])[0]).voxels == VolumeOf(grid).voxels);
}

TEST_CASE("a series with a slice missing, a localiser or no positions is refused with its reason") {
  const Grid grid = AsymmetricGrid();
  const auto refusal = [&](std::uint32_t slice, const Change& change) {
    TemporaryFolder folder;
    WriteSeries(folder.path(), grid, false);
    fs::remove(folder / "3.dcm");
    if (change) WriteSlice(folder / "3.dcm", grid, slice, 3, change);
    const auto stacks = FindStacks(Read(folder.path()).series.at(0), {});
    REQUIRE_FALSE(stacks.ok());
    return stacks.refused().reason;
  };
  CHECK(refusal(2, {}) == Refusal::kMissingSlices);
  CHECK(refusal(1, [](DcmItem&) {}) == Refusal::kDuplicatePosition);
  CHECK(refusal(2, [](DcmItem& item) { Put(item, 0x0020, 0x0037, "1\\0\\0\\0\\1\\0"); }) ==
        Refusal::kMixedOrientations);
  CHECK(refusal(2, [](DcmItem& item) {
          Put(item, 0x0008, 0x0008, "ORIGINAL\\PRIMARY\\LOCALIZER");
        }) == Refusal::kMixedOrientations);
  CHECK(refusal(2, [](DcmItem& item) { Put(item, 0x0028, 0x0030, "1\\1"); }) ==
        Refusal::kMixedSizes);
  CHECK(refusal(2, [](DcmItem& item) { item.findAndDeleteElement(DCM_ImagePositionPatient); }) ==
        Refusal::kNoGeometry);
}

TEST_CASE("a PET becomes uptake values by what its header says") {
  TemporaryFolder folder;
  const Grid grid = AsymmetricGrid();
  for (std::uint32_t k = 0; k < grid.size[2]; ++k) {
    WriteSlice(folder / std::to_string(k), grid, k, static_cast<int>(k + 1), [&](DcmItem& item) {
      Put(item, 0x0008, 0x0060, "PT");
      Put(item, 0x0054, 0x1001, "BQML");
      Put(item, 0x0028, 0x0051, "DECY\\ATTN");
      Put(item, 0x0054, 0x1102, "START");
      Put(item, 0x0010, 0x1030, "80");
      Put(item, 0x0008, 0x0021, "20240301");
      Put(item, 0x0008, 0x0031, "001000");
      Put(item, 0x0008, 0x0022, "20240301");
      Put(item, 0x0008, 0x0032, "00" + std::to_string(12 + k) + "00");
      DcmItem& dose = NewItem(item, 0x0054, 0x0016);
      Put(dose, 0x0018, 0x1072, "231000");
      Put(dose, 0x0018, 0x1074, "400000000");
      Put(dose, 0x0018, 0x1075, "3600");
    });
  }
  const FolderOfSeries read = Read(folder.path());
  Volume volume = Load(StacksOf(read.series.at(0))[0]);
  REQUIRE_FALSE(ToSuv(read.series[0], &volume).has_value());
  // An hour is one half-life here: 80 kg over 200 MBq.
  CHECK(volume.At(3, 2, 1) == Approx(ValueAt(3, 2, 1) * 80e3 / 200e6));
}

TEST_CASE("the CT series of the shared data is a volume, two millimetres from slice to slice") {
  const auto folder = SharedData("dicom/series_ct_totalsegmentator");
  if (!folder) return;
  const FolderOfSeries read = Read(*folder);
  REQUIRE(read.series.size() == 1);
  const std::vector<Stack> stacks = StacksOf(read.series[0]);
  REQUIRE(stacks.size() == 1);
  const Grid& grid = stacks[0].grid;
  CHECK(grid.size == std::array<std::uint32_t, 3>{512, 512, 20});
  CHECK(grid.spacing_mm[0] == Approx(0.9765625));
  CHECK(grid.spacing_mm[2] == Approx(2));
  CHECK(grid.directions[2][2] == Approx(1));
  const Volume volume = Load(stacks[0]);
  const auto [least, most] = std::minmax_element(volume.voxels.begin(), volume.voxels.end());
  CHECK(*least >= -8192);
  CHECK(*least <= -900);  // air
  CHECK(*most > 300);     // bone
}

TEST_CASE("the oblique MR series of the shared data is a straight volume") {
  const auto folder = SharedData("dicom/series_mr_prostate_adc");
  if (!folder) return;
  const FolderOfSeries read = Read(*folder);
  REQUIRE(read.series.size() == 1);
  const std::vector<Stack> stacks = StacksOf(read.series[0]);
  REQUIRE(stacks.size() == 1);
  const Grid& grid = stacks[0].grid;
  CHECK_FALSE(stacks[0].tilted);
  CHECK(grid.size[2] == 20);
  CHECK(grid.spacing_mm[2] == Approx(3).margin(0.001));
  CHECK(grid.origin[2] == Approx(-43.9748));
}

}  // namespace
}  // namespace consilium::datasets::volumes
