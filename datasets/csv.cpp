#include "datasets/csv.h"

#include <algorithm>
#include <map>

#include "common/base/status.h"

namespace consilium::datasets {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kBlanks = " \t";

class CsvParser {
 public:
  explicit CsvParser(std::string_view text) : rest_(text) {
    if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  }

  // The next row that is not an empty line; no cells at the end.
  absl::StatusOr<CsvRow> Next() {
    CsvRow row;
    while (!rest_.empty()) {
      row.line = line_;
      row.cells.clear();
      do {
        ASSIGN_OR_RETURN(std::string cell, Cell());
        row.cells.push_back(std::move(cell));
      } while (TakeComma());
      if (row.cells.size() > 1 || !row.cells.front().empty()) return row;
    }
    return CsvRow{line_, {}};
  }

 private:
  absl::StatusOr<std::string> Cell() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
    if (rest_.starts_with('"')) return QuotedCell();
    const std::size_t end = std::min(rest_.find_first_of(",\n"), rest_.size());
    std::string_view cell = rest_.substr(0, end);
    rest_.remove_prefix(end);
    while (!cell.empty() && (kBlanks.find(cell.back()) != kBlanks.npos || cell.back() == '\r')) {
      cell.remove_suffix(1);
    }
    return std::string(cell);
  }

  absl::StatusOr<std::string> QuotedCell() {
    const int start = line_;
    std::string cell;
    for (rest_.remove_prefix(1); !rest_.empty(); rest_.remove_prefix(1)) {
      if (rest_.front() == '"') {
        rest_.remove_prefix(1);
        if (!rest_.starts_with('"')) return AfterQuote(std::move(cell));
      }
      line_ += rest_.front() == '\n';
      cell.push_back(rest_.front());
    }
    return absl::InvalidArgumentError(StrCat("line ", start, ": a quote is not closed"));
  }

  absl::StatusOr<std::string> AfterQuote(std::string cell) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r"), rest_.size()));
    if (rest_.empty() || rest_.front() == ',' || rest_.front() == '\n') return cell;
    return absl::InvalidArgumentError(
        StrCat("line ", line_, ": text after a closing quote; write a quote within quotes twice"));
  }

  // True: a cell follows. False: the row ends here.
  bool TakeComma() {
    if (rest_.empty()) return false;
    const bool comma = rest_.front() == ',';
    line_ += rest_.front() == '\n';
    rest_.remove_prefix(1);
    return comma;
  }

  std::string_view rest_;
  int line_ = 1;
};

absl::Status CheckHeader(const CsvRow& header) {
  if (header.cells.empty())
    return absl::InvalidArgumentError("the table is empty; it needs a header line");
  // By number: without a header line the names are the first patient's values.
  std::map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < header.cells.size(); ++i) {
    const std::string& name = header.cells[i];
    if (name.empty()) {
      return absl::InvalidArgumentError(
          StrCat("line ", header.line, ": column ", i + 1, " has no name"));
    }
    const auto [first, inserted] = seen.emplace(name, i);
    if (!inserted) {
      return absl::InvalidArgumentError(StrCat("line ", header.line, ": columns ",
                                               first->second + 1, " and ", i + 1,
                                               " have the same name"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<std::size_t> CsvTable::Column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header.begin());
}

absl::StatusOr<CsvTable> ParseCsv(std::string_view text) {
  CsvParser parser(text);
  ASSIGN_OR_RETURN(CsvRow header, parser.Next());
  RETURN_IF_ERROR(CheckHeader(header));
  CsvTable table{std::move(header.cells), {}};
  while (true) {
    ASSIGN_OR_RETURN(CsvRow row, parser.Next());
    if (row.cells.empty()) return table;
    if (row.cells.size() != table.header.size()) {
      return absl::InvalidArgumentError(StrCat("line ", row.line, ": ", row.cells.size(),
                                               " cells where the header has ",
                                               table.header.size()));
    }
    table.rows.push_back(std::move(row));
  }
}

std::string CsvCell(std::string_view value) {
  const bool plain = value.find_first_of(",\"\r\n") == value.npos &&
                     (value.empty() || (kBlanks.find(value.front()) == kBlanks.npos &&
                                        kBlanks.find(value.back()) == kBlanks.npos));
  if (plain) return std::string(value);
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  return quoted + "\"";
}

}  // namespace consilium::datasets
