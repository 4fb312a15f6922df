#pragma once

// What one plan sees of a site's table: FOLDER/NAME.csv, one row an example.
//
//   patient_id,age,chol,sex,disease
//   P0001,63,233,male,0
//   P0002,41,NA,female,1
//
// Columns are found by name; others are not read. "patient_id" is needed and becomes a pseudonym at
// once. A column "split" with "train", "validation" and "test" overrides the split by the patient's
// hash (patient_split.h) where it says something. All rows of a patient are in one split.
//
// Messages name columns and lines, never a cell's content or a patient; counts of fewer than ten
// rows or values are not in them, as they may leave the site as the reason of a refusal.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/metrics/preparation.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"
#include "datasets/deidentification/pseudonymiser.h"

namespace consilium::datasets::tables {

// Why a row is no example. "missing-patient", "missing-target", "other-class", "no-time",
// "duplicate-row", "missing-file".
enum class RowRefusal {
  kMissingPatient,
  kMissingTarget,  // of a multilabel target: all of its labels
  kOtherClass,     // its class is none of the plan's
  kNoTime,         // a survival time that is not above 0: nobody was observed
  kDuplicateRow,   // the very same cells as a row before
  kMissingFile,    // of recordings: no file is named
};
std::string_view Name(RowRefusal reason);
std::string_view Phrase(RowRefusal reason);  // "patient_id is empty"

// What rows are read for. Of prediction a table needs neither target nor split (columns of those
// names are not read), and rows keep their order and whose they are.
enum class Use { kLearning, kPrediction };

// Of the rows that are examples.
struct ColumnCounts {
  std::uint64_t present = 0;  // within the plan's range, or one of its values
  std::uint64_t missing = 0;  // nothing there
  std::uint64_t outside = 0;  // beyond the range, or none of the values: taken as missing
};

struct TableSummary {
  SplitCounts train, validation, test, total;
  std::map<RowRefusal, std::uint64_t> refusals;
  std::vector<ColumnCounts> columns;  // one a column of the plan

  const SplitCounts& Of(Split split) const;
  std::uint64_t RefusedRows() const;
};

// Immutable and thread-safe.
class TableData {
 public:
  // kFailedPrecondition: there is no such table, a column of the plan is not in it, or the site
  // means something else by a column: more than half of its values are beyond the plan's range or
  // none of its values, more than half of the rows have a class that the plan does not know.
  // kInvalidArgument: what is wrong in the file, with line and column, at most ten faults: no CSV,
  // a cell that is no number, a target that is not 0 or 1, a patient in two splits.
  static absl::StatusOr<TableData> Read(const fs::path& folder, const plan::Plan& plan,
                                        const deidentification::Pseudonymiser& pseudonyms,
                                        Use use = Use::kLearning);
  // The same of the file's text.
  static absl::StatusOr<TableData> Parse(std::string_view csv, const plan::Plan& plan,
                                         const deidentification::Pseudonymiser& pseudonyms,
                                         Use use = Use::kLearning);

  // One split, or all rows together. An example's input is the plan's columns (Table::Inputs()):
  // numbers in the column's unit (NaN: missing), each category as one input a value (all 0:
  // missing), and with missing_indicators one input a number. Stays valid when this goes.
  std::shared_ptr<const Dataset> Examples(Split split) const;
  std::shared_ptr<const Dataset> AllExamples() const;

  // Of the training split, for the federation's means (metrics/preparation.h).
  metrics::PreparationSums Preparation() const;

  // Of a plan of images, whose table has one row a patient, without target and split (a column of
  // that name is not read): each image followed by its patient's row. Of a patient without one all
  // is missing. Stays valid when this goes.
  std::shared_ptr<const Dataset> Beside(std::shared_ptr<const Dataset> images) const;
  // Of the rows of these images' patients.
  metrics::PreparationSums PreparationOf(const Dataset& images) const;

  // Of a plan of recordings: the file that each row of AllExamples() names, a path below the
  // table's folder, and the row's split. Identifiers: never shown elsewhere, logged or sent.
  const std::vector<std::string>& files() const;
  const std::vector<Split>& splits() const;
  // Of prediction: patient_id as it stands in each row of AllExamples(). Identifiers.
  const std::vector<std::string>& patients() const;

  const plan::Table& table() const;
  const TableSummary& summary() const { return summary_; }

 private:
  class RowDataset;
  class ImagesWithRows;
  struct Rows;
  friend class TableReader;
  TableData() = default;
  std::shared_ptr<const Dataset> Make(const Split* split) const;
  metrics::PreparationSums SumsOf(const std::vector<std::size_t>& rows) const;

  std::shared_ptr<const Rows> rows_;  // shared: the datasets may outlive this
  TableSummary summary_;
};

// The columns of each patient, of a table that stands beside images. Immutable and thread-safe.
class PatientRows {
 public:
  explicit PatientRows(const TableData& data);
  // As an example's input has them; `patient`: PatientNumber of the pseudonym. False when there is
  // no row of his: then all is missing.
  bool Fill(std::uint64_t patient, std::span<float> out) const;

 private:
  const plan::Table table_;
  const std::shared_ptr<const Dataset> rows_;
  std::unordered_map<std::uint64_t, std::size_t> row_of_;  // by patient
};

}  // namespace consilium::datasets::tables
