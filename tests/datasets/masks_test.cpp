// Masks from SEG objects, from the files on disk to what a dataset gives.

#include <cmath>

#include "datasets/dicom/writer.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/site_data.h"
#include "datasets/targets/image_mask.h"
#include "datasets/worker/sandboxed_reader.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::datasets {
namespace {

constexpr std::uint32_t kRows = 24, kColumns = 32;
constexpr Time kNow{};

// A drawn object in the left or right half, and a mask that is not symmetric in any way.
bool InMask(std::uint32_t row, std::uint32_t column) {
  return column >= 5 && column < 13 && row >= 4 && row < 4 + (column - 3);
}

struct Site {
  TemporaryFolder folder;
  fs::path images = folder / "images";

  void WriteImage(const std::string& name, int samples, double spacing) const {
    dicom::NewInstance image{.modality = "MR", .patient_id = "P-" + name};
    image.study_instance_uid = dicom::MakeUid("study" + name);
    image.series_instance_uid = dicom::MakeUid("series" + name);
    image.sop_instance_uid = dicom::MakeUid("image" + name);
    image.rows = kRows;
    image.columns = kColumns;
    image.samples = samples;
    image.bits_stored = 8;
    image.row_spacing_mm = image.column_spacing_mm = spacing;
    for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
      for (int sample = 0; sample < samples; ++sample) {
        image.values.push_back(InMask(i / kColumns, i % kColumns) ? 200 + 10 * sample : 5 + sample);
      }
    }
    REQUIRE(EnsureFolder(images).ok());
    REQUIRE(dicom::WriteFile(images / (name + ".dcm"), image).ok());
  }

  void WriteMask(const std::string& name, std::vector<std::string> labels, bool empty) const {
    const auto source = results::ReadSourceImage(images / (name + ".dcm"));
    REQUIRE(source.ok());
    results::NewSegmentation segmentation;
    segmentation.planes = results::PlanesOf(*source);
    segmentation.manual = true;
    for (const std::string& label : labels) {
      results::NewSegment segment{.label = label,
                                  .category = {"49755003", "SCT", "Altered Structure"},
                                  .type = {"49755003", "SCT", "Altered Structure"}};
      for (std::uint32_t i = 0; i < kRows * kColumns; ++i) {
        const bool inside = InMask(i / kColumns, i % kColumns);
        // The second structure: the mask's upper rows.
        const bool part = segmentation.segments.empty() || i / kColumns < 6;
        segment.voxels.push_back(!empty && inside && part);
      }
      segmentation.segments.push_back(std::move(segment));
    }
    const results::ResultName names{dicom::MakeUid("mask" + name), dicom::MakeUid("masks" + name),
                                    2, 1};
    REQUIRE(results::WriteSegmentation(images / (name + "-mask.dcm"), *source, {.name = "test"},
                                       names, segmentation, kNow)
                .ok());
  }

  Catalog Index(ImageReader& reader) const {
    auto catalog = Catalog::Open(folder / "catalog.db");
    REQUIRE(catalog.ok());
    NoProgress progress;
    REQUIRE(catalog->Index(images, {}, reader, progress).ok());
    return *std::move(catalog);
  }

  absl::StatusOr<SiteData> Open(Catalog& catalog, const plan::Target& target,
                                const plan::Preprocessing& preprocessing,
                                std::shared_ptr<ImageReader> reader) const {
    NoProgress progress;
    SiteDataOptions options;
    options.cache_folder = folder / "cache";
    options.threads = 2;
    options.reader = std::move(reader);
    return SiteData::Open(catalog, target, {}, preprocessing, options, progress);
  }
};

plan::Target Segmenting(std::vector<std::string> structures) {
  plan::Target target;
  target.task = Task::kSegmentation;
  target.name = "structures";
  target.classes = std::move(structures);
  return target;
}

}  // namespace

TEST_CASE("A mask is where its structure is seen, after crop, mirroring and resampling") {
  const int samples = GENERATE(1, 3);  // 3: a Secondary Capture without geometry
  Site site;
  site.WriteImage("a", samples, 2);
  site.WriteMask("a", {"Tumour"}, false);
  const std::shared_ptr<ImageReader> reader = ReadInThisProcess();
  Catalog catalog = site.Index(*reader);
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 32;
  preprocessing.standardize = false;
  preprocessing.channel = samples == 3 ? plan::Channel::kRgb : plan::Channel::kLuminance;
  SECTION("the whole image") {}
  SECTION("resampled to other pixels") { preprocessing.spacing_mm = 1; }
  SECTION("cropped to the object") { preprocessing.crop = plan::Crop::kForeground; }
  SECTION("cropped and turned") {
    preprocessing.crop = plan::Crop::kForeground;
    preprocessing.face_left = true;
  }
  const auto data = site.Open(catalog, Segmenting({"tumour"}), preprocessing, reader);
  REQUIRE(data.ok());
  const auto examples = data->AllExamples();
  REQUIRE(examples->size() == 1);
  CHECK(examples->input_shape().channels == static_cast<std::uint32_t>(samples));
  CHECK(examples->target_elements() == 32 * 32);
  std::vector<float> input(examples->input_shape().Elements()), mask(32 * 32);
  examples->Get(0, input);
  examples->GetTarget(0, mask);
  // What is bright is the structure, but for pixels on the edge that show both.
  int inside = 0, edge = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (input[i] > 0.1 && input[i] < 0.9) {
      ++edge;
      continue;
    }
    CHECK(mask[i] == (input[i] >= 0.9 ? 1.0f : 0.0f));
    inside += mask[i] == 1;
  }
  CHECK(inside > 30);
  CHECK(edge < 400);
  CHECK(examples->spacing_mm(0) > 0);
  CHECK(data->summary().total.positives == 1);
}

TEST_CASE("A covered slice without the structure is an empty mask; an uncovered one no example") {
  Site site;
  site.WriteImage("covered", 1, 1);
  site.WriteMask("covered", {"tumour"}, true);
  site.WriteImage("uncovered", 1, 1);
  site.WriteImage("other", 1, 1);
  site.WriteMask("other", {"oedema"}, false);
  const std::shared_ptr<ImageReader> reader = ReadInThisProcess();
  Catalog catalog = site.Index(*reader);
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 16;
  const auto data = site.Open(catalog, Segmenting({"tumour"}), preprocessing, reader);
  REQUIRE(data.ok());
  CHECK(data->summary().total.examples == 1);
  CHECK(data->summary().total.positives == 0);
  CHECK(data->summary().refusals.at(Refusal::kNoMask) == 2);
  CHECK(data->summary().refusals.at(Refusal::kNotForTraining) == 2);  // the SEG objects themselves
  const auto none = site.Open(catalog, Segmenting({"cyst"}), preprocessing, reader);
  CHECK(absl::IsFailedPrecondition(none.status()));
}

TEST_CASE("A catalog holds neither words of labels nor labels of segments nor what they are of") {
  Site site;
  site.WriteImage("a", 1, 1);
  site.WriteMask("a", {"Roe metastasis"}, false);
  REQUIRE(WriteFileDurably(site.images / "labels.csv", "patient_id,kind\nP-a,roe_jane\n").ok());
  site.Index(*ReadInThisProcess());
  std::string bytes;
  for (const std::string name : {"catalog.db", "catalog.db-wal"}) {
    if (Exists(site.folder / name)) bytes += *ReadTextFile(site.folder / name);
  }
  CHECK(bytes.find("kind") != std::string::npos);
  for (const std::string& identifier :
       {std::string("metastasis"), std::string("roe_jane"), dicom::MakeUid("imagea")}) {
    CHECK(bytes.find(identifier) == std::string::npos);
  }
}

TEST_CASE("Where structures overlap the later one of the plan counts") {
  Site site;
  site.WriteImage("a", 1, 1);
  site.WriteMask("a", {"whole", "top"}, false);
  const std::shared_ptr<ImageReader> reader = ReadInThisProcess();
  Catalog catalog = site.Index(*reader);
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 32;
  std::vector<float> mask(32 * 32);
  const auto at = [&](const std::vector<std::string>& structures) {
    const auto data = site.Open(catalog, Segmenting(structures), preprocessing, reader);
    REQUIRE(data.ok());
    data->AllExamples()->GetTarget(0, mask);
    return std::make_pair(std::count(mask.begin(), mask.end(), 1.0f),
                          std::count(mask.begin(), mask.end(), 2.0f));
  };
  const auto [whole, top] = at({"whole", "top"});
  CHECK(top > 0);
  CHECK(whole > 0);
  CHECK(at({"top", "whole"}) == std::make_pair(std::ptrdiff_t{0}, whole + top));
}

TEST_CASE("A sandboxed worker gives the same masks as this process") {
  Site site;
  site.WriteImage("a", 3, 1);
  site.WriteMask("a", {"tumour"}, false);
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 20;
  const std::vector<fs::path> files = {site.images / "a.dcm", site.images / "a-mask.dcm"};
  const auto here = ReadInThisProcess()->ReadMask(files, {"tumour"}, preprocessing);
  auto sandboxed = SandboxedReader::Create({.workers = 1});
  REQUIRE(sandboxed.ok());
  const auto there = (*sandboxed)->ReadMask(files, {"tumour"}, preprocessing);
  REQUIRE(here.ok());
  REQUIRE(there.ok());
  CHECK(there->structures == here->structures);
  CHECK(there->spacing_mm == here->spacing_mm);
  const auto contents = (*sandboxed)->ReadOutlines({&files[1], 1});
  REQUIRE(contents.at(0).ok());
  CHECK(contents.at(0)->labels == std::vector<std::string>{"tumour"});
  CHECK(contents.at(0)->instances == std::vector<std::string>{dicom::MakeUid("imagea")});
}

TEST_CASE("A grey image is refused where the plan wants colour") {
  Site site;
  site.WriteImage("a", 1, 1);
  plan::Preprocessing preprocessing;
  preprocessing.channel = plan::Channel::kRgb;
  const auto input = ReadInThisProcess()->ReadInput(site.images / "a.dcm", preprocessing);
  REQUIRE_FALSE(input.ok());
  CHECK(input.refused().reason == Refusal::kGreyImage);
}

TEST_CASE("Words are classes of a multiclass plan, columns labels of a multilabel one") {
  Site site;
  for (const std::string name : {"a", "b", "c"}) site.WriteImage(name, 1, 1);
  REQUIRE(WriteFileDurably(site.images / "labels.csv",
                           "patient_id,kind,x,y\nP-a,benign,1,\nP-b,malignant,0,1\nP-c,odd,,\n")
              .ok());
  const auto reader = ReadInThisProcess();
  Catalog catalog = site.Index(*reader);
  plan::Target kinds{.task = Task::kMulticlass, .name = "kind", .classes = {"malignant", "benign"}};
  const auto images = catalog.Images(kinds, {}, {});
  REQUIRE(images.ok());
  REQUIRE(images->size() == 2);
  CHECK(images->at(0).target == 1);
  CHECK(images->at(1).target == 0);
  CHECK(catalog.Refusals(kinds, {}, {})->at(Refusal::kUnwantedLabel) == 1);
  const plan::Target both{.task = Task::kMultilabel, .classes = {"x", "y"}};
  const auto labelled = catalog.Images(both, {}, {});
  REQUIRE(labelled.ok());
  REQUIRE(labelled->size() == 2);
  CHECK(labelled->at(0).labels[0] == 1);
  CHECK(std::isnan(labelled->at(0).labels[1]));
  CHECK(labelled->at(1).labels == std::vector<float>{0, 1});
  plan::Target binary;
  binary.name = "kind";
  const absl::Status refused = catalog.CheckTarget(binary);
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK_THAT(std::string(ToStd(refused.message())), ContainsText("\"kind\""));
  CHECK_THAT(std::string(ToStd(refused.message())), ContainsText("3 values"));
}

}  // namespace consilium::datasets
