#include "datasets/tables/profile.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "common/base/status.h"
#include "common/plan/plan.h"
#include "datasets/tables/cell.h"
#include "datasets/tables/columns.h"

namespace consilium::datasets::tables {
namespace {

constexpr std::size_t kMostCategories = 50;
constexpr std::size_t kMostCodes = 8;  // different whole numbers that look like codes

double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The cells of one column.
class ColumnReader {
 public:
  void Add(std::string_view cell, int line) {
    if (plan::IsMissing(cell)) {
      ++profile_.missing;
      return;
    }
    ++profile_.present;
    const Number number = ParseNumber(cell);
    if (number.value) {
      numbers_.push_back(*number.value);
    } else if (++profile_.faults == 1) {
      profile_.fault_line = line;
      profile_.fault = number.fault;
    }
    // More than this is never shown.
    if (counts_.size() <= kMostCategories || counts_.contains(plan::Comparable(cell))) {
      ValueCount& value = counts_[plan::Comparable(cell)];
      if (value.rows++ == 0) value.value = cell;
    }
  }

  ColumnProfile Finish(std::string name) && {
    profile_.name = std::move(name);
    profile_.look = Look();
    profile_.distinct = counts_.size();
    if (!numbers_.empty() && profile_.look != ColumnLook::kText) {
      const auto [low, high] = std::minmax_element(numbers_.begin(), numbers_.end());
      profile_.minimum = *low;
      profile_.maximum = *high;
      profile_.median = MedianOf(numbers_);
    }
    if (profile_.look == ColumnLook::kCategory) {
      for (auto& [word, count] : counts_) profile_.values.push_back(std::move(count));
      std::stable_sort(profile_.values.begin(), profile_.values.end(),
                       [](const auto& a, const auto& b) { return a.rows > b.rows; });
    }
    if (profile_.look != ColumnLook::kNumber) profile_.faults = 0;
    return std::move(profile_);
  }

 private:
  ColumnLook Look() const {
    if (profile_.present == 0) return ColumnLook::kEmpty;
    if (10 * numbers_.size() >= 9 * profile_.present) {
      const bool codes = profile_.faults == 0 && counts_.size() > 2 &&
                         counts_.size() <= kMostCodes && numbers_.size() > 3 * counts_.size() &&
                         std::all_of(numbers_.begin(), numbers_.end(),
                                     [](double value) { return value == std::round(value); });
      return codes ? ColumnLook::kCategory : ColumnLook::kNumber;
    }
    const bool repeated = counts_.size() <= kMostCategories &&
                          (profile_.present > 2 * counts_.size() || counts_.size() <= 2);
    return repeated ? ColumnLook::kCategory : ColumnLook::kText;
  }

  ColumnProfile profile_;
  std::vector<double> numbers_;
  std::map<std::string, ValueCount> counts_;  // by plan::Comparable
};

bool IsEmptyRow(const CsvRow& row) {
  return std::all_of(row.cells.begin(), row.cells.end(),
                     [](const std::string& cell) { return Trimmed(cell).empty(); });
}

}  // namespace

std::string_view Name(ColumnLook look) {
  switch (look) {
    case ColumnLook::kPatient:
      return "patient";
    case ColumnLook::kSplit:
      return "split";
    case ColumnLook::kNumber:
      return "number";
    case ColumnLook::kCategory:
      return "category";
    case ColumnLook::kText:
      return "text";
    case ColumnLook::kEmpty:
      return "empty";
  }
  return "?";
}

absl::StatusOr<TableProfile> Profile(std::string_view csv) {
  ASSIGN_OR_RETURN(const CsvTable table, ParseTable(csv));
  TableProfile profile;
  const auto patient = table.Column(kPatientColumn);
  profile.has_patients = patient.has_value();
  std::set<std::string_view> patients;
  std::vector<ColumnReader> readers(table.header.size());
  for (const CsvRow& row : table.rows) {
    if (IsEmptyRow(row)) continue;
    ++profile.rows;
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      readers[i].Add(Trimmed(row.cells[i]), row.line);
    }
    if (!patient) continue;
    const std::string_view id = Trimmed(row.cells[*patient]);
    if (plan::IsMissing(id)) {
      ++profile.rows_without_patient;
    } else {
      patients.insert(id);
    }
  }
  profile.patients = patients.size();
  for (std::size_t i = 0; i < readers.size(); ++i) {
    ColumnProfile column = std::move(readers[i]).Finish(table.header[i]);
    if (column.name == kPatientColumn || column.name == kSplitColumn) {
      column.look = column.name == kSplitColumn ? ColumnLook::kSplit : ColumnLook::kPatient;
      column.values.clear();  // a patient's number is not for showing
      column.faults = 0;
    }
    profile.columns.push_back(std::move(column));
  }
  return profile;
}

PlausibleRange RoundedOutward(double minimum, double maximum) {
  const double spread = maximum > minimum ? maximum - minimum : std::max(std::abs(maximum), 1.0);
  const double step = std::pow(10, std::floor(std::log10(spread)));
  double low = std::floor(minimum / step) * step, high = std::ceil(maximum / step) * step;
  if (minimum - low < step / 10) low -= step;
  if (high - maximum < step / 10) high += step;
  if (minimum >= 0) low = std::max(low, 0.0);
  if (maximum <= 0 && minimum < 0) high = std::min(high, 0.0);
  return {low, high};
}

}  // namespace consilium::datasets::tables
