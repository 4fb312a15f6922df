#include "tests/datasets/shared_data.h"

#include <cstdlib>

#include "datasets/csv.h"
#include "tests/catch.h"

namespace consilium::datasets {

std::optional<fs::path> SharedData(std::string_view name) {
  const char* root = std::getenv("CONSILIUM_SHARED_DATA");
  if (root != nullptr && fs::exists(fs::path(root) / name)) return fs::path(root) / name;
  WARN("skipped: CONSILIUM_SHARED_DATA does not hold the folder \"" << name << "\"");
  return std::nullopt;
}

std::vector<ManifestRow> ReadManifest(const fs::path& dicom_folder) {
  const auto text = ReadTextFile(dicom_folder / "manifest.csv");
  REQUIRE(text.ok());
  const auto table = ParseCsv(*text);
  REQUIRE(table.ok());
  std::vector<ManifestRow> rows;
  for (const CsvRow& row : table->rows) {
    ManifestRow named;
    for (std::size_t i = 0; i < table->header.size(); ++i) named[table->header[i]] = row.cells[i];
    rows.push_back(std::move(named));
  }
  return rows;
}

}  // namespace consilium::datasets
