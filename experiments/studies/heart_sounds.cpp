// Heart sounds by institution (PhysioNet/CinC Challenge 2016; Liu et al., Physiol Meas 37, 2016):
// index.csv names database, record and label of training-DATABASE/RECORD.wav. Each database is of
// one institution.

#include <algorithm>
#include <filesystem>
#include <map>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/image_study.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

struct Recordings {
  StudyTable table;
  std::map<std::string, fs::path> files;  // by what recordings.csv calls them
};

// `place` is the folder below a site's that the files go into.
absl::StatusOr<Recordings> ReadRecordings(const fs::path& folder, const std::string& place) {
  const fs::path file = folder / "index.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable index, ReadCsvFile(file));
  std::map<std::string, std::size_t> at;
  for (const char* column : {"database", "record", "label"}) {
    ASSIGN_OR_RETURN(at[column], RequiredColumn(index, column, file));
  }
  Recordings found;
  found.table.columns = {"file", "abnormal"};
  for (const datasets::CsvRow& row : index.rows) {
    const std::string& database = row.cells[at["database"]];
    const std::string& record = row.cells[at["record"]];
    const std::string& label = row.cells[at["label"]];
    ASSIGN_OR_RETURN(const std::string site, NameFrom(database));
    if (label != "normal" && label != "abnormal") {
      return absl::InvalidArgumentError(
          StrCat("index.csv, line ", row.line, ": the label is neither normal nor abnormal"));
    }
    const int abnormal = label == "abnormal";
    const std::string name = StrCat(place, "/", record, ".wav");
    found.files[name] = folder / StrCat("training-", database) / StrCat(record, ".wav");
    found.table.rows.push_back(
        {.site = site, .patient = record, .stratum = abnormal, .cells = {name, StrCat(abnormal)}});
  }
  return found;
}

// A share of each site's recordings, by class.
void DealTests(StudyTable& table, double fraction, std::uint64_t seed) {
  std::map<std::string, std::vector<StudyRow*>> sites;
  for (StudyRow& row : table.rows) sites[row.site].push_back(&row);
  for (auto& [site, rows] : sites) {
    std::vector<std::string> keys;
    std::vector<int> strata;
    for (const StudyRow* row : rows) {
      keys.push_back(StrCat(site, "/", row->patient));
      strata.push_back(row->stratum);
    }
    const auto splits = DealPatients(keys, strata, {.test = fraction}, seed);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i]->test = splits[i] == datasets::Split::kTest;
    }
  }
}

absl::Status CopyFiles(const StudyTable& table, const std::map<std::string, fs::path>& files,
                       const fs::path& out) {
  for (const StudyRow& row : table.rows) {
    const fs::path to = out / row.site / row.cells.front();
    RETURN_IF_ERROR(EnsureFolder(to.parent_path()));
    std::error_code error;
    fs::copy_file(files.at(row.cells.front()), to, error);
    if (error) {
      return absl::NotFoundError(
          StrCat("the recording ", to.filename().string(), " cannot be copied: ", error.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareHeartSounds(const StudyInput& input, const plan::Plan& plan,
                                                 const fs::path& out) {
  ASSIGN_OR_RETURN(Recordings data, ReadRecordings(input.data, "data"));
  DealTests(data.table, plan.data.test_fraction, input.seed);
  std::optional<StudyTable> test;
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(Recordings tested, ReadRecordings(input.test, "test"));
    RETURN_IF_ERROR(CopyFiles(tested.table, tested.files, out));
    test = std::move(tested.table);
  }
  RETURN_IF_ERROR(CopyFiles(data.table, data.files, out));
  plan::Plan of_table = plan;
  of_table.table.name = "recordings";
  ASSIGN_OR_RETURN(PreparedStudy prepared,
                   WriteTables(input, of_table, std::move(data.table), std::move(test), out));
  prepared.notes.push_back(
      "Each recording counts as a patient: the set does not say which are of one.");
  prepared.notes.push_back(
      "Institution and sound are confounded: each recorded other patients, with other devices, at "
      "other places of the body, so that energies in a few bands alone tell the institution of 87 "
      "recordings in 100.");
  return prepared;
}

}  // namespace consilium::experiments
