#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::datasets {

struct CsvRow {
  int line = 0;  // of the file, where the row starts; the header's is 1
  std::vector<std::string> cells;
};

// A table as RFC 4180 has it: a header, then rows of as many cells; quoted cells may hold commas,
// line ends and doubled quotes. Lines may end in LF or CRLF, a UTF-8 byte order mark is skipped,
// empty lines are skipped, cells lose the blanks around them unless quoted.
struct CsvTable {
  std::vector<std::string> header;
  std::vector<CsvRow> rows;

  std::optional<std::size_t> Column(std::string_view name) const;
};

// kInvalidArgument, with the line, for no header, a column name that is empty or comes twice, a row
// with another number of cells than the header, a quote that is not closed.
absl::StatusOr<CsvTable> ParseCsv(std::string_view text);

// A cell as CSV writes it: quoted where it must be.
std::string CsvCell(std::string_view value);

}  // namespace consilium::datasets
