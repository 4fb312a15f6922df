// Who of the patients with COVID-19 needs intensive care, from a radiograph, the sex and blood
// tests of the day of admission: one hospital (COVID-19 Image Repository, Hannover Medical School;
// Winther et al., 2020, doi 10.6084/m9.figshare.12275009), dealt to three.
//
// The projection is never an input: who cannot stand is imaged in bed (AP), so that it nearly says
// who needs intensive care. Two further sites, which do not train, hold the test patients of all
// others by projection, so that each model's figure is seen within either.

#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

using datasets::Split;

constexpr std::array<const char*, 5> kTests = {"crp", "ldh", "lymphocytes", "pco2", "po2"};

// Ten folds of every label and projection are dealt to the hospitals: 4, 3 and 3.
const char* HospitalOf(std::uint32_t fold) {
  return fold < 4 ? "first" : fold < 7 ? "second" : "third";
}

std::vector<std::string> Columns() {
  std::vector<std::string> columns = {"sex"};
  columns.insert(columns.end(), kTests.begin(), kTests.end());
  columns.push_back("icu");  // what a plan of the table alone learns
  return columns;
}

// Empty, and what is no finite number: nothing.
std::optional<double> NumberOf(const std::string& cell) {
  char* end = nullptr;
  const double value = std::strtod(cell.c_str(), &end);
  const bool whole = end != cell.c_str() && *end == '\0';
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

struct Known {
  std::string sex;
  std::map<std::string, std::string> tests;  // by name: the value
};

// What data.csv says of each patient at admission: of a test the value that was taken nearest to
// that day, and at most a day from it. Its rows are images, and days count from the image.
class Admissions {
 public:
  static absl::StatusOr<Admissions> Read(const fs::path& folder) {
    Admissions admissions;
    const fs::path file = folder / "data.csv";
    ASSIGN_OR_RETURN(admissions.table_, ReadCsvFile(file));
    std::vector<std::string> needed = {"patient_id", "sex", "admission_offset"};
    for (const char* test : kTests) {
      needed.insert(needed.end(), {StrCat(test, "_offset"), StrCat(test, "_val")});
    }
    for (const std::string& column : needed) {
      ASSIGN_OR_RETURN(admissions.place_[column], RequiredColumn(admissions.table_, column, file));
    }
    for (const datasets::CsvRow& row : admissions.table_.rows) admissions.Take(row);
    return admissions;
  }

  // In the order of Columns(), without the last.
  std::vector<std::string> CellsOf(const std::string& patient) const {
    const auto found = known_.find(patient);
    const Known known = found == known_.end() ? Known() : found->second;
    std::vector<std::string> cells = {known.sex};
    for (const char* test : kTests) {
      const auto value = known.tests.find(test);
      cells.push_back(value == known.tests.end() ? "" : value->second);
    }
    return cells;
  }

 private:
  void Take(const datasets::CsvRow& row) {
    const auto cell = [&](const std::string& column) { return row.cells[place_.at(column)]; };
    const std::string patient = cell("patient_id");
    Known& known = known_[patient];
    known.sex = cell("sex");
    const std::optional<double> admitted = NumberOf(cell("admission_offset"));
    for (const std::string test : kTests) {
      const auto taken = NumberOf(cell(test + "_offset")), value = NumberOf(cell(test + "_val"));
      if (!admitted || !taken || !value) continue;
      const double away = std::abs(*taken - *admitted);
      const auto [nearest, is_first] = away_.try_emplace({patient, test}, 2);
      if (away > 1 || away >= nearest->second) continue;
      nearest->second = away;
      known.tests[test] = cell(test + "_val");
    }
  }

  datasets::CsvTable table_;
  std::map<std::string, std::size_t> place_;
  std::map<std::string, Known> known_;
  std::map<std::pair<std::string, std::string>, double> away_;  // of a patient's test, days
};

absl::StatusOr<std::vector<StudyImage>> ReadIndex(const fs::path& folder) {
  ASSIGN_OR_RETURN(const Admissions admissions, Admissions::Read(folder));
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  std::map<std::string, std::size_t> place;
  for (const char* column : {"image_id", "patient_id", "icu_ever", "projection"}) {
    ASSIGN_OR_RETURN(place[column], RequiredColumn(table, column, file));
  }
  std::vector<StudyImage> images;
  for (const datasets::CsvRow& row : table.rows) {
    StudyImage image{.patient = row.cells[place["patient_id"]],
                     .file = StrCat("png/", row.cells[place["image_id"]], ".png"),
                     .mask = "",
                     .label = row.cells[place["icu_ever"]],
                     .group = row.cells[place["projection"]]};
    image.cells = admissions.CellsOf(image.patient);
    image.cells.push_back(image.label);
    images.push_back(std::move(image));
  }
  return images;
}

// The test patients of all sites once more, by projection.
absl::Status AddProjections(std::vector<ImageSite>& sites) {
  std::map<std::string, ImageSite> by_projection;
  for (const ImageSite& site : sites) {
    for (const StudyImage& image : site.images) {
      if (image.split != Split::kTest) continue;
      ASSIGN_OR_RETURN(const std::string name, NameFrom(StrCat("all ", image.group)));
      ImageSite& of = by_projection[name];
      of.name = name;
      of.from = site.from;
      of.trains = false;
      of.images.push_back(image);
    }
  }
  for (auto& [name, site] : by_projection) sites.push_back(std::move(site));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareCovidPrognosis(const StudyInput& input, const plan::Plan& plan,
                                                    const fs::path& out) {
  ASSIGN_OR_RETURN(std::vector<ImageSite> sites,
                   DealOneHospital(input, plan, {ReadIndex, HospitalOf}));
  RETURN_IF_ERROR(AddProjections(sites));
  datasets::ImportOptions form;
  form.modality = "CR";
  form.target = plan.target.name;
  ASSIGN_OR_RETURN(PreparedStudy prepared, WriteImages(input, plan, sites, form, out, Columns()));
  prepared.notes.push_back(
      "The hospitals are dealt by chance from one; each seed tests on other patients. Sites "
      "\"all-ap\" and \"all-pa\" are the same test patients by projection, which is no input: "
      "patients in intensive care are imaged in bed (AP), so that a model may read the projection "
      "off the image.");
  return prepared;
}

}  // namespace consilium::experiments
