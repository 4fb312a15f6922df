#pragma once

#include <string>
#include <vector>

namespace consilium {

// A table of text for terminals: columns padded to their widest cell, the header underlined. Cells that read as
// numbers (and "-") are aligned right. UTF-8 cells are measured in code points.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  void AddRow(std::vector<std::string> cells);  // as many cells as the header has
  std::string ToString() const;                 // ends with a newline

 private:
  std::vector<std::vector<std::string>> rows_;  // rows_[0] is the header
};

}  // namespace consilium
