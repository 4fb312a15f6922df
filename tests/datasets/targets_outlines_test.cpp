// What is drawn as a radiotherapy structure set teaches as a segmentation of the same voxels does.

#include <algorithm>
#include <numeric>

#include "datasets/site_data.h"
#include "datasets/targets/outlines.h"
#include "datasets/worker/sandboxed_reader.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/datasets/volumes_files.h"

namespace consilium::datasets {
namespace {

using volumes::Grid;

const Grid& TheGrid() {
  static const Grid grid = AsymmetricGrid();
  return grid;
}

// Region 1 on the slices 1 and 2, with a hole on the latter; region 3 on slice 4; nothing is drawn
// for region 2.
std::vector<DrawnContour> Drawn() {
  const auto rectangle = [](int region, double left, double top, double right, double bottom,
                            double slice) {
    const Grid& grid = TheGrid();
    return DrawnContour{
        region,
        {grid.ToPatient({left, top, slice}), grid.ToPatient({right, top, slice}),
         grid.ToPatient({right, bottom, slice}), grid.ToPatient({left, bottom, slice})}};
  };
  return {rectangle(1, 0.6, 0.6, 6.4, 4.4, 1), rectangle(1, 1.6, 0.6, 6.4, 5.4, 2),
          rectangle(1, 2.6, 1.6, 4.4, 3.4, 2), rectangle(3, 4.6, 2.6, 7.4, 5.4, 4)};
}

void PutInstances(DcmItem& list, unsigned group, unsigned element) {
  for (std::uint32_t number = 1; number <= TheGrid().size[2]; ++number) {
    Put(NewItem(list, group, element), 0x0008, 0x1155, "1.2.826.4." + std::to_string(number));
  }
}

void WriteDrawn(const fs::path& path) {
  WriteStructureSet(path, Drawn(), [](DcmItem& set) {
    DcmItem& study = NewItem(NewItem(set, 0x3006, 0x0010), 0x3006, 0x0012);
    PutInstances(NewItem(study, 0x3006, 0x0014), 0x3006, 0x0016);
  });
}

// The same voxels, as segments 1 and 2.
void WriteSegmented(const fs::path& path, const fs::path& drawn) {
  auto set = targets::StructureSet::Open(drawn);
  REQUIRE(set.ok());
  std::vector<SegFrame> frames;
  for (const int segment : {1, 2}) {
    const auto mask = set->ReadMask(segment == 1 ? 1 : 3, TheGrid(), kFrameOfReference);
    REQUIRE(mask.ok());
    const std::size_t plane = TheGrid().PlaneCount();
    for (std::uint32_t slice = 0; slice < TheGrid().size[2]; ++slice) {
      const auto first = mask->voxels.begin() + static_cast<std::ptrdiff_t>(slice * plane);
      frames.push_back({slice, segment, {first, first + static_cast<std::ptrdiff_t>(plane)}});
    }
  }
  WriteSegmentation(path, TheGrid(), "BINARY", frames, 2, [](DcmItem& image) {
    PutInstances(NewItem(image, 0x0008, 0x1115), 0x0008, 0x114a);
  });
}

struct Site {
  explicit Site(bool structure_set) {
    REQUIRE(EnsureFolder(images).ok());
    WriteSeries(images, TheGrid(), /*descending=*/false);
    WriteDrawn(folder / "drawn.dcm");
    if (structure_set) {
      WriteDrawn(images / "outlines.dcm");
    } else {
      WriteSegmented(images / "outlines.dcm", folder / "drawn.dcm");
    }
  }

  // Every example's mask; examples come in an order of the site's own, so sorted.
  absl::StatusOr<std::vector<std::vector<float>>> Masks(
      std::vector<std::string> structures, const plan::Preprocessing& preprocessing,
      const std::shared_ptr<ImageReader>& reader) const {
    NoProgress progress;
    auto catalog = Catalog::Open(folder / "catalog.db");
    REQUIRE(catalog.ok());
    REQUIRE(catalog->Index(images, {}, *reader, progress).ok());
    plan::Target target;
    target.task = Task::kSegmentation;
    target.name = "structures";
    target.classes = std::move(structures);
    SiteDataOptions options;
    options.cache_folder = folder / "cache";
    options.reader = reader;
    const auto data = SiteData::Open(*catalog, target, {}, preprocessing, options, progress);
    if (!data.ok()) return data.status();
    const auto examples = data->AllExamples();
    std::vector<std::vector<float>> masks;
    for (std::size_t i = 0; i < examples->size(); ++i) {
      masks.emplace_back(examples->target_elements());
      examples->GetTarget(i, masks.back());
    }
    std::sort(masks.begin(), masks.end());
    return masks;
  }

  TemporaryFolder folder;
  fs::path images = folder / "images";
};

plan::Preprocessing Preprocessing(std::uint32_t slices) {
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 16;
  preprocessing.slices = slices;
  return preprocessing;
}

std::shared_ptr<ImageReader> Reader(bool sandboxed) {
  if (sandboxed) return SandboxedReader::Create({.workers = 1}).value();
  return ReadInThisProcess();
}

float Sum(const std::vector<float>& mask) {
  return std::accumulate(mask.begin(), mask.end(), 0.0f);
}

TEST_CASE("slices and volumes learn from a structure set what they learn from a segmentation") {
  const bool sandboxed = GENERATE(false, true);
  const std::uint32_t slices = GENERATE(0u, 8u);
  const Site drawn(true), segmented(false);
  const auto of_set =
      drawn.Masks({"Region 1", "region 3"}, Preprocessing(slices), Reader(sandboxed));
  const auto of_segments =
      segmented.Masks({"segment 1", "segment 2"}, Preprocessing(slices), Reader(sandboxed));
  REQUIRE(of_set.ok());
  REQUIRE(of_segments.ok());
  REQUIRE(of_set->size() == (slices == 0 ? 5 : 1));
  CHECK((*of_set == *of_segments));
  float drawn_pixels = 0;
  for (const auto& mask : *of_set) drawn_pixels += Sum(mask);
  CHECK(drawn_pixels > 0);
  if (slices > 0) return;
  // A slice that the set covers and on which nothing is drawn shows nothing; it is no gap.
  CHECK(std::count_if(of_set->begin(), of_set->end(),
                      [](const auto& mask) { return Sum(mask) == 0; }) == 2);
}

TEST_CASE("a region that nobody drew teaches nothing, and says what is missing") {
  const Site drawn(true);
  const auto masks = drawn.Masks({"region 2"}, Preprocessing(0), Reader(false));
  REQUIRE_FALSE(masks.ok());
  CHECK_THAT(std::string(masks.status().message()), ContainsText("outlines a structure"));
}

TEST_CASE("contours on an image that does not say where it lies are refused") {
  TemporaryFolder folder;
  WriteDrawn(folder / "drawn.dcm");
  auto outlines = targets::Outlines::Open(folder / "drawn.dcm");
  REQUIRE(outlines.ok());
  REQUIRE(outlines->structures().size() == 2);
  CHECK(outlines->structures()[1].number == 3);
  CHECK(outlines->referenced_instances().size() == TheGrid().size[2]);
  targets::ImagePlane image{"1.2.826.4.1", 0, 7, 9, {}, kFrameOfReference};
  CHECK(outlines->ReadPlane(1, image).refused().reason == Refusal::kNoGeometry);
  image.grid = TheGrid();
  image.grid->size[2] = 1;
  image.frame_of_reference = "1.2.3";
  CHECK(outlines->ReadPlane(1, image).refused().reason == Refusal::kOtherFrameOfReference);
}

}  // namespace
}  // namespace consilium::datasets
