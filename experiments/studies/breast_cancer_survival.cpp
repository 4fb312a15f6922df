// TCGA-BRCA survival by region, as FLamby has it (Ogier du Terrail et al., NeurIPS 2022,
// fed_tcga_brca): brca.csv, centers.csv, train_test_split.csv. Its one-hot columns become the
// categories that they were made of; stage and morphology, which it has twice, come once.

#include <array>
#include <map>

#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/plan_text.h"
#include "experiments/studies/table_study.h"

namespace consilium::experiments {
namespace {

struct OneHot {
  const char* column;  // ours
  const char* prefix;  // of brca.csv's columns, followed by the value
};
constexpr std::array<OneHot, 12> kCategories = {{
    {"ethnicity", "ethnicity_"},
    {"race", "race_"},
    {"m_stage", "ajcc_pathologic_m_"},
    {"n_stage", "ajcc_pathologic_n_"},
    {"t_stage", "ajcc_pathologic_t_"},
    {"stage", "tumor_stage_"},
    {"edition", "ajcc_staging_system_edition_"},
    {"icd10", "icd_10_code_"},
    {"morphology", "morphology_"},
    {"prior_malignancy", "prior_malignancy_"},
    {"synchronous_malignancy", "synchronous_malignancy_"},
    {"treatment", "treatment_or_therapy_"},
}};
// Commas and such are no part of a value in a plan.
constexpr const char* kNone = "other";

struct Category {
  std::vector<std::pair<std::size_t, std::string>> columns;  // place in brca.csv, value
};

std::string ValueOf(const Category& category, const datasets::CsvRow& row) {
  for (const auto& [place, value] : category.columns) {
    if (row.cells[place] == "1" || row.cells[place] == "1.0") return value;
  }
  return kNone;  // the value that was left out when it was coded
}

absl::StatusOr<std::map<std::string, std::string>> ReadPairs(const fs::path& file,
                                                             const std::string& key,
                                                             const std::string& value) {
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  ASSIGN_OR_RETURN(const std::size_t from, RequiredColumn(table, key, file));
  ASSIGN_OR_RETURN(const std::size_t to, RequiredColumn(table, value, file));
  std::map<std::string, std::string> pairs;
  for (const datasets::CsvRow& row : table.rows) pairs[row.cells[from]] = row.cells[to];
  return pairs;
}

absl::StatusOr<StudyTable> ReadRegions(const fs::path& folder) {
  ASSIGN_OR_RETURN(const auto regions, ReadPairs(folder / "centers.csv", "TSS Code", "Region"));
  ASSIGN_OR_RETURN(const auto folds, ReadPairs(folder / "train_test_split.csv", "pid", "fold"));
  const fs::path file = folder / "brca.csv";
  ASSIGN_OR_RETURN(const datasets::CsvTable table, ReadCsvFile(file));
  ASSIGN_OR_RETURN(const std::size_t pid, RequiredColumn(table, "pid", file));
  ASSIGN_OR_RETURN(const std::size_t age, RequiredColumn(table, "age_at_index", file));
  ASSIGN_OR_RETURN(const std::size_t event, RequiredColumn(table, "E", file));
  ASSIGN_OR_RETURN(const std::size_t time, RequiredColumn(table, "T", file));
  StudyTable found;
  found.columns = {"age"};
  std::vector<Category> categories;
  for (const OneHot& one_hot : kCategories) {
    found.columns.push_back(one_hot.column);
    Category& category = categories.emplace_back();
    for (std::size_t i = 0; i < table.header.size(); ++i) {
      const std::string& name = table.header[i];
      if (!name.starts_with(one_hot.prefix)) continue;
      category.columns.emplace_back(i, name.substr(std::string_view(one_hot.prefix).size()));
    }
  }
  found.columns.insert(found.columns.end(), {"days", "death"});
  for (const datasets::CsvRow& row : table.rows) {
    const std::string& patient = row.cells[pid];  // TCGA-BH-A0AU: the second part is the site
    const auto fold = folds.find(patient);
    const auto region = regions.find(patient.size() > 7 ? patient.substr(5, 2) : "");
    if (fold == folds.end() || region == regions.end()) continue;  // no part of FLamby's set
    ASSIGN_OR_RETURN(const std::string site, NameFrom(region->second));
    StudyRow out{.site = site,
                 .patient = patient,
                 .stratum = std::atof(row.cells[event].c_str()) > 0,
                 .test = fold->second == "test",
                 .cells = {}};
    out.cells.push_back(row.cells[age]);
    for (const Category& category : categories) out.cells.push_back(ValueOf(category, row));
    // Seen on the first day only: half of one.
    const double days = std::atof(row.cells[time].c_str());
    out.cells.push_back(days > 0 ? row.cells[time] : "0.5");
    out.cells.push_back(StrCat(out.stratum));
    found.rows.push_back(std::move(out));
  }
  return found;
}

}  // namespace

absl::StatusOr<PreparedStudy> PrepareBreastCancerSurvival(const StudyInput& input,
                                                          const plan::Plan& plan,
                                                          const fs::path& out) {
  ASSIGN_OR_RETURN(StudyTable data, ReadRegions(input.data));
  std::optional<StudyTable> test;
  if (!input.test.empty()) {
    ASSIGN_OR_RETURN(test, ReadRegions(input.test));
  }
  return WriteTables(input, plan, std::move(data), std::move(test), out);
}

}  // namespace consilium::experiments
