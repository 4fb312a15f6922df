// Tumour in brain MR of lower-grade glioma, by institution (TCGA-LGG; Buda et al., Comput Biol Med
// 109, 2019): index.csv names site, patient, image and mask of each slice. The three channels are
// three sequences: before contrast, FLAIR, after contrast.

#include <algorithm>
#include <map>
#include <set>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

using datasets::Split;

absl::StatusOr<std::map<std::string, ImageSite>> ReadSites(const fs::path& folder) {
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  std::map<std::string, std::size_t> place;
  for (const char* column : {"site", "patient", "image", "mask", "has_tumour"}) {
    ASSIGN_OR_RETURN(place[column], RequiredColumn(table, column, file));
  }
  std::map<std::string, ImageSite> sites;
  for (const datasets::CsvRow& row : table.rows) {
    ASSIGN_OR_RETURN(const std::string name, NameFrom(row.cells[place["site"]]));
    ImageSite& site = sites[name];
    site.name = name;
    site.from = folder;
    site.images.push_back({.patient = row.cells[place["patient"]],
                           .file = row.cells[place["image"]],
                           .mask = row.cells[place["mask"]],
                           .label = row.cells[place["has_tumour"]]});
  }
  return sites;
}

void TestOnAll(ImageSite& site) {
  site.trains = false;
  for (StudyImage& image : site.images) image.split = Split::kTest;
}

std::size_t SplitPatients(ImageSite& site, const plan::Data& data, std::uint64_t seed,
                          bool with_tests) {
  std::set<std::string> found;
  for (const StudyImage& image : site.images) found.insert(image.patient);
  const std::vector<std::string> patients(found.begin(), found.end());
  const Fractions fractions{data.validation_fraction, with_tests ? data.test_fraction : 0};
  const std::vector<Split> splits =
      DealPatients(patients, std::vector<int>(patients.size()), fractions, seed);
  for (StudyImage& image : site.images) {
    const auto at = std::lower_bound(patients.begin(), patients.end(), image.patient);
    image.split = splits[static_cast<std::size_t>(at - patients.begin())];
  }
  return patients.size();
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareBrainMri(const StudyInput& input, const plan::Plan& plan,
                                              const fs::path& out) {
  ASSIGN_OR_RETURN(auto sites, ReadSites(input.data));
  std::vector<std::string> notes;
  for (auto& [name, site] : sites) {
    const std::size_t patients =
        SplitPatients(site, plan.data, input.seed, /*with_tests=*/input.test.empty());
    if (patients >= plan.data.minimum_patients) continue;
    notes.push_back(StrCat("Site ", name, " did not train: it has ", patients,
                           patients == 1 ? " patient" : " patients",
                           ", who cannot be split; all its slices are tested on."));
    TestOnAll(site);
  }
  for (const std::string& name : input.held_out) {
    ASSIGN_OR_RETURN(const std::string site, NameFrom(name));
    if (!sites.contains(site)) {
      return absl::InvalidArgumentError(StrCat("--held-out ", name, ": there is no such site"));
    }
    TestOnAll(sites[site]);
  }
  std::vector<ImageSite> all;
  for (auto& [name, site] : sites) all.push_back(std::move(site));
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(auto tested, ReadSites(input.test));
    for (auto& [name, site] : tested) {
      if (sites.contains(name)) site.name += "-test";
      TestOnAll(site);
      all.push_back(std::move(site));
    }
  }
  datasets::ImportOptions form;
  form.modality = "MR";
  form.target = "has_tumour";
  form.plane.colour = true;
  form.segments = plan.target.classes;
  ASSIGN_OR_RETURN(PreparedStudy prepared, WriteImages(input, plan, all, form, out));
  prepared.notes = std::move(notes);
  prepared.notes.push_back("Each seed tests on other patients of each site.");
  return prepared;
}

}  // namespace consilium::experiments
