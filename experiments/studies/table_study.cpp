#include "experiments/studies/table_study.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/splitting.h"

namespace consilium::experiments {
namespace {

struct SiteRows {
  std::vector<StudyRow> rows;
  bool trains = true;
};
using Sites = std::map<std::string, SiteRows>;

void TestOnAll(SiteRows& site) {
  site.trains = false;
  for (StudyRow& row : site.rows) row.test = true;
}

absl::Status HoldOut(const std::vector<std::string>& held_out, Sites& sites) {
  for (const std::string& name : held_out) {
    const auto site = sites.find(name);
    if (site == sites.end()) {
      std::vector<std::string> known;
      for (const auto& [other, rows] : sites) known.push_back(other);
      return absl::InvalidArgumentError(StrCat("--held-out ", name, ": there is no such site; ",
                                               "there are ", absl::StrJoin(known, ", ")));
    }
    TestOnAll(site->second);
  }
  return absl::OkStatus();
}

// Why the site cannot train; empty: it can.
std::string Obstacle(const SiteRows& site, const plan::Plan& plan) {
  std::set<std::string> patients;
  std::set<int> strata;
  for (const StudyRow& row : site.rows) {
    if (row.test) continue;
    patients.insert(row.patient);
    strata.insert(row.stratum);
  }
  if (patients.size() < std::max(1u, plan.data.minimum_patients)) {
    return StrCat("it has ", patients.size(), " patients to train on, the plan wants ",
                  plan.data.minimum_patients);
  }
  if (plan.target.task == Task::kSurvival && !strata.contains(1)) {
    return "the event happened to none of its patients to train on";
  }
  const bool weighted = plan.target.task == Task::kBinary && plan.training.class_weighting;
  if (weighted && strata.size() < 2) return "its patients to train on are all of one class";
  return "";
}

// Patients of the training rows that are validated on.
std::set<std::string> ValidationPatients(const std::string& name, const SiteRows& site,
                                         double fraction, std::uint64_t seed) {
  std::map<std::string, int> patients;  // the largest stratum of each
  for (const StudyRow& row : site.rows) {
    if (!row.test) patients[row.patient] = std::max(patients[row.patient], row.stratum);
  }
  std::vector<std::string> keys;
  std::vector<int> strata;
  for (const auto& [patient, stratum] : patients) {
    keys.push_back(StrCat(name, "/", patient));
    strata.push_back(stratum);
  }
  const auto folds = static_cast<std::uint32_t>(std::max(2.0, std::round(1 / fraction)));
  const std::vector<std::uint32_t> fold = StratifiedFolds(keys, strata, folds, seed);
  std::set<std::string> chosen;
  std::size_t i = 0;
  for (const auto& [patient, stratum] : patients) {
    if (fold[i++] == 0) chosen.insert(patient);
  }
  return chosen;
}

absl::StatusOr<StudySite> WriteSite(const std::string& name, const SiteRows& site,
                                    const std::vector<std::string>& columns, const plan::Plan& plan,
                                    std::uint64_t seed, const fs::path& out) {
  const std::set<std::string> validation =
      ValidationPatients(name, site, plan.data.validation_fraction, seed);
  std::string csv = "patient_id,split";
  for (const std::string& column : columns) StrAppend(&csv, ",", datasets::CsvCell(column));
  csv += "\n";
  std::map<std::string, std::size_t> counts;
  for (const StudyRow& row : site.rows) {
    const std::string split = row.test                           ? "test"
                              : validation.contains(row.patient) ? "validation"
                                                                 : "train";
    ++counts[split];
    StrAppend(&csv, datasets::CsvCell(row.patient), ",", split);
    for (const std::string& cell : row.cells) StrAppend(&csv, ",", datasets::CsvCell(cell));
    csv += "\n";
  }
  RETURN_IF_ERROR(EnsureFolder(out / name));
  RETURN_IF_ERROR(WriteFileDurably(out / name / StrCat(plan.table.name, ".csv"), csv));
  StudySite written{.name = name, .folder = out / name, .description = "", .trains = site.trains};
  written.description = site.trains ? StrCat(counts["train"], " training, ", counts["validation"],
                                             " validation, ", counts["test"], " test rows")
                                    : StrCat(counts["test"], " test rows, did not train");
  return written;
}

absl::StatusOr<Sites> Gather(const StudyInput& input, StudyTable data,
                             std::optional<StudyTable> test) {
  Sites sites;
  for (StudyRow& row : data.rows) {
    row.test = row.test && !test;
    sites[row.site].rows.push_back(std::move(row));
  }
  if (test) {
    if (test->columns != data.columns) {
      return absl::InvalidArgumentError("the test folder's columns are not those of the data");
    }
    for (StudyRow& row : test->rows) {
      row.test = true;
      // Numbered anew: patients of two folders are not the same.
      row.patient = StrCat("test-", row.patient);
      const auto [site, is_new] = sites.try_emplace(row.site);
      if (is_new) site->second.trains = false;
      site->second.rows.push_back(std::move(row));
    }
  }
  RETURN_IF_ERROR(HoldOut(input.held_out, sites));
  return sites;
}

}  // namespace

absl::StatusOr<datasets::CsvTable> ReadCsvFile(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 256 << 20));
  auto table = datasets::ParseCsv(text);
  if (!table.ok()) return WithContext(table.status(), file.filename().string());
  return table;
}

absl::StatusOr<std::size_t> RequiredColumn(const datasets::CsvTable& table,
                                           const std::string& column, const fs::path& file) {
  if (const auto found = table.Column(column)) return *found;
  return absl::InvalidArgumentError(
      StrCat(file.filename().string(), " has no column \"", column, "\""));
}

absl::StatusOr<PreparedStudy> WriteTables(const StudyInput& input, const plan::Plan& plan,
                                          StudyTable data, std::optional<StudyTable> test,
                                          const fs::path& out) {
  const std::vector<std::string> columns = data.columns;
  ASSIGN_OR_RETURN(Sites sites, Gather(input, std::move(data), std::move(test)));
  PreparedStudy prepared;
  std::size_t training = 0;
  for (auto& [name, site] : sites) {
    const std::string obstacle = site.trains ? Obstacle(site, plan) : "";
    if (!obstacle.empty()) {
      prepared.notes.push_back(
          StrCat("Site ", name, " did not train, for ", obstacle, "; all its rows are tested on."));
      TestOnAll(site);
    }
    ASSIGN_OR_RETURN(StudySite written, WriteSite(name, site, columns, plan, input.seed, out));
    training += written.trains;
    prepared.sites.push_back(std::move(written));
  }
  if (training >= plan.cohort.minimum_sites) return prepared;
  return absl::InvalidArgumentError(StrCat("there are ", training,
                                           " sites to train at, the plan wants ",
                                           plan.cohort.minimum_sites, " or more"));
}

}  // namespace consilium::experiments
