#include "common/base/text_table.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium {
namespace {

std::size_t Width(const std::string& cell) {
  return std::count_if(cell.begin(), cell.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

bool ReadsAsNumber(const std::string& cell) {
  if (cell == "-" || cell.empty()) return true;
  return cell.find_first_of("0123456789") <= (cell[0] == '-' || cell[0] == '+' || cell[0] == '<' ? 1u : 0u) &&
         cell.find_first_not_of("0123456789.+-%<, e") == std::string::npos;
}

}  // namespace

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::AddRow(std::vector<std::string> cells) {
  CONSILIUM_CHECK(cells.size() == rows_[0].size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString() const {
  const std::size_t columns = rows_[0].size();
  std::vector<std::size_t> widths(columns, 0);
  std::vector<bool> numeric(columns, rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], Width(rows_[r][c]));
      if (r > 0 && !ReadsAsNumber(rows_[r][c])) numeric[c] = false;
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c) {
      if (c > 0) line += "  ";
      const std::string padding(widths[c] - Width(rows_[r][c]), ' ');
      line += numeric[c] ? padding + rows_[r][c] : rows_[r][c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
    if (r == 0) {
      for (std::size_t c = 0; c < columns; ++c) {
        text += (c > 0 ? "  " : "") + std::string(widths[c], '-');
      }
      text += '\n';
    }
  }
  return text;
}

}  // namespace consilium
