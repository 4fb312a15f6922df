// The anterior and the posterior hippocampus in T1-weighted MR volumes of one hospital (Medical
// Segmentation Decathlon, Task04; Antonelli et al., Nat Commun 13:4128, 2022), dealt to four of
// uneven size.

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

// Ten folds are dealt to the hospitals: 4, 3, 2 and 1.
const char* HospitalOf(std::uint32_t fold) {
  return fold < 4 ? "first" : fold < 7 ? "second" : fold < 9 ? "third" : "fourth";
}

// The volumes that have both files: the set's index may name more.
absl::StatusOr<std::vector<StudyImage>> ReadIndex(const fs::path& folder) {
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  ASSIGN_OR_RETURN(const std::size_t id, RequiredColumn(table, "id", file));
  std::vector<StudyImage> images;
  for (const datasets::CsvRow& row : table.rows) {
    const std::string name = StrCat(row.cells[id], ".nii.gz");
    const std::string image = StrCat("images/", name), mask = StrCat("labels/", name);
    if (!Exists(folder / image) || !Exists(folder / mask)) continue;
    images.push_back({.patient = row.cells[id], .file = image, .mask = mask, .label = "1"});
  }
  if (!images.empty()) return images;
  return absl::NotFoundError(
      "no volume that index.csv names has both images/ID.nii.gz and labels/ID.nii.gz");
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareHippocampus(const StudyInput& input, const plan::Plan& plan,
                                                 const fs::path& out) {
  ASSIGN_OR_RETURN(const std::vector<ImageSite> sites,
                   DealOneHospital(input, plan, {ReadIndex, HospitalOf}));
  datasets::ImportOptions form;
  form.modality = "MR";
  form.target = "imported";
  form.volumes = true;
  form.slices = datasets::SlicePlane::kCoronal;
  form.segments = plan.target.classes;
  ASSIGN_OR_RETURN(PreparedStudy prepared, WriteImages(input, plan, sites, form, out));
  prepared.notes.push_back(
      "The hospitals are dealt by chance from one, 4, 3, 2 and 1 tenths; each seed tests on other "
      "patients. Each volume is a patient, as the set names none.");
  return prepared;
}

}  // namespace consilium::experiments
