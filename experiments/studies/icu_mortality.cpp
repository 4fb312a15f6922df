// Mortality of ICU stays by region: the eICU demo (Pollard et al., Sci Data 5:180178, 2018). What
// is read is known within a day of admission; what is an outcome (diedinhospital,
// dischargelocation, var03hspxlos, the actual... columns, everything of the discharge) is not.

#include <array>
#include <map>
#include <set>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/splitting.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

// Hospitals of each region are dealt to so many folds; a seed tests on one.
constexpr std::uint32_t kFolds = 5;

// Of apacheapsvar.csv: -1 stands for what was not measured.
constexpr std::array<const char*, 24> kPhysiology = {
    "urine",      "wbc",        "temperature", "respiratoryrate",
    "sodium",     "heartrate",  "meanbp",      "ph",
    "hematocrit", "creatinine", "albumin",     "pao2",
    "pco2",       "bun",        "glucose",     "bilirubin",
    "fio2",       "eyes",       "motor",       "verbal",
    "intubated",  "vent",       "dialysis",    "meds"};
// Of apachepredvar.csv.
constexpr std::array<const char*, 18> kHistory = {"admitsource",
                                                  "thrombolytics",
                                                  "hepaticfailure",
                                                  "lymphoma",
                                                  "metastaticcancer",
                                                  "leukemia",
                                                  "immunosuppression",
                                                  "cirrhosis",
                                                  "aids",
                                                  "electivesurgery",
                                                  "activetx",
                                                  "readmit",
                                                  "ima",
                                                  "midur",
                                                  "ventday1",
                                                  "oobventday1",
                                                  "oobintubday1",
                                                  "diabetes"};
// Of patient.csv.
constexpr std::array<const char*, 2> kStay = {"gender", "unittype"};

// A file's rows by the values of one column.
class Keyed {
 public:
  static absl::StatusOr<Keyed> Read(const fs::path& file, const std::string& key) {
    Keyed keyed;
    keyed.file_ = file;
    ASSIGN_OR_RETURN(keyed.table_, ReadCsvFile(file));
    ASSIGN_OR_RETURN(const std::size_t column, RequiredColumn(keyed.table_, key, file));
    for (std::size_t i = 0; i < keyed.table_.rows.size(); ++i) {
      keyed.rows_[keyed.table_.rows[i].cells[column]] = i;
    }
    return keyed;
  }

  absl::Status Require(const std::string& column) {
    ASSIGN_OR_RETURN(places_[column], RequiredColumn(table_, column, file_));
    return absl::OkStatus();
  }
  const datasets::CsvRow* Find(const std::string& key) const {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &table_.rows[found->second];
  }
  const std::string& Cell(const datasets::CsvRow& row, const std::string& column) const {
    return row.cells[places_.at(column)];
  }
  const datasets::CsvTable& table() const { return table_; }

 private:
  fs::path file_;
  datasets::CsvTable table_;
  std::map<std::string, std::size_t> rows_, places_;
};

struct Tables {
  Keyed patients, hospitals, physiology, history;
};

absl::StatusOr<Tables> ReadAll(const fs::path& folder) {
  ASSIGN_OR_RETURN(Keyed patients, Keyed::Read(folder / "patient.csv", "patientunitstayid"));
  ASSIGN_OR_RETURN(Keyed hospitals, Keyed::Read(folder / "hospital.csv", "hospitalid"));
  ASSIGN_OR_RETURN(Keyed physiology, Keyed::Read(folder / "apacheapsvar.csv", "patientunitstayid"));
  ASSIGN_OR_RETURN(Keyed history, Keyed::Read(folder / "apachepredvar.csv", "patientunitstayid"));
  for (const char* column :
       {"patientunitstayid", "uniquepid", "hospitalid", "age", "hospitaldischargestatus"}) {
    RETURN_IF_ERROR(patients.Require(column));
  }
  RETURN_IF_ERROR(hospitals.Require("region"));
  for (const char* column : kStay) RETURN_IF_ERROR(patients.Require(column));
  for (const char* column : kPhysiology) RETURN_IF_ERROR(physiology.Require(column));
  for (const char* column : kHistory) RETURN_IF_ERROR(history.Require(column));
  return Tables{std::move(patients), std::move(hospitals), std::move(physiology),
                std::move(history)};
}

std::string Measured(const std::string& cell) { return cell == "-1" ? "" : cell; }

// Ages above 89 are given as "> 89".
std::string AgeOf(const std::string& cell) { return cell.starts_with(">") ? "90" : cell; }

absl::StatusOr<std::string> RegionOf(const Tables& tables, const std::string& hospital) {
  const datasets::CsvRow* row = tables.hospitals.Find(hospital);
  const std::string region = row == nullptr ? "" : tables.hospitals.Cell(*row, "region");
  if (region.empty() || region == "NA") return std::string("region-unknown");
  return NameFrom(region);
}

struct Stays {
  StudyTable table;
  std::vector<std::string> hospitals;  // of each row
};

absl::StatusOr<Stays> ReadStays(const fs::path& folder) {
  ASSIGN_OR_RETURN(const Tables tables, ReadAll(folder));
  Stays stays;
  std::map<std::string, std::string> first_hospital;  // by site and patient
  stays.table.columns = {"age"};
  for (const auto& names : {std::vector<const char*>(kStay.begin(), kStay.end()),
                            {kPhysiology.begin(), kPhysiology.end()},
                            {kHistory.begin(), kHistory.end()}}) {
    stays.table.columns.insert(stays.table.columns.end(), names.begin(), names.end());
  }
  stays.table.columns.push_back("died");
  for (const datasets::CsvRow& row : tables.patients.table().rows) {
    const auto of_patient = [&](const char* column) { return tables.patients.Cell(row, column); };
    const std::string stay = of_patient("patientunitstayid");
    const std::string outcome = of_patient("hospitaldischargestatus");
    const datasets::CsvRow* physiology = tables.physiology.Find(stay);
    const datasets::CsvRow* history = tables.history.Find(stay);
    if (physiology == nullptr || history == nullptr) continue;
    if (outcome != "Alive" && outcome != "Expired") continue;
    ASSIGN_OR_RETURN(const std::string region, RegionOf(tables, of_patient("hospitalid")));
    StudyRow out{.site = region,
                 .patient = of_patient("uniquepid"),
                 .stratum = outcome == "Expired",
                 .cells = {}};
    out.cells.push_back(AgeOf(of_patient("age")));
    for (const char* column : kStay) out.cells.push_back(of_patient(column));
    for (const char* column : kPhysiology) {
      out.cells.push_back(Measured(tables.physiology.Cell(*physiology, column)));
    }
    for (const char* column : kHistory) {
      out.cells.push_back(Measured(tables.history.Cell(*history, column)));
    }
    out.cells.push_back(StrCat(out.stratum));
    // All of a patient's stays in a region go with the first one's hospital: never on both sides.
    stays.hospitals.push_back(
        first_hospital.try_emplace(out.site + "/" + out.patient, of_patient("hospitalid"))
            .first->second);
    stays.table.rows.push_back(std::move(out));
  }
  return stays;
}

// Whole hospitals are tested on, a fifth of those of each region.
void HoldOutHospitals(Stays& stays, std::uint64_t seed) {
  const std::uint64_t fold = (seed + kFolds - 1) % kFolds, deal = (seed + kFolds - 1) / kFolds;
  std::map<std::string, std::set<std::string>> by_region;
  for (std::size_t i = 0; i < stays.hospitals.size(); ++i) {
    by_region[stays.table.rows[i].site].insert(stays.hospitals[i]);
  }
  std::map<std::string, std::set<std::string>> tested;
  for (const auto& [region, hospitals] : by_region) {
    const std::vector<std::string> keys(hospitals.begin(), hospitals.end());
    const auto folds = StratifiedFolds(keys, std::vector<int>(keys.size()), kFolds, deal);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (folds[i] == fold) tested[region].insert(keys[i]);
    }
  }
  for (std::size_t i = 0; i < stays.hospitals.size(); ++i) {
    StudyRow& row = stays.table.rows[i];
    row.test = tested[row.site].contains(stays.hospitals[i]);
  }
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareIcuMortality(const StudyInput& input, const plan::Plan& plan,
                                                  const fs::path& out) {
  ASSIGN_OR_RETURN(Stays data, ReadStays(input.data));
  HoldOutHospitals(data, input.seed);
  std::optional<StudyTable> test;
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(Stays tested, ReadStays(input.test));
    test = std::move(tested.table);
  }
  const bool folds = !test;
  ASSIGN_OR_RETURN(PreparedStudy prepared,
                   WriteTables(input, plan, std::move(data.table), std::move(test), out));
  if (folds) {
    prepared.notes.push_back(
        "Seed s tests on whole hospitals: the s-th of five folds of the hospitals of each region, "
        "so that five seeds test on every stay once.");
  }
  return prepared;
}

}  // namespace consilium::experiments
