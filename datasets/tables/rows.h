#pragma once

// Private to this folder: a table's examples in memory.

#include <string>
#include <vector>

#include "datasets/tables/table_data.h"

namespace consilium::datasets::tables {

struct TableData::Rows {
  plan::Table table;
  std::size_t target_elements = 1;

  // One after another, by a stable hash of the patient and of the row's place among his rows.
  std::vector<Split> splits;
  std::vector<Dataset::Label> labels;
  std::vector<bool> positives;
  std::vector<float> targets;         // target_elements each
  std::vector<float> numbers;         // table.Numbers() each; NaN: missing
  std::vector<std::int16_t> codes;    // one a category column: index of its value; -1: missing
  std::vector<std::string> files;     // of recordings, else empty
  std::vector<std::string> patients;  // of prediction, else empty

  std::size_t size() const { return labels.size(); }
};

// Takes the rows of a CSV text that are examples of the plan.
class TableReader {
 public:
  static absl::StatusOr<TableData> Read(std::string_view csv, const plan::Plan& plan,
                                        const deidentification::Pseudonymiser& pseudonyms, Use use);
};

}  // namespace consilium::datasets::tables
