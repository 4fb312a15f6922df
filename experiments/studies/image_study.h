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

// Images of one hospital as those of several: ten folds of every label are dealt to the hospitals
// that `hospital_of` names, the same at every seed, and there to splits by input.seed. `tested`: of
// a further site, "test-set", which does not train.
std::vector<ImageSite> DealOneHospital(const StudyInput& input, const plan::Plan& plan,
                                       const std::vector<StudyImage>& images,
                                       const std::optional<std::vector<StudyImage>>& tested,
                                       const char* (*hospital_of)(std::uint32_t fold));

// Writes OUT/SITE. `form`: modality, colour, segments, target and whether labels are words; the
// rest of it is filled in. A patient's ID gets a number behind it, such that the site's own hash
// puts it into the wanted split.
absl::StatusOr<PreparedStudy> WriteImages(const StudyInput& input, const plan::Plan& plan,
                                          const std::vector<ImageSite>& sites,
                                          const datasets::ImportOptions& form, const fs::path& out);

}  // namespace consilium::experiments
