// Targets read in a sandboxed worker are those read in this process.

#include "datasets/targets/target_message.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets::targets {
namespace {

std::unique_ptr<worker::WorkerPool> Pool() {
  auto pool = worker::WorkerPool::Create({.workers = 1});
  INFO(pool.status().ToString());
  REQUIRE(pool.ok());
  return *std::move(pool);
}

volumes::Grid SmallGrid() {
  volumes::Grid grid;
  grid.size = {5, 4, 3};
  return grid;
}

template <class T>
void CheckSame(const OrRefused<T>& sandboxed, const OrRefused<T>& here) {
  REQUIRE(sandboxed.ok() == here.ok());
  if (here.ok()) {
    CHECK(Encode(*sandboxed) == Encode(*here));
  } else {
    CHECK(sandboxed.refused().reason == here.refused().reason);
  }
}

OrRefused<SegmentationSummary> SegmentationHere(const fs::path& path) {
  const auto read = Segmentation::Open(path);
  if (!read.ok()) return read.refused();
  return SegmentationSummary{read->kind(), read->segments(), read->referenced_series(),
                             read->frame_of_reference(), read->referenced_instances()};
}

OrRefused<StructureSetSummary> StructureSetHere(const fs::path& path) {
  const auto read = StructureSet::Open(path);
  if (!read.ok()) return read.refused();
  return StructureSetSummary{read->regions(), read->referenced_series()};
}

}  // namespace

TEST_CASE("Masks of segments and regions come out of the sandbox as out of this process") {
  const TemporaryFolder folder;
  const fs::path seg = folder / "seg.dcm", structures = folder / "rtstruct.dcm";
  std::vector<std::uint8_t> pixels(20, 0);
  pixels[7] = pixels[13] = 1;
  WriteSegmentation(seg, SmallGrid(), "BINARY", {{1, 1, pixels}, {2, 2, pixels}}, 2);
  WriteStructureSet(structures, {{1, {{0, 0, 1}, {3, 0, 1}, {3, 3, 1}, {0, 3, 1}}}});
  const auto pool = Pool();
  CheckSame(ReadSegmentation(*pool, seg), SegmentationHere(seg));
  CheckSame(ReadStructureSet(*pool, structures), StructureSetHere(structures));

  const auto segment = ReadSegment(*pool, seg, 2, SmallGrid(), kFrameOfReference);
  REQUIRE(segment.ok());
  CHECK(segment->voxels ==
        Segmentation::Open(seg)->ReadMask(2, SmallGrid(), kFrameOfReference)->voxels);
  CHECK(std::count(segment->voxels.begin(), segment->voxels.end(), 1) == 2);
  const auto region = ReadRegion(*pool, structures, 1, SmallGrid(), kFrameOfReference);
  REQUIRE(region.ok());
  CHECK(region->voxels ==
        StructureSet::Open(structures)->ReadMask(1, SmallGrid(), kFrameOfReference)->voxels);
  CHECK(std::count(region->voxels.begin(), region->voxels.end(), 1) > 0);

  CHECK(ReadSegment(*pool, seg, 9, SmallGrid(), kFrameOfReference).refused().reason ==
        Refusal::kNoReference);
  CHECK(ReadSegment(*pool, seg, 1, SmallGrid(), "1.2.3").refused().reason ==
        Refusal::kOtherFrameOfReference);
  CHECK(ReadSegment(*pool, seg, 1, volumes::Grid(), kFrameOfReference).refused().reason ==
        Refusal::kNoGeometry);
}

TEST_CASE("A report comes out of the sandbox as out of this process") {
  const TemporaryFolder folder;
  const fs::path path = folder / "sr.dcm";
  WriteReport(path, "12.5");
  const auto pool = Pool();
  const auto report = ReadReport(*pool, path);
  REQUIRE(report.ok());
  REQUIRE(report->groups.size() == 1);
  CHECK(report->groups[0].measurements.at(0).value == 12.5);
  CheckSame(report, ReadReport(path));
}

TEST_CASE("All shared targets are read in the sandbox as in this process") {
  const auto folder = SharedData("dicom/highdicom_seg_sr_sm");
  if (!folder) return;
  const auto pool = Pool();
  int targets = 0;
  for (const auto& entry : fs::recursive_directory_iterator(*folder)) {
    if (!entry.is_regular_file()) continue;
    INFO(entry.path().filename());
    const auto segmentation = ReadSegmentation(*pool, entry.path());
    const auto report = ReadReport(*pool, entry.path());
    CheckSame(segmentation, SegmentationHere(entry.path()));
    CheckSame(ReadStructureSet(*pool, entry.path()), StructureSetHere(entry.path()));
    CheckSame(report, ReadReport(entry.path()));
    targets += segmentation.ok() + report.ok();
  }
  CHECK(targets > 5);
}

TEST_CASE("A target's message that is cut short or counts beyond its end is none") {
  const TemporaryFolder folder;
  const fs::path path = folder / "sr.dcm";
  WriteReport(path, "12.5");
  const Bytes message = Encode(*ReadReport(path));
  REQUIRE(DecodeReport(message));
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK_FALSE(DecodeReport(ByteView(message).first(size)));
  }
  CHECK_FALSE(DecodeSegmentation(Bytes(64, 0xff)));
  CHECK_FALSE(DecodeStructureSet(Bytes(64, 0xff)));
}

}  // namespace consilium::datasets::targets
