#pragma once

// What a cell of a hospital's table says.

#include <optional>
#include <string_view>

namespace consilium::datasets::tables {

// Without the blanks, tabs and line ends around it, which spreadsheets and statistics programs
// leave even inside quotes.
std::string_view Trimmed(std::string_view cell);

// A number in the notation of C ("-1.5", "+2", "3e-4"), of a trimmed cell. Neither a value nor a
// fault: it stands for a value that is not there (plan::IsMissing). A fault is a phrase that
// repeats nothing of the cell: "has a decimal comma, write a point".
struct Number {
  std::optional<double> value;  // finite
  std::string_view fault;
};
Number ParseNumber(std::string_view cell);

}  // namespace consilium::datasets::tables
