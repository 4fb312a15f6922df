// Pneumonia in children's chest radiographs of 28 x 28 pixels (PneumoniaMNIST; Yang et al., Sci
// Data 10:41, 2023), one hospital's set dealt to four of uneven size.

#include <algorithm>
#include <array>
#include <map>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/splitting.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

using datasets::Split;

struct Hospital {
  const char* name;
  double share;
};
constexpr std::array<Hospital, 4> kHospitals = {
    {{"large", 0.45}, {"medium", 0.25}, {"small", 0.18}, {"smallest", 0.12}}};

// The same for every seed.
std::string HospitalOf(const std::string& file) {
  double place = UniformOf(file, 0);
  for (const Hospital& hospital : kHospitals) {
    if (place < hospital.share) return hospital.name;
    place -= hospital.share;
  }
  return kHospitals.back().name;
}

struct Row {
  std::string file, split, label;
};

absl::StatusOr<std::vector<Row>> ReadIndex(const fs::path& folder) {
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  ASSIGN_OR_RETURN(const std::size_t image, RequiredColumn(table, "file", file));
  ASSIGN_OR_RETURN(const std::size_t label, RequiredColumn(table, "pneumonia", file));
  const auto split = table.Column("split");
  std::vector<Row> rows;
  for (const datasets::CsvRow& row : table.rows) {
    rows.push_back(
        {row.cells[image], split ? row.cells[*split] : std::string("test"), row.cells[label]});
  }
  return rows;
}

std::string PatientOf(const std::string& file) {
  std::string name = fs::path(file).replace_extension().generic_string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '-');
  return name;
}

// Where the publisher's test images are, here or in the other folder, its splits are kept. Else its
// validation images are tested on, and a tenth of its training images are validated on.
std::vector<ImageSite> Deal(const StudyInput& input, const plan::Plan& plan,
                            const std::vector<Row>& rows, bool has_tests) {
  std::map<std::string, ImageSite> sites;
  for (const Row& row : rows) {
    if (row.split == "test" && !input.test.empty()) continue;
    const std::string name = HospitalOf(row.file);
    StudyImage image{
        .patient = PatientOf(row.file), .file = row.file, .mask = "", .label = row.label};
    if (has_tests) {
      image.split = row.split == "test"  ? Split::kTest
                    : row.split == "val" ? Split::kValidation
                                         : Split::kTrain;
    } else {
      const bool validated = UniformOf(row.file, 1000 + input.seed) < plan.data.validation_fraction;
      image.split = row.split == "val" ? Split::kTest
                    : validated        ? Split::kValidation
                                       : Split::kTrain;
    }
    ImageSite& site = sites[name];
    site.name = name;
    site.from = input.data;
    site.images.push_back(std::move(image));
  }
  std::vector<ImageSite> dealt;
  for (const Hospital& hospital : kHospitals) dealt.push_back(std::move(sites[hospital.name]));
  return dealt;
}

// All of the folder's images, or those that its index calls test.
ImageSite TestSite(const fs::path& folder, const std::vector<Row>& rows) {
  const bool says_test =
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.split == "test"; });
  ImageSite site{.name = "test-set", .from = folder, .images = {}, .trains = false};
  for (const Row& row : rows) {
    if (says_test && row.split != "test") continue;
    site.images.push_back({.patient = PatientOf(row.file),
                           .file = row.file,
                           .mask = "",
                           .label = row.label,
                           .split = Split::kTest});
  }
  return site;
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareChestXray(const StudyInput& input, const plan::Plan& plan,
                                               const fs::path& out) {
  if (!input.held_out.empty()) {
    return absl::InvalidArgumentError("--held-out: this set is of one hospital; use --test FOLDER");
  }
  ASSIGN_OR_RETURN(const std::vector<Row> rows, ReadIndex(input.data));
  const bool has_tests =
      !input.test.empty() ||
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.split == "test"; });
  std::vector<ImageSite> sites = Deal(input, plan, rows, has_tests);
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(const std::vector<Row> tests, ReadIndex(input.test));
    sites.push_back(TestSite(input.test, tests));
  }
  datasets::ImportOptions form;
  form.modality = "CR";
  form.target = plan.target.name;
  ASSIGN_OR_RETURN(PreparedStudy prepared, WriteImages(input, plan, sites, form, out));
  prepared.notes.push_back(
      has_tests ? "Training, validation and test images are the publisher's."
                : "The publisher's test images are not in the folder: its validation images are "
                  "tested on, which look like the training images; its test images are harder.");
  return prepared;
}

}  // namespace consilium::experiments
