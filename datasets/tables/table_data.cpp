#include "datasets/tables/table_data.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "common/base/status.h"
#include "datasets/tables/rows.h"

namespace consilium::datasets::tables {
namespace {

constexpr std::uint64_t kLargestFile = 256ull << 20;

}  // namespace

std::string_view Name(RowRefusal reason) {
  switch (reason) {
    case RowRefusal::kMissingPatient:
      return "missing-patient";
    case RowRefusal::kMissingTarget:
      return "missing-target";
    case RowRefusal::kOtherClass:
      return "other-class";
    case RowRefusal::kNoTime:
      return "no-time";
    case RowRefusal::kDuplicateRow:
      return "duplicate-row";
    case RowRefusal::kMissingFile:
      return "missing-file";
  }
  return "?";
}

std::string_view Phrase(RowRefusal reason) {
  switch (reason) {
    case RowRefusal::kMissingPatient:
      return "patient_id is empty";
    case RowRefusal::kMissingTarget:
      return "what is to be learned is not known";
    case RowRefusal::kOtherClass:
      return "the class is none of the plan's";
    case RowRefusal::kNoTime:
      return "the time of observation is not above 0";
    case RowRefusal::kDuplicateRow:
      return "the very same cells as a row before";
    case RowRefusal::kMissingFile:
      return "file is empty";
  }
  return "?";
}

const SplitCounts& TableSummary::Of(Split split) const {
  switch (split) {
    case Split::kTrain:
      return train;
    case Split::kValidation:
      return validation;
    case Split::kTest:
      return test;
  }
  CONSILIUM_CHECK(false);
}

std::uint64_t TableSummary::RefusedRows() const {
  std::uint64_t rows = 0;
  for (const auto& [reason, count] : refusals) rows += count;
  return rows;
}

class TableData::RowDataset final : public Dataset {
 public:
  RowDataset(std::shared_ptr<const Rows> rows, std::vector<std::uint32_t> chosen)
      : rows_(std::move(rows)),
        chosen_(std::move(chosen)),
        numbers_(rows_->table.Numbers()),
        categories_(rows_->table.columns.size() - numbers_),
        inputs_(rows_->table.Inputs()) {}

  std::size_t size() const override { return chosen_.size(); }
  std::uint32_t image_size() const override { return 0; }
  InputShape input_shape() const override { return {0, 1, 0, 0, inputs_}; }

  Label Get(std::size_t index, std::span<float> out) const override {
    const std::size_t row = chosen_.at(index);
    CONSILIUM_CHECK(out.size() == inputs_);
    const float* const numbers = rows_->numbers.data() + row * numbers_;
    std::copy_n(numbers, numbers_, out.begin());
    std::fill(out.begin() + numbers_, out.end(), 0.0f);
    std::size_t at = numbers_;
    const std::int16_t* code = rows_->codes.data() + row * categories_;
    for (const plan::Column& column : rows_->table.columns) {
      if (column.kind != plan::ColumnKind::kCategory) continue;
      if (*code >= 0) out[at + static_cast<std::size_t>(*code)] = 1;
      at += column.values.size();
      ++code;
    }
    if (rows_->table.missing_indicators) {
      for (std::size_t i = 0; i < numbers_; ++i) out[at + i] = std::isnan(numbers[i]) ? 1 : 0;
    }
    return rows_->labels[row];
  }
  Label GetLabel(std::size_t index) const override { return rows_->labels[chosen_.at(index)]; }

  bool IsPositive(std::size_t index) const override { return rows_->positives[chosen_.at(index)]; }
  std::size_t target_elements() const override { return rows_->target_elements; }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    CONSILIUM_CHECK(out.size() == rows_->target_elements);
    std::copy_n(rows_->targets.begin() +
                    static_cast<std::ptrdiff_t>(chosen_.at(index) * rows_->target_elements),
                rows_->target_elements, out.begin());
  }

 private:
  const std::shared_ptr<const Rows> rows_;
  const std::vector<std::uint32_t> chosen_;
  const std::size_t numbers_, categories_;
  const std::uint32_t inputs_;
};

absl::StatusOr<TableData> TableData::Read(const fs::path& folder, const plan::Plan& plan,
                                          const deidentification::Pseudonymiser& pseudonyms,
                                          Use use) {
  const std::string file = StrCat(plan.table.name, ".csv");
  auto text = ReadTextFile(folder / file, kLargestFile);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(
        StrCat("there is no table ", file, " here: put it into the site's data folder"));
  }
  RETURN_IF_ERROR(text.status());
  auto data = Parse(*text, plan, pseudonyms, use);
  if (!data.ok()) return WithContext(data.status(), file);
  return data;
}

absl::StatusOr<TableData> TableData::Parse(std::string_view csv, const plan::Plan& plan,
                                           const deidentification::Pseudonymiser& pseudonyms,
                                           Use use) {
  return TableReader::Read(csv, plan, pseudonyms, use);
}

std::shared_ptr<const Dataset> TableData::Make(const Split* split) const {
  std::vector<std::uint32_t> chosen;
  for (std::size_t i = 0; i < rows_->size(); ++i) {
    if (split == nullptr || rows_->splits[i] == *split) {
      chosen.push_back(static_cast<std::uint32_t>(i));
    }
  }
  return std::make_shared<RowDataset>(rows_, std::move(chosen));
}

std::shared_ptr<const Dataset> TableData::Examples(Split split) const { return Make(&split); }
std::shared_ptr<const Dataset> TableData::AllExamples() const { return Make(nullptr); }

const std::vector<std::string>& TableData::files() const { return rows_->files; }
const std::vector<Split>& TableData::splits() const { return rows_->splits; }
const std::vector<std::string>& TableData::patients() const { return rows_->patients; }
const plan::Table& TableData::table() const { return rows_->table; }

metrics::PreparationSums TableData::Preparation() const {
  std::vector<std::size_t> training;
  for (std::size_t row = 0; row < rows_->size(); ++row) {
    if (rows_->splits[row] == Split::kTrain) training.push_back(row);
  }
  metrics::PreparationSums sums = SumsOf(training);
  sums.examples = summary_.train.examples;
  sums.patients = summary_.train.patients;
  return sums;
}

metrics::PreparationSums TableData::SumsOf(const std::vector<std::size_t>& rows) const {
  const std::size_t numbers = rows_->table.Numbers();
  metrics::PreparationSums sums(numbers);
  std::vector<plan::Column> columns;
  for (const plan::Column& column : rows_->table.columns) {
    if (column.kind == plan::ColumnKind::kNumber) columns.push_back(column);
  }
  for (const std::size_t row : rows) {
    for (std::size_t i = 0; i < numbers; ++i) {
      const double value = rows_->numbers[row * numbers + i];
      metrics::ColumnSums& column = sums.columns[i];
      if (std::isnan(value)) {
        ++column.missing;
        continue;
      }
      const double range = columns[i].maximum - columns[i].minimum;
      // A float may have been rounded past an end.
      const double u = std::clamp((value - columns[i].minimum) / range, 0.0, 1.0);
      ++column.present;
      column.sum += u;
      column.squares += u * u;
    }
  }
  return sums;
}

}  // namespace consilium::datasets::tables
