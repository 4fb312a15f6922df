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

std::vector<std::string> PatientsOf(const std::vector<StudyImage>& images) {
  std::vector<std::string> patients;
  for (const StudyImage& image : images) patients.push_back(image.patient);
  return patients;
}

// By label.
std::vector<int> StrataOf(const std::vector<StudyImage>& images) {
  std::map<std::string, int> numbers;
  for (const StudyImage& image : images) numbers.emplace(image.label, numbers.size());
  std::vector<int> strata;
  for (const StudyImage& image : images) strata.push_back(numbers[image.label]);
  return strata;
}

}  // namespace

crypto::Secret PseudonymKey(std::string_view study, std::string_view site, std::uint64_t seed) {
  const Digest digest = crypto::Sha256(StrCat("study ", study, "/", site, "/", seed));
  return crypto::Secret::CopyOf(digest.bytes);
}

std::vector<Split> DealPatients(const std::vector<std::string>& patients,
                                const std::vector<int>& strata, Fractions fractions,
                                std::uint64_t seed) {
  // Stratum by stratum, each in an order by chance: every so many-th is tested on, and of the
  // others every so many-th is validated on.
  std::vector<std::size_t> order(patients.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (strata[a] != strata[b]) return strata[a] < strata[b];
    return UniformOf(patients[a], seed) < UniformOf(patients[b], seed);
  });
  std::vector<Split> splits(patients.size(), Split::kTrain);
  const auto take_evenly = [&](std::span<const std::size_t> from, double share, Split split) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      const auto before = static_cast<double>(i) * share + 0.5;
      if (std::floor(before + share) > std::floor(before)) splits[from[i]] = split;
    }
  };
  take_evenly(order, fractions.test, Split::kTest);
  std::erase_if(order, [&](std::size_t i) { return splits[i] == Split::kTest; });
  if (order.empty()) return splits;
  const double least = 1.0 / static_cast<double>(order.size());  // one is validated on
  take_evenly(order, std::max(least, fractions.validation / (1 - fractions.test)),
              Split::kValidation);
  return splits;
}

std::vector<ImageSite> DealOneHospital(const StudyInput& input, const plan::Plan& plan,
                                       const std::vector<StudyImage>& images,
                                       const std::optional<std::vector<StudyImage>>& tested,
                                       const char* (*hospital_of)(std::uint32_t fold)) {
  const std::vector<std::uint32_t> folds =
      StratifiedFolds(PatientsOf(images), StrataOf(images), 10, 0);
  std::map<std::string, ImageSite> dealt;
  for (std::size_t i = 0; i < images.size(); ++i) {
    ImageSite& site = dealt[hospital_of(folds[i])];
    site.name = hospital_of(folds[i]);
    site.from = input.data;
    site.images.push_back(images[i]);
  }
  std::vector<ImageSite> sites;
  const Fractions fractions{plan.data.validation_fraction, tested ? 0 : plan.data.test_fraction};
  for (auto& [name, site] : dealt) {
    const std::vector<Split> splits =
        DealPatients(PatientsOf(site.images), StrataOf(site.images), fractions, input.seed);
    for (std::size_t i = 0; i < splits.size(); ++i) site.images[i].split = splits[i];
    sites.push_back(std::move(site));
  }
  if (!tested) return sites;
  sites.push_back({.name = "test-set", .from = input.test, .images = *tested, .trains = false});
  for (StudyImage& image : sites.back().images) image.split = Split::kTest;
  return sites;
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
