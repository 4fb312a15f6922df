// Benign, malignant or normal: breast ultrasound of one hospital (BUSI; Al-Dhabyani et al., Data in
// Brief 28:104863, 2020), dealt to three of uneven size.

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

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

}  // namespace

absl::StatusOr<PreparedStudy> PrepareBreastUltrasound(const StudyInput& input,
                                                      const plan::Plan& plan, const fs::path& out) {
  ASSIGN_OR_RETURN(const std::vector<ImageSite> sites,
                   DealOneHospital(input, plan, {ReadIndex, HospitalOf}));
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
