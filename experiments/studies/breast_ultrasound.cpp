// Benign, malignant or normal: breast ultrasound of one hospital (BUSI; Al-Dhabyani et al., Data in
// Brief 28:104863, 2020), dealt to three of uneven size.

#include <algorithm>
#include <map>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/splitting.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

using datasets::Split;

// Ten folds of every class are dealt to the hospitals: 5, 3 and 2.
const char* HospitalOf(std::uint32_t fold) {
  return fold < 5 ? "first" : fold < 8 ? "second" : "third";
}

absl::StatusOr<std::vector<StudyImage>> ReadIndex(const fs::path& folder) {
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  ASSIGN_OR_RETURN(const std::size_t label, RequiredColumn(table, "label", file));
  ASSIGN_OR_RETURN(const std::size_t image, RequiredColumn(table, "file", file));
  std::vector<StudyImage> images;
  for (const datasets::CsvRow& row : table.rows) {
    const std::string& name = row.cells[image];
    images.push_back({.patient = fs::path(name).stem(),
                      .file = Exists(folder / name) ? name : StrCat(row.cells[label], "/", name),
                      .mask = "",
                      .label = row.cells[label]});
  }
  return images;
}

std::vector<int> StrataOf(const std::vector<StudyImage>& images) {
  std::map<std::string, int> numbers;
  for (const StudyImage& image : images) numbers.emplace(image.label, numbers.size());
  std::vector<int> strata;
  for (const StudyImage& image : images) strata.push_back(numbers[image.label]);
  return strata;
}

std::vector<std::string> PatientsOf(const std::vector<StudyImage>& images) {
  std::vector<std::string> patients;
  for (const StudyImage& image : images) patients.push_back(image.patient);
  return patients;
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareBreastUltrasound(const StudyInput& input,
                                                      const plan::Plan& plan, const fs::path& out) {
  if (!input.held_out.empty()) {
    return absl::InvalidArgumentError("--held-out: this set is of one hospital; use --test FOLDER");
  }
  ASSIGN_OR_RETURN(const std::vector<StudyImage> images, ReadIndex(input.data));
  const std::vector<std::uint32_t> folds =
      StratifiedFolds(PatientsOf(images), StrataOf(images), 10, 0);
  std::map<std::string, ImageSite> dealt;
  for (std::size_t i = 0; i < images.size(); ++i) {
    ImageSite& site = dealt[HospitalOf(folds[i])];
    site.name = HospitalOf(folds[i]);
    site.from = input.data;
    site.images.push_back(images[i]);
  }
  std::vector<ImageSite> sites;
  const Fractions fractions{plan.data.validation_fraction,
                            input.test.empty() ? plan.data.test_fraction : 0};
  for (auto& [name, site] : dealt) {
    const std::vector<Split> splits =
        DealPatients(PatientsOf(site.images), StrataOf(site.images), fractions, input.seed);
    for (std::size_t i = 0; i < splits.size(); ++i) site.images[i].split = splits[i];
    sites.push_back(std::move(site));
  }
  if (!input.test.empty()) {
    ImageSite tested{.name = "test-set", .from = input.test, .images = {}, .trains = false};
    ASSIGN_OR_RETURN(tested.images, ReadIndex(input.test));
    for (StudyImage& image : tested.images) image.split = Split::kTest;
    sites.push_back(std::move(tested));
  }
  datasets::ImportOptions form;
  form.modality = "US";
  form.target = plan.target.name;
  form.label_words = true;
  ASSIGN_OR_RETURN(PreparedStudy prepared, WriteImages(input, plan, sites, form, out));
  prepared.notes.push_back(
      "The hospitals are dealt by chance from one; each seed tests on other images. The set has "
      "near-duplicates (Pawlowska et al., 2023), which may fall on both sides of a split.");
  return prepared;
}

}  // namespace consilium::experiments
