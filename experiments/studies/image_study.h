#pragma once

// What the studies of images share: files of a public set become one folder a site with DICOM,
// SEG objects and labels.csv in it, its patients split as the study wants.

#include <optional>
#include <string>
#include <vector>

#include "common/crypto/secret.h"
#include "datasets/dataset.h"
#include "datasets/import.h"
#include "experiments/studies/study.h"

namespace consilium::experiments {

// The key of a site's pseudonyms, which decide its split: it must be in its state folder before its
// images are indexed.
crypto::Secret PseudonymKey(std::string_view study, std::string_view site, std::uint64_t seed);

struct StudyImage {
  std::string patient;  // of the site
  std::string file;     // below the site's `from`
  std::string mask;     // likewise; empty: none
  std::string label;
  std::string group;                                // patients are dealt alike by label and group
  std::vector<std::string> cells;                   // of a table beside the images: the patient's
  datasets::Split split = datasets::Split::kTrain;  // of the patient
};

struct ImageSite {
  std::string name;
  fs::path from;
  std::vector<StudyImage> images;
  bool trains = true;
};

// Deals the patients of a site to test and validation, strata kept as well as they can be, by
// `seed`. `strata`: one a patient.
struct Fractions {
  double validation = 0, test = 0;
};
std::vector<datasets::Split> DealPatients(const std::vector<std::string>& patients,
                                          const std::vector<int>& strata, Fractions fractions,
                                          std::uint64_t seed);

// A set of one hospital as several: ten folds of every label and group are dealt to the hospitals
// that `hospital_of` names, the same at every seed, and there to splits by input.seed. With
// input.test its images are of a further site, "test-set", which does not train. Each image is a
// patient. kInvalidArgument with input.held_out; else what `read` says of a folder.
struct OneHospital {
  absl::StatusOr<std::vector<StudyImage>> (*read)(const fs::path& folder);
  const char* (*hospital_of)(std::uint32_t fold);
};
absl::StatusOr<std::vector<ImageSite>> DealOneHospital(const StudyInput& input,
                                                       const plan::Plan& plan,
                                                       const OneHospital& hospital);

// Writes OUT/SITE. `form`: modality, colour, segments, target and whether labels are words; the
// rest of it is filled in. A patient's ID gets a number behind it, such that the site's own hash
// puts it into the wanted split. `columns`: of the images' cells, which become the plan's table
// with a row and the split of each patient, if the plan has one.
absl::StatusOr<PreparedStudy> WriteImages(const StudyInput& input, const plan::Plan& plan,
                                          const std::vector<ImageSite>& sites,
                                          const datasets::ImportOptions& form, const fs::path& out,
                                          const std::vector<std::string>& columns = {});

}  // namespace consilium::experiments
