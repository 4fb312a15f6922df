// Tables that hospitals have published, with all that is odd about them.

#include <cmath>
#include <vector>

#include "datasets/csv.h"
#include "datasets/tables/cell.h"
#include "datasets/tables/table_data.h"
#include "tests/catch.h"
#include "tests/datasets/shared_data.h"
#include "tests/datasets/tables/key.h"

namespace consilium::datasets::tables {
namespace {

TableData Read(const std::string& csv, std::string_view plan_toml) {
  const auto plan = plan::ParsePlan(plan_toml);
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  auto data = TableData::Parse(csv, *plan, Pseudonyms());
  INFO(data.status().ToString());
  REQUIRE(data.ok());
  return *std::move(data);
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The rows below @data, as they stand, with a header; stray commas are the file's own.
std::string ArffAsCsv(const std::string& arff) {
  std::string header = "patient_id", rows;
  bool data = false;
  int patient = 0;
  for (std::string line : Lines(arff)) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.starts_with("@attribute")) {
      const auto name = line.find('\'');
      StrAppend(&header, ",", line.substr(name + 1, line.find('\'', name + 1) - name - 1));
    } else if (line.starts_with("@data")) {
      data = true;
    } else if (data && !line.empty()) {
      const auto cells = std::count(line.begin(), line.end(), ',') + 1;
      if (cells == 25) StrAppend(&rows, "P", ++patient, ",", line, "\n");
    }
  }
  return StrCat(header, "\n", rows);
}

TEST_CASE("kidney disease: stray tabs and blanks, question marks, categories in words") {
  const auto folder = SharedData("tabular/ckd_uci");
  if (!folder) return;
  const auto arff = ReadTextFile(*folder / "chronic_kidney_disease_full.arff");
  REQUIRE(arff.ok());
  const std::string csv = ArffAsCsv(*arff);
  CHECK(csv.find('\t') != std::string::npos);  // the very ones that must not matter
  const TableData data = Read(csv, R"([plan]
name = "kidneys"
[data]
source = "table"
[model]
architecture = "logistic"
[target]
task = "multiclass"
name = "class"
classes = ["notckd", "ckd"]
[table]
name = "kidneys"
[[table.columns]]
name = "age"
minimum = 0
maximum = 120
[[table.columns]]
name = "pcv"
minimum = 5
maximum = 70
[[table.columns]]
name = "dm"
kind = "category"
values = ["yes", "no"]
)");
  CHECK(data.summary().total.examples > 390);
  CHECK(data.summary().refusals.empty());
  const auto& columns = data.summary().columns;
  CHECK(columns[0].present > 380);
  CHECK(columns[1].present > 320);
  CHECK(columns[1].missing > 60);
  CHECK(columns[2].outside == 0);  // "\tno" and " yes" are found
  CHECK(columns[2].present > 390);
}

TEST_CASE("breast cancer: survival of patients of several regions, in days") {
  const auto folder = SharedData("tabular/tcga_brca");
  if (!folder) return;
  auto csv = ReadTextFile(*folder / "brca.csv");
  REQUIRE(csv.ok());
  REQUIRE(csv->starts_with("pid,"));
  csv->replace(0, 3, "patient_id");
  const TableData data = Read(*csv, R"([plan]
name = "breast"
[data]
source = "table"
[model]
architecture = "logistic"
[target]
task = "survival"
time = "T"
event = "E"
[table]
name = "brca"
[[table.columns]]
name = "age_at_index"
minimum = 18
maximum = 110
[[table.columns]]
name = "primary_diagnosis_Infiltrating duct carcinoma, NOS"
minimum = 0
maximum = 1
)");
  const auto table = ParseCsv(*csv);
  REQUIRE(table.ok());
  const std::size_t time = *table->Column("T"), event = *table->Column("E");
  std::uint64_t events = 0, patients = 0;
  for (const CsvRow& row : table->rows) {
    const double days = ParseNumber(row.cells[time]).value.value_or(0);
    if (!(days > 0)) continue;
    ++patients;
    events += ParseNumber(row.cells[event]).value == 1.0;
  }
  CHECK(data.summary().total.patients == patients);
  CHECK(data.summary().total.positives == events);
  CHECK(patients > 900);
  CHECK(events > 100);
  CHECK(data.summary().columns[0].outside == 0);
  const auto all = data.AllExamples();
  std::vector<float> input(all->input_shape().Elements()), target(2);
  for (std::size_t i = 0; i < all->size(); ++i) {
    all->Get(i, input);
    all->GetTarget(i, target);
    CHECK(target[0] > 0);
    CHECK((target[1] == 0 || target[1] == 1));
    CHECK((input[1] == 0 || input[1] == 1));
  }
}

TEST_CASE("heart disease: each hospital as it is, one with hardly a healthy patient") {
  const auto folder = SharedData("tabular/heart_disease_uci");
  if (!folder) return;
  for (const char* hospital : {"cleveland", "hungarian", "switzerland"}) {
    CAPTURE(hospital);
    const auto text = ReadTextFile(*folder / StrCat("processed.", hospital, ".data"));
    REQUIRE(text.ok());
    std::string csv =
        "patient_id,age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n";
    int patient = 0;
    for (const std::string& line : Lines(*text)) {
      if (!line.empty()) StrAppend(&csv, "P", ++patient, ",", line, "\n");
    }
    const TableData data = Read(csv, R"([plan]
name = "heart"
[data]
source = "table"
[model]
architecture = "logistic"
[target]
task = "multiclass"
name = "num"
classes = ["0", "1", "2", "3", "4"]
[table]
name = "heart"
[[table.columns]]
name = "age"
minimum = 18
maximum = 100
[[table.columns]]
name = "oldpeak"
minimum = -5
maximum = 10
[[table.columns]]
name = "cp"
kind = "category"
values = ["1", "2", "3", "4"]
)");
    CHECK(data.summary().total.patients == static_cast<std::uint64_t>(patient));
    CHECK(data.summary().columns[0].outside == 0);
    CHECK(data.summary().columns[2].outside == 0);
    CHECK(data.Preparation().columns[0].present == data.summary().train.examples);
  }
}

}  // namespace
}  // namespace consilium::datasets::tables
