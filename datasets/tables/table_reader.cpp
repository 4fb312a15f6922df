// From the text of a CSV file to examples.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/metrics/binary_metrics.h"
#include "datasets/csv.h"
#include "datasets/patient_split.h"
#include "datasets/survival_time.h"
#include "datasets/tables/cell.h"
#include "datasets/tables/columns.h"
#include "datasets/tables/rows.h"

namespace consilium::datasets::tables {
namespace {

constexpr int kMostFaultsShown = 10;
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

// What is wrong in the file.
class Faults {
 public:
  void Add(int line, std::string_view column, std::string_view what) {
    if (++count_ > kMostFaultsShown) return;
    StrAppend(&text_, count_ > 1 ? "\n" : "", "line ", line, ", column \"", column, "\": ", what);
  }
  absl::Status ToStatus() const {
    if (count_ == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        count_ > kMostFaultsShown ? StrCat(text_, "\n... and ", count_ - kMostFaultsShown, " more")
                                  : text_);
  }

 private:
  std::string text_;
  int count_ = 0;
};

// A row that is an example, before the order is known.
struct Example {
  std::string patient;  // pseudonym
  std::string name;     // of prediction: as the row has it
  int line = 0;
  Split split = Split::kTrain;
  int target = 0;
  bool positive = false;
  std::vector<float> targets;
  std::vector<float> numbers;
  std::vector<std::int16_t> codes;
  std::string file;  // of recordings
};

// What the target's cells say of a row.
struct Taught {
  std::optional<RowRefusal> refusal;
  int target = 0;
  bool positive = false;
  std::vector<float> values;
};

class TargetReader {
 public:
  TargetReader(const plan::Target& target, std::vector<std::size_t> columns, Faults& faults)
      : target_(target), names_(target.Columns()), columns_(std::move(columns)), faults_(faults) {
    if (target.task != Task::kMulticlass) return;
    for (const std::string& name : target.classes) classes_.push_back(plan::Comparable(name));
  }

  Taught Read(const CsvRow& row) {
    switch (target_.task) {
      case Task::kMulticlass:
        return Class(row);
      case Task::kMultilabel:
        return Labels(row);
      case Task::kSurvival:
        return Time(row);
      default:
        return Binary(row);
    }
  }

  std::uint64_t known_classes() const { return known_classes_; }
  std::uint64_t other_classes() const { return other_classes_; }

 private:
  std::string_view Cell(const CsvRow& row, std::size_t i) const {
    return Trimmed(row.cells[columns_[i]]);
  }

  // 0, 1 or NaN.
  float Flag(const CsvRow& row, std::size_t i) {
    const Number number = ParseNumber(Cell(row, i));
    if (number.value == 0.0) return 0;
    if (number.value == 1.0) return 1;
    if (number.value || !number.fault.empty()) {
      faults_.Add(row.line, names_[i], "is not 0, 1 or nothing");
    }
    return kNotANumber;
  }

  Taught Binary(const CsvRow& row) {
    const float flag = Flag(row, 0);
    if (std::isnan(flag)) return {RowRefusal::kMissingTarget};
    return {{}, static_cast<int>(flag), flag == 1, {flag}};
  }

  Taught Class(const CsvRow& row) {
    const std::string_view cell = Cell(row, 0);
    if (plan::IsMissing(cell)) return {RowRefusal::kMissingTarget};
    const auto found = std::find(classes_.begin(), classes_.end(), plan::Comparable(cell));
    if (found == classes_.end()) {
      ++other_classes_;
      return {RowRefusal::kOtherClass};
    }
    ++known_classes_;
    const int index = static_cast<int>(found - classes_.begin());
    return {{}, index, false, {static_cast<float>(index)}};
  }

  Taught Labels(const CsvRow& row) {
    Taught taught;
    for (std::size_t i = 0; i < columns_.size(); ++i) taught.values.push_back(Flag(row, i));
    if (std::all_of(taught.values.begin(), taught.values.end(),
                    [](float value) { return std::isnan(value); })) {
      taught.refusal = RowRefusal::kMissingTarget;
    }
    return taught;
  }

  Taught Time(const CsvRow& row) {
    const Number days = ParseNumber(Cell(row, 0));
    if (!days.fault.empty()) faults_.Add(row.line, names_[0], days.fault);
    const float event = Flag(row, 1);
    if (!days.value || std::isnan(event)) return {RowRefusal::kMissingTarget};
    if (*days.value > kLongestDays) {
      faults_.Add(row.line, names_[0], "is more than a hundred years: the time is in days");
    }
    if (!(*days.value > 0)) return {RowRefusal::kNoTime};
    return {{}, 0, event == 1, {static_cast<float>(*days.value), event}};
  }

  const plan::Target& target_;
  const std::vector<std::string> names_;
  const std::vector<std::size_t> columns_;
  Faults& faults_;
  std::vector<std::string> classes_;  // comparable
  std::uint64_t known_classes_ = 0, other_classes_ = 0;
};

// "of fewer than 10" instead of what might be a handful of patients.
std::string Counted(std::uint64_t count, std::uint64_t of) {
  using metrics::kSmallCount;
  if (of < kSmallCount)
    return StrCat("more than half of the values (fewer than ", kSmallCount, ")");
  if (of - count > 0 && of - count < kSmallCount)
    return StrCat("nearly all of the ", of, " values");
  return StrCat(count, " of the ", of, " values");
}

// Two digits of it, of ten values or more: no patient's own.
std::string RoundedMedian(std::vector<float> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (*middle == 0) return "0";
  const double unit = std::pow(10, std::floor(std::log10(std::abs(*middle))) - 1);
  return StrCat(std::round(*middle / unit) * unit);
}

// Of a file's path: no way out of the folder that it begins in.
bool IsBelow(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != path.npos) return false;
  const fs::path parts(path);
  return std::none_of(parts.begin(), parts.end(),
                      [](const fs::path& part) { return part == ".." || part == "."; });
}

class Reading {
 public:
  Reading(const plan::Plan& plan, const deidentification::Pseudonymiser& pseudonyms, Places places,
          Use use)
      : plan_(plan),
        pseudonyms_(pseudonyms),
        places_(std::move(places)),
        beside_images_(plan.data.source == plan::Source::kDicom),
        predicting_(use == Use::kPrediction),
        target_(plan.target, places_.target, faults_) {
    const auto& columns = plan.table.columns;
    counts_.resize(columns.size());
    numbers_.resize(columns.size());
    words_.resize(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      for (const std::string& value : columns[i].values) {
        words_[i].emplace(plan::Comparable(value), static_cast<std::int16_t>(words_[i].size()));
      }
    }
  }

  absl::Status ReadAll(const CsvTable& table) {
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      const CsvRow& row = table.rows[i];
      const bool nothing = std::all_of(row.cells.begin(), row.cells.end(),
                                       [](const auto& cell) { return Trimmed(cell).empty(); });
      if (nothing) continue;  // the rows that a spreadsheet appends
      if (IsRepeated(table, i)) {
        ++refusals_[RowRefusal::kDuplicateRow];
      } else {
        ReadRow(row);
      }
    }
    CheckSplits();
    RETURN_IF_ERROR(faults_.ToStatus());
    RETURN_IF_ERROR(CheckClasses());
    return CheckColumns();
  }

  std::vector<Example> examples;

  const std::map<RowRefusal, std::uint64_t>& refusals() const { return refusals_; }
  const std::vector<ColumnCounts>& counts() const { return counts_; }

 private:
  bool IsRepeated(const CsvTable& table, std::size_t index) {
    const auto& cells = table.rows[index].cells;
    std::uint64_t hash = cells.size();
    for (const std::string& cell : cells) {
      hash = (hash ^ StableHash(Trimmed(cell))) * 0x9e3779b97f4a7c15;
    }
    const auto same = [&](const std::string& a, const std::string& b) {
      return Trimmed(a) == Trimmed(b);
    };
    const auto [first, last] = seen_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const auto& other = table.rows[it->second].cells;
      if (std::equal(cells.begin(), cells.end(), other.begin(), other.end(), same)) return true;
    }
    seen_.emplace(hash, index);
    return false;
  }

  void ReadRow(const CsvRow& row) {
    const std::string_view patient = Trimmed(row.cells[places_.patient]);
    Taught taught = beside_images_ || predicting_ ? Taught() : target_.Read(row);
    const std::string_view file =
        places_.file ? Trimmed(row.cells[*places_.file]) : std::string_view();
    if (places_.file && file.empty()) taught.refusal = RowRefusal::kMissingFile;
    if (plan::IsMissing(patient)) taught.refusal = RowRefusal::kMissingPatient;
    if (taught.refusal) {
      ++refusals_[*taught.refusal];
      return;
    }
    Example example;
    example.patient = pseudonyms_.PatientPseudonym(patient);
    example.line = row.line;
    if (predicting_) example.name = patient;
    if (beside_images_) {
      CheckFirstOf(row, example.patient);
    } else if (!predicting_) {
      example.split = SplitOfRow(row, example.patient);
    }
    example.target = taught.target;
    example.positive = taught.positive;
    example.targets = std::move(taught.values);
    if (places_.file) example.file = FileOfRow(row, file);
    for (std::size_t i = 0; i < plan_.table.columns.size(); ++i) ReadInput(row, i, example);
    examples.push_back(std::move(example));
  }

  void CheckFirstOf(const CsvRow& row, const std::string& patient) {
    if (patients_.insert(patient).second) return;
    faults_.Add(row.line, kPatientColumn,
                "names the patient of a line before: beside images a table has one row a patient");
  }

  std::string FileOfRow(const CsvRow& row, std::string_view file) {
    if (!IsBelow(file))
      faults_.Add(row.line, kFileColumn, "is no file below the site's data folder");
    if (!files_.insert(std::string(file)).second) {
      faults_.Add(row.line, kFileColumn, "names the file of a line before");
    }
    return std::string(file);
  }

  Split SplitOfRow(const CsvRow& row, std::string_view patient) {
    const auto& data = plan_.data;
    if (places_.split) {
      const std::string word = plan::Comparable(Trimmed(row.cells[*places_.split]));
      for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
        if (word == datasets::Name(split)) return split;
      }
      if (!plan::IsMissing(word)) {
        faults_.Add(row.line, "split", "is not train, validation, test or nothing");
      }
    }
    return SplitOf(patient, data.validation_fraction, data.test_fraction);
  }

  void ReadInput(const CsvRow& row, std::size_t i, Example& example) {
    const plan::Column& column = plan_.table.columns[i];
    const std::string_view cell = Trimmed(row.cells[places_.inputs[i]]);
    if (column.kind == plan::ColumnKind::kNumber) {
      const Number number = ParseNumber(cell);
      if (!number.fault.empty()) faults_.Add(row.line, column.name, number.fault);
      const bool inside =
          number.value && *number.value >= column.minimum && *number.value <= column.maximum;
      Count(i, number.value.has_value(), inside);
      if (number.value) numbers_[i].push_back(static_cast<float>(*number.value));
      example.numbers.push_back(inside ? static_cast<float>(*number.value) : kNotANumber);
    } else {
      const auto found = words_[i].find(plan::Comparable(cell));
      const bool inside = found != words_[i].end();
      Count(i, !plan::IsMissing(cell), inside);
      example.codes.push_back(inside ? found->second : std::int16_t{-1});
    }
  }

  void Count(std::size_t column, bool there, bool inside) {
    ColumnCounts& counts = counts_[column];
    ++(!there ? counts.missing : inside ? counts.present : counts.outside);
  }

  // Else a model is tested on patients that it has learned from.
  void CheckSplits() {
    if (!places_.split || beside_images_) return;
    std::map<std::string_view, Split> first;
    for (const Example& example : examples) {
      const auto [known, inserted] = first.emplace(example.patient, example.split);
      if (!inserted && known->second != example.split) {
        faults_.Add(example.line, "split", "puts a patient into another split than a line before");
      }
    }
  }

  absl::Status CheckClasses() const {
    const std::uint64_t known = target_.known_classes(), other = target_.other_classes();
    if (other <= known) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("column \"", plan_.target.name, "\": ", Counted(other, known + other),
               " are none of the plan's classes: this site must write them in another way"));
  }

  absl::Status CheckColumns() const {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      const std::uint64_t there = counts_[i].present + counts_[i].outside;
      if (counts_[i].outside <= counts_[i].present) continue;
      const plan::Column& column = plan_.table.columns[i];
      const std::string what =
          StrCat("column \"", column.name, "\": ", Counted(counts_[i].outside, there));
      if (column.kind == plan::ColumnKind::kCategory) {
        return absl::FailedPreconditionError(StrCat(
            what, " are none of the plan's: this site must write the categories in another way"));
      }
      const std::string median = there < metrics::kSmallCount
                                     ? ""
                                     : StrCat(" (the median is ", RoundedMedian(numbers_[i]), ")");
      return absl::FailedPreconditionError(StrCat(what, median, " are beyond the plan's range of ",
                                                  column.minimum, " to ", column.maximum,
                                                  ": the unit must be another at this site"));
    }
    return absl::OkStatus();
  }

  const plan::Plan& plan_;
  const deidentification::Pseudonymiser& pseudonyms_;
  const Places places_;
  const bool beside_images_, predicting_;
  Faults faults_;
  TargetReader target_;
  std::set<std::string> files_, patients_;
  std::unordered_multimap<std::uint64_t, std::size_t> seen_;  // rows by their cells' hash
  std::map<RowRefusal, std::uint64_t> refusals_;
  std::vector<ColumnCounts> counts_;
  std::vector<std::vector<float>> numbers_;  // a number column's values, for its median
  std::vector<std::unordered_map<std::string, std::int16_t>> words_;  // a category's values
};

// The rows in their stable order: adding a patient moves nobody else. Of prediction as they stand.
std::vector<std::size_t> Order(const std::vector<Example>& examples, Use use) {
  std::map<std::string_view, int> rows_of;
  std::vector<std::uint64_t> keys;
  for (const Example& example : examples) {
    keys.push_back(StableHash(StrCat(example.patient, " ", rows_of[example.patient]++)));
  }
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (use == Use::kPrediction) return order;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(keys[a], examples[a].patient) < std::tie(keys[b], examples[b].patient);
  });
  return order;
}

void CountSplits(const std::vector<Example>& examples, TableSummary& summary) {
  std::set<std::string_view> patients[4];
  SplitCounts* const counts[] = {&summary.train, &summary.validation, &summary.test,
                                 &summary.total};
  for (const Example& example : examples) {
    for (const std::size_t i : {static_cast<std::size_t>(example.split), std::size_t{3}}) {
      ++counts[i]->examples;
      counts[i]->positives += example.positive;
      patients[i].insert(example.patient);
      counts[i]->patients = patients[i].size();
    }
  }
}

template <class T>
void Append(const std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

absl::StatusOr<TableData> TableReader::Read(std::string_view csv, const plan::Plan& plan,
                                            const deidentification::Pseudonymiser& pseudonyms,
                                            Use use) {
  ASSIGN_OR_RETURN(const CsvTable table, ParseTable(csv));
  ASSIGN_OR_RETURN(Places places, FindColumns(table.header, plan, use));
  Reading reading(plan, pseudonyms, std::move(places), use);
  RETURN_IF_ERROR(reading.ReadAll(table));
  auto rows = std::make_shared<TableData::Rows>();
  rows->table = plan.table;
  switch (plan.target.task) {
    case Task::kMultilabel:
      rows->target_elements = plan.target.classes.size();
      break;
    case Task::kSurvival:
      rows->target_elements = 2;
      break;
    default:
      break;
  }
  for (const std::size_t i : Order(reading.examples, use)) {
    const Example& example = reading.examples[i];
    rows->splits.push_back(example.split);
    rows->labels.push_back({example.target, PatientNumber(example.patient)});
    rows->positives.push_back(example.positive);
    Append(example.targets, rows->targets);
    Append(example.numbers, rows->numbers);
    Append(example.codes, rows->codes);
    if (plan.data.source == plan::Source::kAudio) rows->files.push_back(example.file);
    if (use == Use::kPrediction) rows->patients.push_back(example.name);
  }
  TableData data;
  CountSplits(reading.examples, data.summary_);
  data.summary_.refusals = reading.refusals();
  data.summary_.columns = reading.counts();
  data.rows_ = std::move(rows);
  return data;
}

}  // namespace consilium::datasets::tables
