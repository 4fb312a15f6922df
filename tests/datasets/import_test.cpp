#include "datasets/import.h"

#include "common/base/text.h"
#include "datasets/catalog.h"
#include "datasets/csv.h"
#include "datasets/dicom/reader.h"
#include "datasets/site_data.h"
#include "datasets/synthetic/hospital.h"
#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"
#include "tests/datasets/shared_data.h"

namespace consilium::datasets {
namespace {

std::string AllBytes(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string all;
  for (const fs::path& file : files) {
    const auto bytes = ReadTextFile(file);
    REQUIRE(bytes.ok());
    all += fs::relative(file, folder).string() + *bytes;
  }
  return all;
}

IndexReport Index(const fs::path& folder, const fs::path& catalog_file) {
  auto catalog = Catalog::Open(catalog_file);
  REQUIRE(catalog.ok());
  NoProgress progress;
  auto report = catalog->Index(folder, {}, *ReadInThisProcess(), progress);
  REQUIRE(report.ok());
  return *report;
}

}  // namespace

TEST_CASE("An imported PNG has its channel's values, its patients and its labels") {
  const auto from = SharedData("images/lgg_mri_tcga");
  if (!from) return;
  TemporaryFolder folder;
  ImportOptions options;
  options.from = *from;
  options.table = *from / "index.csv";
  options.image_column = "image";
  options.label_column = "has_tumour";
  options.patient_column = "patient";
  options.filters = {{"site", "CS"}};
  options.modality = "MR";
  options.target = "tumour";
  options.plane.channel = 1;
  options.out = folder / "out";
  NoProgress progress;
  const auto report = ImportImages(options, progress);
  REQUIRE(report.ok());
  CHECK(report->images == 111);
  const IndexReport index = Index(options.out, folder / "catalog.sqlite");
  CHECK(index.accepted == 111);
  CHECK(index.patients == report->patients);
  const auto plane = ReadPlane(*from / "site_CS/TCGA_CS_4941_19960909_7.png", options.plane);
  const auto image = dicom::ReadImage(options.out / "TCGA_CS_4941_19960909" / "1.dcm");
  REQUIRE(plane.ok());
  REQUIRE(image.ok());
  CHECK(image->pixels == plane->values);
  CHECK(ImportImages(options, progress).status().code() == absl::StatusCode::kAlreadyExists);
}

TEST_CASE("Colour slices and drawn masks go through DICOM pixel by pixel") {
  const auto from = SharedData("images/lgg_mri_tcga");
  if (!from) return;
  TemporaryFolder folder;
  ImportOptions options;
  options.from = *from;
  options.table = *from / "index.csv";
  options.image_column = "image";
  options.label_column = "tumour_pixels";
  options.has_threshold = true;
  options.patient_column = "patient";
  options.filters = {{"site", "EZ"}};
  options.modality = "MR";
  options.plane.colour = true;
  options.mask_column = "mask";
  options.segments = {"tumour"};
  options.out = folder / "out";
  NoProgress progress;
  const auto report = ImportImages(options, progress);
  REQUIRE(report.ok());
  REQUIRE(report->masks == report->images);
  auto catalog = Catalog::Open(folder / "catalog.sqlite");
  REQUIRE(catalog.ok());
  REQUIRE(catalog->Index(options.out, {}, *ReadInThisProcess(), progress).ok());
  plan::Target target;
  target.task = Task::kSegmentation;
  target.classes = {"Tumour"};
  plan::Preprocessing preprocessing;
  preprocessing.image_size = 256;
  preprocessing.channel = plan::Channel::kRgb;
  SiteDataOptions site;
  site.cache_folder = folder / "cache";
  site.reader = ReadInThisProcess();
  const auto data = SiteData::Open(*catalog, target, {}, preprocessing, site, progress);
  REQUIRE(data.ok());
  CHECK(data->summary().total.examples == report->images);
  CHECK(data->summary().total.positives == report->positives);
  const auto table = ParseCsv(*ReadTextFile(*from / "index.csv"));
  double drawn = 0, read = 0;
  for (const CsvRow& row : table->rows) {
    if (row.cells[0] == "EZ") drawn += std::stod(row.cells[5]);
  }
  const auto examples = data->AllExamples();
  CHECK(examples->input_shape().channels == 3);
  std::vector<float> mask(examples->target_elements());
  for (std::size_t i = 0; i < examples->size(); ++i) {
    examples->GetTarget(i, mask);
    for (const float pixel : mask) read += pixel;
  }
  CHECK(drawn > 0);
  CHECK(read == drawn);
}

TEST_CASE("NIfTI slices keep their values to 16 bits and their spacing") {
  const auto from = SharedData("volumes/totalsegmentator_example");
  if (!from) return;
  TemporaryFolder folder;
  const std::string table = "file,volume\nexample_ct.nii.gz,70.5\nexample_mr_sm.nii.gz,3\n";
  REQUIRE(WriteFileDurably(folder / "table.csv", table).ok());
  ImportOptions options;
  options.from = *from;
  options.table = folder / "table.csv";
  options.image_column = "file";
  options.label_column = "volume";
  options.has_threshold = true;
  options.label_threshold = 50;
  options.modality = "CT";
  options.out = folder / "out";
  NoProgress progress;
  const auto report = ImportImages(options, progress);
  REQUIRE(report.ok());
  CHECK(report->positives == 1);
  const auto plane = ReadPlane(*from / "example_ct.nii.gz", {});
  REQUIRE(plane.ok());
  const auto image = dicom::ReadImage(options.out / "example_ct_nii" / "1.dcm");
  REQUIRE(image.ok());
  CHECK(image->row_spacing_mm == Approx(3).epsilon(1e-3));
  const auto [low, high] = std::minmax_element(plane->values.begin(), plane->values.end());
  for (std::size_t i = 0; i < plane->values.size(); ++i) {
    REQUIRE(std::abs(image->pixels[i] - plane->values[i]) <= (*high - *low) / 65535);
  }
}

TEST_CASE("Import says what is wrong with its table, and with an image") {
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "broken.png", "not a PNG").ok());
  REQUIRE(WriteFileDurably(folder / "broken.jpg", "not a JPEG").ok());
  REQUIRE(WriteFileDurably(folder / "broken.nii", std::string(400, 'x')).ok());
  ImportOptions options;
  options.from = folder.path();
  options.table = folder / "table.csv";
  options.image_column = "file";
  options.label_column = "label";
  options.modality = "CR";
  options.out = folder / "out";
  NoProgress progress;
  const auto error_for = [&](std::string_view table) {
    REQUIRE(WriteFileDurably(options.table, table).ok());
    fs::remove_all(options.out);
    const auto report = ImportImages(options, progress);
    return report.ok() ? std::string() : std::string(ToStd(report.status().message()));
  };
  CHECK(error_for("image,label\nbroken.png,1\n").find("no column \"file\"") != std::string::npos);
  CHECK(error_for("file,label\nbroken.png,2.5\n").find("line 2") != std::string::npos);
  for (const std::string name :
       {"broken.png", "broken.jpg", "broken.nii", "absent.png", "table.csv"}) {
    CHECK(error_for("file,label\n" + name + ",1\n").find("line 2") != std::string::npos);
  }
  options.modality = "XX";
  CHECK(error_for("file,label\nbroken.png,1\n").find("XX") != std::string::npos);
}

TEST_CASE("The same seed draws the same hospital byte for byte, another seed another one") {
  const std::string name = GENERATE("north", "south", "east");
  TemporaryFolder folder;
  NoProgress progress;
  const auto hospital = synthetic::Preset(name);
  REQUIRE(hospital.ok());
  REQUIRE(synthetic::Synthesize(*hospital, 6, 7, folder / "a", 1, progress).ok());
  REQUIRE(synthetic::Synthesize(*hospital, 6, 7, folder / "b", 2, progress).ok());
  REQUIRE(synthetic::Synthesize(*hospital, 6, 8, folder / "c", 2, progress).ok());
  CHECK(AllBytes(folder / "a") == AllBytes(folder / "b"));
  CHECK(AllBytes(folder / "a") != AllBytes(folder / "c"));
  const IndexReport index = Index(folder / "a", folder / "catalog.sqlite");
  CHECK(index.refused.empty());
  CHECK(index.patients == 6);
  CHECK(index.targets == std::vector<std::string>{"opacity"});
}

TEST_CASE("The presets are three different scanners") {
  TemporaryFolder folder;
  NoProgress progress;
  std::map<std::string, dicom::Header> headers;
  for (const std::string& name : synthetic::PresetNames()) {
    REQUIRE(synthetic::Synthesize(*synthetic::Preset(name), 2, 1, folder / name, 1, progress).ok());
    const auto header = dicom::ReadHeader(folder / name / (name + "-00001") / "1.dcm");
    REQUIRE(header.ok());
    headers[name] = *header;
  }
  CHECK(headers["north"].bits_stored == 12);
  CHECK(headers["north"].transfer_syntax == dicom::TransferSyntax::kExplicitLittleEndian);
  CHECK(headers["south"].monochrome1);
  CHECK(headers["south"].transfer_syntax == dicom::TransferSyntax::kJpegLosslessSv1);
  CHECK(headers["east"].is_signed);
  CHECK(headers["east"].transfer_syntax == dicom::TransferSyntax::kExplicitBigEndian);
  CHECK_FALSE(synthetic::Preset("west").ok());
}

}  // namespace consilium::datasets
