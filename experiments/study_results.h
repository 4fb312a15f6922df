#pragma once

// What a study found: of every seed the sums of every model's tests at every site, from which all
// figures are computed. They are of public sets: small counts are shown, too.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/task_sums.h"
#include "experiments/results.h"
#include "experiments/studies/study.h"

namespace consilium::experiments {

struct StudyModel {
  ModelKind kind = ModelKind::kFederated;
  std::string site;  // kLocal: which site trained it
  // On each site's test split; kPersonal: of each site its own model.
  std::map<std::string, metrics::TaskSums> by_site;

  std::string Name() const { return TitleOf(kind, site); }
};

struct StudySeed {
  std::uint64_t seed = 0;
  std::vector<StudySite> sites;
  std::vector<std::string> notes;
  std::vector<StudyModel> models;  // federated, personal, local ones in the order of sites, pooled
  std::uint32_t rounds = 0;        // of the federation
  std::string model_id;            // hex; of the federated model
  std::map<std::string, double> seconds;  // of each part
};
std::string ToJson(const StudySeed& seed);
// kInvalidArgument saying what is missing or of the wrong kind.
absl::StatusOr<StudySeed> StudySeedFromJson(std::string_view json);

struct StudyResults {
  std::string study;
  std::string plan_toml;  // without a seed of its own
  std::string command;
  std::string program_version;
  std::vector<StudySeed> seeds;  // the same sites in all
};

// Of one test set. Nothing when it is not defined there: no example, one class, no pair.
std::optional<double> FigureOf(const metrics::TaskSums& sums, Figure figure);
// Its interval by the test patients: Wilson's of an accuracy, else the headline's own.
std::optional<metrics::Interval> IntervalOf(const metrics::TaskSums& sums, Figure figure);

// Over the seeds. Nothing in it when no seed has a value.
struct Spread {
  std::optional<double> mean, lowest, highest;
  void Add(std::optional<double> value);
  std::string ToString() const;  // "0.812 (0.801 to 0.820)", "0.812" when all agree, "-"

 private:
  double sum_ = 0;
  int count_ = 0;
};

// One row a model. Columns: each site that trained and was tested, the mean over them, all their
// test sets together, with its interval by the test patients (means over the seeds of both ends);
// then each site that did not train.
struct StudyTableText {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};
StudyTableText TableOf(const StudyResults& results, Figure figure);

// Over the seeds, the mean over the sites that trained (where none was tested: over the others).
Spread MeanOverSites(const StudyResults& results, ModelKind kind, const std::string& site,
                     Figure figure);
// The same of all test sets together.
Spread AllTogether(const StudyResults& results, ModelKind kind, const std::string& site,
                   Figure figure);

// What the comparison means, in whole sentences.
std::vector<std::string> VerdictOf(const StudyResults& results, const Study& study);

}  // namespace consilium::experiments
