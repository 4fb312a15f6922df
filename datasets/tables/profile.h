#pragma once

// What a hospital's table looks like to the platform, without a plan: for the site's operator at
// his own terminal, who may see every value. What is suggested for a plan tells nothing exact of
// any one patient.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::datasets::tables {

enum class ColumnLook {
  kPatient,   // "patient_id"
  kSplit,     // "split"
  kNumber,    // nearly all of its cells are numbers
  kCategory,  // few different words, or 3 to 8 different whole numbers
  kText,      // many different words
  kEmpty,
};
std::string_view Name(
    ColumnLook look);  // "patient", "split", "number", "category", "text", "empty"

struct ValueCount {
  std::string value;
  std::uint64_t rows = 0;
};

struct ColumnProfile {
  std::string name;
  ColumnLook look = ColumnLook::kEmpty;
  std::uint64_t present = 0, missing = 0;
  // Of numbers, and of categories that are numbers.
  double minimum = 0, median = 0, maximum = 0;
  // Of a number: cells that are none, the first one's line and what is wrong with it.
  std::uint64_t faults = 0;
  int fault_line = 0;
  std::string fault;
  std::uint64_t distinct = 0;
  std::vector<ValueCount> values;  // of a category: the most frequent first
};

struct TableProfile {
  std::uint64_t rows = 0, patients = 0;
  bool has_patients = false;  // there is a column "patient_id"
  std::uint64_t rows_without_patient = 0;
  std::vector<ColumnProfile> columns;
};

// kInvalidArgument as ParseTable.
absl::StatusOr<TableProfile> Profile(std::string_view csv);

struct PlausibleRange {
  double minimum = 0, maximum = 1;
};
// Round ends around what is there, at least a tenth of a step beyond it; 0 stays 0.
PlausibleRange RoundedOutward(double minimum, double maximum);

// [[table.columns]] to paste into a plan, for every number and category but those in `leave_out`.
// Ranges are rounded outward, values that fewer than ten rows have are left out; what is left out
// is said in comments.
std::string SuggestedColumns(const TableProfile& profile,
                             const std::vector<std::string>& leave_out);

// A table for people; JSON (without values that fewer than ten rows have).
std::string ToText(const TableProfile& profile);
std::string ToJson(const TableProfile& profile, std::string_view suggested);

}  // namespace consilium::datasets::tables
