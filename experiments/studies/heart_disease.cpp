// UCI Heart Disease by hospital, as FLamby has it (Ogier du Terrail et al., NeurIPS 2022,
// fed_heart_disease/dataset.py): processed.HOSPITAL.data, slope, ca and thal dropped, then rows
// with a missing value.

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/splitting.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

constexpr std::array<const char*, 10> kColumns = {
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"};
constexpr std::size_t kFields = 14, kDiagnosis = 13, kCholesterol = 4;
constexpr double kTrainFraction = 0.66;
constexpr std::uint32_t kFlambySeed = 43;

// Rows of FLamby's form in the whole files of 1988. Other numbers: somebody holds rows back, and
// FLamby's split cannot be made.
const std::map<std::string, std::size_t> kWhole = {
    {"cleveland", 303}, {"hungarian", 261}, {"switzerland", 46}, {"va", 130}};

absl::StatusOr<std::vector<StudyRow>> ReadHospital(const fs::path& file, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 1 << 20));
  std::vector<StudyRow> rows;
  int line_number = 0;
  for (const auto line : absl::StrSplit(text, '\n')) {
    ++line_number;
    const std::string trimmed(absl::StripAsciiWhitespace(line));
    if (trimmed.empty()) continue;
    std::vector<std::string> fields = absl::StrSplit(trimmed, ',');
    if (fields.size() != kFields) {
      return absl::InvalidArgumentError(StrCat(file.filename().string(), ", line ", line_number,
                                               ": ", fields.size(), " fields, not ", kFields));
    }
    const std::string diagnosis = fields[kDiagnosis];
    fields.resize(kColumns.size());
    const bool whole = diagnosis != "?" && std::count(fields.begin(), fields.end(), "?") == 0;
    if (!whole) continue;
    // No cholesterol is 0: it was not measured.
    if (std::atof(fields[kCholesterol].c_str()) == 0) fields[kCholesterol].clear();
    const int disease = std::atof(diagnosis.c_str()) > 0;
    fields.push_back(StrCat(disease));
    rows.push_back({.site = name,
                    .patient = StrCat(name, "-", line_number),
                    .stratum = disease,
                    .cells = std::move(fields)});
  }
  return rows;
}

void Split(std::vector<StudyRow>& rows, std::uint32_t seed) {
  std::vector<int> strata;
  for (const StudyRow& row : rows) strata.push_back(row.stratum);
  const auto positives = std::count(strata.begin(), strata.end(), 1);
  const auto negatives = static_cast<std::ptrdiff_t>(strata.size()) - positives;
  if (positives <= 2 || negatives <= 2) strata.clear();  // as FLamby does
  const std::vector<bool> test = ScikitTestSplit(rows.size(), kTrainFraction, seed, strata);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].test = test[i];
}

struct Hospitals {
  StudyTable table;
  std::vector<std::string> partial;  // names of those that are not whole
};

absl::StatusOr<Hospitals> ReadHospitals(const fs::path& folder, std::uint64_t seed) {
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
  std::map<std::string, fs::path> files;
  for (const FolderEntry& entry : entries) {
    std::string name = entry.path.filename();
    if (entry.folder || !name.starts_with("processed.") || !name.ends_with(".data")) continue;
    name = name.substr(10, name.size() - 15);
    ASSIGN_OR_RETURN(name, NameFrom(name));
    files[name] = entry.path;
  }
  if (files.empty()) {
    return absl::NotFoundError(StrCat(folder.string(), " has no processed.HOSPITAL.data"));
  }
  Hospitals found;
  found.table.columns.assign(kColumns.begin(), kColumns.end());
  found.table.columns.push_back("disease");
  for (const auto& [name, file] : files) {
    ASSIGN_OR_RETURN(std::vector<StudyRow> rows, ReadHospital(file, name));
    if (rows.empty()) continue;
    const auto whole = kWhole.find(name);
    const bool is_whole = whole != kWhole.end() && whole->second == rows.size();
    if (!is_whole) found.partial.push_back(name);
    Split(rows, is_whole ? kFlambySeed : kFlambySeed + static_cast<std::uint32_t>(seed));
    for (StudyRow& row : rows) found.table.rows.push_back(std::move(row));
  }
  return found;
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareHeartDisease(const StudyInput& input, const plan::Plan& plan,
                                                  const fs::path& out) {
  ASSIGN_OR_RETURN(Hospitals data, ReadHospitals(input.data, input.seed));
  std::optional<StudyTable> test;
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(Hospitals tested, ReadHospitals(input.test, input.seed));
    test = std::move(tested.table);
  }
  const bool own_split = !test && !data.partial.empty();
  ASSIGN_OR_RETURN(PreparedStudy prepared,
                   WriteTables(input, plan, std::move(data.table), std::move(test), out));
  if (own_split) {
    std::string names;
    for (const std::string& name : data.partial) StrAppend(&names, names.empty() ? "" : ", ", name);
    prepared.notes.push_back(
        StrCat("Not all rows of ", names,
               " are in the folder, so that FLamby's split cannot be made there: each seed "
               "holds out 34 of 100 rows of its own, by the same procedure."));
  } else if (input.test.empty()) {
    prepared.notes.push_back("The split is FLamby's own, the same for every seed.");
  }
  return prepared;
}

}  // namespace consilium::experiments
