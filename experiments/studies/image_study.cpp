#include "experiments/studies/image_study.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

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

using Names = std::map<std::string, std::string>;  // of patients, as they are written

std::string_view NameOf(Split split) {
  return split == Split::kTrain ? "train" : split == Split::kValidation ? "validation" : "test";
}

// The patients' table beside the images.
absl::Status WriteTable(const ImageSite& site, const Names& names,
                        const std::vector<std::string>& columns, const fs::path& file) {
  std::string csv = "patient_id,split";
  for (const std::string& column : columns) StrAppend(&csv, ",", datasets::CsvCell(column));
  csv += "\n";
  std::set<std::string> written;
  for (const StudyImage& image : site.images) {
    if (!written.insert(image.patient).second) continue;
    CONSILIUM_CHECK(image.cells.size() == columns.size());
    StrAppend(&csv, datasets::CsvCell(names.at(image.patient)), ",", NameOf(image.split));
    for (const std::string& cell : image.cells) StrAppend(&csv, ",", datasets::CsvCell(cell));
    csv += "\n";
  }
  return WriteFileDurably(file, csv);
}

absl::StatusOr<StudySite> WriteSite(const StudyInput& input, const plan::Plan& plan,
                                    const ImageSite& site, const datasets::ImportOptions& form,
                                    const std::vector<std::string>& columns, const fs::path& out) {
  ASSIGN_OR_RETURN(const auto pseudonyms, datasets::deidentification::Pseudonymiser::Create(
                                              PseudonymKey(plan.name, site.name, input.seed)));
  std::string csv = "file,label,patient,mask\n";
  Names names;
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
  if (!columns.empty() && !plan.table.name.empty()) {
    RETURN_IF_ERROR(
        WriteTable(site, names, columns, out / site.name / StrCat(plan.table.name, ".csv")));
  }
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

// By label and group.
std::vector<int> StrataOf(const std::vector<StudyImage>& images) {
  std::map<std::pair<std::string, std::string>, int> numbers;
  std::vector<int> strata;
  for (const StudyImage& image : images) {
    strata.push_back(numbers.try_emplace({image.label, image.group}, numbers.size()).first->second);
  }
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

absl::StatusOr<std::vector<ImageSite>> DealOneHospital(const StudyInput& input,
                                                       const plan::Plan& plan,
                                                       const OneHospital& hospital) {
  if (!input.held_out.empty()) {
    return absl::InvalidArgumentError("--held-out: this set is of one hospital; use --test FOLDER");
  }
  ASSIGN_OR_RETURN(const std::vector<StudyImage> images, hospital.read(input.data));
  const std::vector<std::uint32_t> folds =
      StratifiedFolds(PatientsOf(images), StrataOf(images), 10, 0);
  std::map<std::string, ImageSite> dealt;
  for (std::size_t i = 0; i < images.size(); ++i) {
    ImageSite& site = dealt[hospital.hospital_of(folds[i])];
    site.images.push_back(images[i]);
  }
  std::vector<ImageSite> sites;
  const bool tests = input.test.empty();
  const Fractions fractions{plan.data.validation_fraction, tests ? plan.data.test_fraction : 0};
  for (auto& [name, site] : dealt) {
    site.name = name;
    site.from = input.data;
    const std::vector<Split> splits =
        DealPatients(PatientsOf(site.images), StrataOf(site.images), fractions, input.seed);
    for (std::size_t i = 0; i < splits.size(); ++i) site.images[i].split = splits[i];
    sites.push_back(std::move(site));
  }
  if (tests) return sites;
  ASSIGN_OR_RETURN(std::vector<StudyImage> tested, hospital.read(input.test));
  for (StudyImage& image : tested) image.split = Split::kTest;
  sites.push_back({"test-set", input.test, std::move(tested), /*trains=*/false});
  return sites;
}

absl::StatusOr<PreparedStudy> WriteImages(const StudyInput& input, const plan::Plan& plan,
                                          const std::vector<ImageSite>& sites,
                                          const datasets::ImportOptions& form, const fs::path& out,
                                          const std::vector<std::string>& columns) {
  PreparedStudy prepared;
  std::size_t training = 0;
  for (const ImageSite& site : sites) {
    if (site.images.empty()) continue;
    ASSIGN_OR_RETURN(StudySite written, WriteSite(input, plan, site, form, columns, out));
    training += written.trains;
    prepared.sites.push_back(std::move(written));
  }
  if (training >= plan.cohort.minimum_sites) return prepared;
  return absl::InvalidArgumentError(StrCat("there are ", training,
                                           " sites to train at, the plan wants ",
                                           plan.cohort.minimum_sites, " or more"));
}

}  // namespace consilium::experiments
