#pragma once

// Where a table has what a plan reads.

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "datasets/csv.h"
#include "datasets/tables/table_data.h"

namespace consilium::datasets::tables {

inline constexpr std::string_view kPatientColumn = "patient_id";
inline constexpr std::string_view kSplitColumn = "split";
inline constexpr std::string_view kFileColumn = "file";

struct Places {  // indices into the header
  std::size_t patient = 0;
  std::vector<std::size_t> target;  // in the order of Target::Columns()
  std::vector<std::size_t> inputs;  // one a column of the plan
  std::optional<std::size_t> split;
  std::optional<std::size_t> file;  // of recordings
};

// ParseCsv, and what else exports come as, in words: UTF-16, other separators than the comma.
absl::StatusOr<CsvTable> ParseTable(std::string_view text);

// kFailedPrecondition with all columns that are missing, and those that are nearly called so. Of
// prediction neither target nor split is looked for.
absl::StatusOr<Places> FindColumns(const std::vector<std::string>& header, const plan::Plan& plan,
                                   Use use = Use::kLearning);

}  // namespace consilium::datasets::tables
