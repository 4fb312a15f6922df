#include "datasets/csv.h"

#include "tests/fuzz/fuzz.h"

namespace consilium::datasets {
namespace {

void AppendRow(const std::vector<std::string>& cells, std::string* text) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) *text += ',';
    // A row of one empty cell would be an empty line.
    *text += cells.size() == 1 && cells[i].empty() ? "\"\"" : CsvCell(cells[i]);
  }
  *text += '\n';
}

}  // namespace
}  // namespace consilium::datasets

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  const fuzz::AllocationLimit limit(
      // A cell is a std::string, of 32 bytes; a vector of them grows by doubling.
      fuzz::JustifiedBy(8 * size));
  const auto table = datasets::ParseCsv(AsText(fuzz::Input(data, size)));
  if (!table.ok()) return 0;
  std::string written = "\xef\xbb\xbf";  // a first column may begin with what looks like one
  datasets::AppendRow(table->header, &written);
  for (const datasets::CsvRow& row : table->rows) {
    FUZZ_EXPECT(row.cells.size() == table->header.size());
    datasets::AppendRow(row.cells, &written);
  }
  const auto again = datasets::ParseCsv(written);
  FUZZ_EXPECT(again.ok() && again->header == table->header);
  FUZZ_EXPECT(again->rows.size() == table->rows.size());
  for (std::size_t i = 0; i < table->rows.size(); ++i) {
    FUZZ_EXPECT(again->rows[i].cells == table->rows[i].cells);
  }
  return 0;
}
