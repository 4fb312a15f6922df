#include "experiments/studies/image_study.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "common/base/status.h"
#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "datasets/csv.h"
#include "datasets/deidentification/pseudonymiser.h"
#include "datasets/patient_split.h"
#include "experiments/studies/splitting.h"

namespace consilium::experiments {
namespace {

using datasets::Split;

// The patient's ID with the first number behind it whose pseudonym the site's hash puts into
// `split`.
std::string NameInSplit(const std::string& patient, Split split, const plan::Data& data,
                        const datasets::deidentification::Pseudonymiser& pseudonyms) {
  for (int i = 0;; ++i) {
    std::string name = StrCat(patient, "-", i);
    if (datasets::SplitOf(pseudonyms.PatientPseudonym(name), data.validation_fraction,
                          data.test_fraction) == split) {
      return name;
    }
  }
}

absl::Status Import(const ImageSite& site, const fs::path& table, datasets::ImportOptions options,
                    const fs::path& out) {
  options.from = site.from;
  options.table = table;
  options.image_column = "file";
  options.label_column = "label";
  options.patient_column = "patient";
  options.mask_column = options.segments.empty() ? "" : "mask";
  options.out = out;
  NoProgress progress;
  return WithContext(datasets::ImportImages(options, progress).status(),
                     StrCat("the images of site ", site.name));
}

absl::StatusOr<StudySite> WriteSite(const StudyInput& input, const plan::Plan& plan,
                                    const ImageSite& site, const datasets::ImportOptions& form,
                                    const fs::path& out) {
  ASSIGN_OR_RETURN(const auto pseudonyms, datasets::deidentification::Pseudonymiser::Create(
                                              PseudonymKey(plan.name, site.name, input.seed)));
  std::string csv = "file,label,patient,mask\n";
  std::map<std::string, std::string> names;
  std::map<Split, std::size_t> counts;
  for (const StudyImage& image : site.images) {
    std::string& name = names[image.patient];
    if (name.empty()) name = NameInSplit(image.patient, image.split, plan.data, pseudonyms);
    ++counts[image.split];
    StrAppend(&csv, datasets::CsvCell(image.file), ",", datasets::CsvCell(image.label), ",",
              datasets::CsvCell(name), ",", datasets::CsvCell(image.mask), "\n");
  }
  const fs::path table = out / StrCat(site.name, ".csv");
  RETURN_IF_ERROR(EnsureFolder(out));
  RETURN_IF_ERROR(WriteFileDurably(table, csv));
  RETURN_IF_ERROR(Import(site, table, form, out / site.name));
  StudySite written{
      .name = site.name, .folder = out / site.name, .description = "", .trains = site.trains};
  written.description = site.trains ? StrCat(names.size(), " patients: ", counts[Split::kTrain],
                                             " training, ", counts[Split::kValidation],
                                             " validation, ", counts[Split::kTest], " test images")
                                    : StrCat(names.size(), " patients: ", counts[Split::kTest],
                                             " test images, did not train");
  return written;
}

}  // namespace

crypto::Secret PseudonymKey(std::string_view study, std::string_view site, std::uint64_t seed) {
  const Digest digest = crypto::Sha256(StrCat("study ", study, "/", site, "/", seed));
  return crypto::Secret::CopyOf(digest.bytes);
}

std::vector<Split> DealPatients(const std::vector<std::string>& patients,
                                const std::vector<int>& strata, Fractions fractions,
                                std::uint64_t seed) {
  // Many narrow folds, in which every stratum is spread evenly; the first are tested on.
  constexpr std::uint32_t kFolds = 20;
  const std::vector<std::uint32_t> fold = StratifiedFolds(patients, strata, kFolds, seed);
  const auto count = [](double fraction) {
    return static_cast<std::uint32_t>(std::lround(fraction * kFolds));
  };
  const std::uint32_t tests = count(fractions.test);
  const std::uint32_t validations = std::max(1u, count(fractions.validation));
  std::vector<Split> splits;
  for (const std::uint32_t f : fold) {
    splits.push_back(f < tests                 ? Split::kTest
                     : f < tests + validations ? Split::kValidation
                                               : Split::kTrain);
  }
  return splits;
}

absl::StatusOr<PreparedStudy> WriteImages(const StudyInput& input, const plan::Plan& plan,
                                          const std::vector<ImageSite>& sites,
                                          const datasets::ImportOptions& form,
                                          const fs::path& out) {
  PreparedStudy prepared;
  std::size_t training = 0;
  for (const ImageSite& site : sites) {
    if (site.images.empty()) continue;
    ASSIGN_OR_RETURN(StudySite written, WriteSite(input, plan, site, form, out));
    training += written.trains;
    prepared.sites.push_back(std::move(written));
  }
  if (training >= plan.cohort.minimum_sites) return prepared;
  return absl::InvalidArgumentError(StrCat("there are ", training,
                                           " sites to train at, the plan wants ",
                                           plan.cohort.minimum_sites, " or more"));
}

}  // namespace consilium::experiments
