#include "datasets/labels.h"

#include <array>
#include <optional>

#include "common/base/status.h"
#include "datasets/csv.h"

namespace consilium::datasets {
namespace {

constexpr std::array<LabelKey, 4> kKeys = {LabelKey::kPatient, LabelKey::kStudy, LabelKey::kSeries,
                                           LabelKey::kSopInstance};
constexpr int kMostFaultsShown = 10;

struct KeyColumn {
  LabelKey key;
  std::size_t index;
};

absl::StatusOr<KeyColumn> FindKeyColumn(const CsvTable& table) {
  std::optional<KeyColumn> found;
  for (const LabelKey key : kKeys) {
    const auto index = table.Column(ColumnName(key));
    if (!index) continue;
    if (found) {
      return absl::InvalidArgumentError(StrCat("line 1: both \"", ColumnName(found->key),
                                               "\" and \"", ColumnName(key),
                                               "\" are there; keep one key column"));
    }
    found = KeyColumn{key, *index};
  }
  if (found) return *found;
  return absl::InvalidArgumentError(
      "line 1: no key column; name one column patient_id, study_instance_uid, series_instance_uid "
      "or "
      "sop_instance_uid");
}

class LabelReader {
 public:
  LabelReader(const CsvTable& table, KeyColumn key) : table_(table), key_(key) {
    labels_.key = key.key;
    for (std::size_t i = 0; i < table.header.size(); ++i) {
      if (i != key.index) labels_.targets.push_back(table.header[i]);
    }
  }

  absl::StatusOr<Labels> Read() && {
    for (const CsvRow& row : table_.rows) ReadRow(row);
    if (fault_count_ > kMostFaultsShown) {
      StrAppend(&faults_, "\n... and ", fault_count_ - kMostFaultsShown, " more");
    }
    if (fault_count_ > 0) return absl::InvalidArgumentError(faults_);
    return std::move(labels_);
  }

 private:
  void ReadRow(const CsvRow& row) {
    const std::string& key = row.cells[key_.index];
    if (key.empty()) {
      return Fault(StrCat("line ", row.line, ": the ", ColumnName(key_.key), " is empty"));
    }
    Labels::Values& values = labels_.values[key];
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const std::string& cell = row.cells[i];
      if (i == key_.index || cell.empty()) continue;
      if (cell.size() > kLongestLabel) {
        // With a column shifted it may be a patient's name: only its length is said.
        Fault(StrCat("line ", row.line, ": \"", table_.header[i], "\" is a text of ", cell.size(),
                     " characters; 0, 1, a word of at most ", kLongestLabel,
                     " or nothing is allowed"));
        continue;
      }
      const auto [known, inserted] = values.emplace(table_.header[i], cell);
      if (!inserted && known->second != cell) labels_.conflicting.insert(key);
    }
  }

  void Fault(const std::string& text) {
    if (++fault_count_ > kMostFaultsShown) return;
    StrAppend(&faults_, fault_count_ > 1 ? "\n" : "", text);
  }

  const CsvTable& table_;
  const KeyColumn key_;
  Labels labels_;
  std::string faults_;
  int fault_count_ = 0;
};

}  // namespace

std::string_view ColumnName(LabelKey key) {
  switch (key) {
    case LabelKey::kPatient:
      return "patient_id";
    case LabelKey::kStudy:
      return "study_instance_uid";
    case LabelKey::kSeries:
      return "series_instance_uid";
    case LabelKey::kSopInstance:
      return "sop_instance_uid";
  }
  CONSILIUM_CHECK(false);
}

absl::StatusOr<Labels> ParseLabels(std::string_view csv) {
  ASSIGN_OR_RETURN(const CsvTable table, ParseCsv(csv));
  ASSIGN_OR_RETURN(const KeyColumn key, FindKeyColumn(table));
  if (table.header.size() < 2) {
    return absl::InvalidArgumentError(
        "line 1: no target; add a column with values 0 and 1, or words");
  }
  return LabelReader(table, key).Read();
}

absl::StatusOr<Labels> ReadLabels(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  auto labels = ParseLabels(text);
  if (!labels.ok()) return WithContext(labels.status(), path.filename().string());
  return labels;
}

Labels WithPseudonyms(Labels labels, const deidentification::Pseudonymiser& pseudonyms) {
  Labels result;
  result.key = labels.key;
  result.targets = std::move(labels.targets);
  for (const auto& [key, values] : labels.values) {
    const std::string pseudonym = labels.key == LabelKey::kPatient
                                      ? pseudonyms.PatientPseudonym(key)
                                      : pseudonyms.MappedUid(key);
    Labels::Values& merged = result.values[pseudonym];
    if (labels.conflicting.contains(key)) result.conflicting.insert(pseudonym);
    for (const auto& [target, value] : values) {
      const auto [known, inserted] = merged.emplace(target, value);
      if (!inserted && known->second != value) result.conflicting.insert(pseudonym);
    }
  }
  return result;
}

}  // namespace consilium::datasets
