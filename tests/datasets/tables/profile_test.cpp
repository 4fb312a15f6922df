#include "datasets/tables/profile.h"

#include <nlohmann/json.hpp>

#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::datasets::tables {
namespace {

// 60 patients: age 31 to 78, sex in two words and once a third, stage 1 to 4, notes, a gap.
std::string Hospital() {
  std::string csv = "patient_id,age,sex,stage,smoker,note,gap,Größe\n";
  for (int i = 0; i < 60; ++i) {
    StrAppend(&csv, "P", i / 2, ",", 31 + i * 47 / 59, ",",
              i == 7  ? "unclear"
              : i % 2 ? "male"
                      : "female",
              ",", 1 + i % 4, ",", i % 2, ",\"seen ", i, "\",?,", 150 + i, "\n");
  }
  return csv;
}

TableProfile Of(std::string_view csv) {
  auto profile = Profile(csv);
  INFO(profile.status().ToString());
  REQUIRE(profile.ok());
  return *std::move(profile);
}

const ColumnProfile& Column(const TableProfile& profile, std::string_view name) {
  for (const ColumnProfile& column : profile.columns) {
    if (column.name == name) return column;
  }
  FAIL("no column " << name);
  return profile.columns.front();
}

TEST_CASE("a table's columns are told for what they look like") {
  const TableProfile profile = Of(Hospital());
  CHECK(profile.rows == 60);
  CHECK(profile.patients == 30);
  CHECK(Column(profile, "patient_id").look == ColumnLook::kPatient);
  CHECK(Column(profile, "patient_id").values.empty());
  CHECK(Column(profile, "age").look == ColumnLook::kNumber);
  CHECK(Column(profile, "age").minimum == 31);
  CHECK(Column(profile, "age").maximum == 78);
  CHECK(Column(profile, "sex").look == ColumnLook::kCategory);
  CHECK(Column(profile, "sex").values.size() == 3);
  CHECK(Column(profile, "stage").look == ColumnLook::kCategory);
  CHECK(Column(profile, "smoker").look == ColumnLook::kNumber);
  CHECK(Column(profile, "note").look == ColumnLook::kText);
  CHECK(Column(profile, "gap").look == ColumnLook::kEmpty);
  CHECK(Column(profile, "gap").missing == 60);
}

TEST_CASE("cells of a number that are none are told with the first one's line") {
  std::string csv = "patient_id,bmi\n";
  for (int i = 0; i < 30; ++i) StrAppend(&csv, "P", i, ",", i == 20 ? "\"24,5\"" : "24.5", "\n");
  const ColumnProfile bmi = Column(Of(csv), "bmi");
  CHECK(bmi.look == ColumnLook::kNumber);
  CHECK(bmi.faults == 1);
  CHECK(bmi.fault_line == 22);
  CHECK_THAT(ToText(Of(csv)), ContainsText("1 cells cannot be read: line 22 has a comma"));
}

TEST_CASE("what is suggested is a plan's table, and tells nothing exact of one patient") {
  const TableProfile profile = Of(Hospital());
  const std::string columns = SuggestedColumns(profile, {"smoker"});
  INFO(columns);
  const auto plan = plan::ParsePlan(
      StrCat("[plan]\nname = \"p\"\n[data]\nsource = \"table\"\n[model]\narchitecture = "
             "\"logistic\"\n[target]\nname = \"smoker\"\n[table]\nname = \"t\"\n",
             columns));
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  REQUIRE(plan->table.columns.size() == 3);
  const plan::Column& age = plan->table.columns[0];
  CHECK(age.minimum < 31);
  CHECK(age.maximum > 78);
  CHECK(age.minimum == 30);
  CHECK(age.maximum == 80);
  CHECK(plan->table.columns[1].values == std::vector<std::string>{"female", "male"});
  CHECK(plan->table.columns[2].values.size() == 4);
  CHECK(columns.find("unclear") == std::string::npos);
  CHECK_THAT(columns, ContainsText("# 1 rarer value is left out"));
  CHECK_THAT(columns, ContainsText("# note: many different texts"));
  CHECK_THAT(columns, ContainsText("# gap: no value at all"));
  CHECK_THAT(columns, ContainsText("rename it"));
}

TEST_CASE("of a column with fewer than ten values nothing is suggested") {
  std::string csv = "patient_id,rare,often\n";
  for (int i = 0; i < 30; ++i) StrAppend(&csv, "P", i, ",", i < 9 ? "41.7" : "", ",", i, "\n");
  const std::string columns = SuggestedColumns(Of(csv), {});
  CHECK_THAT(columns, ContainsText("# rare: fewer than 10 values\n"));
  CHECK_THAT(columns, ContainsText("name = 'often'\nminimum = 0\nmaximum = 30"));
}

TEST_CASE("ranges are rounded outward, and beyond what one patient has") {
  const auto check = [](double low, double high, double minimum, double maximum) {
    CAPTURE(low, high);
    const PlausibleRange range = RoundedOutward(low, high);
    CHECK(range.minimum == Approx(minimum).margin(1e-12));
    CHECK(range.maximum == Approx(maximum).margin(1e-12));
    CHECK(range.minimum <= low);
    CHECK(range.maximum >= high);
    CHECK(range.minimum < range.maximum);
  };
  check(29, 77, 20, 80);
  check(30, 80, 20, 90);
  check(0, 603, 0, 700);
  check(126, 564, 100, 600);
  check(-2.6, 6.2, -3, 7);
  check(0.4, 76, 0, 80);
  check(5, 5, 4, 6);
  check(0, 0, 0, 1);
  check(-7, -7, -8, -6);
}

TEST_CASE("the JSON holds the same, without rare values and exact ends") {
  const TableProfile profile = Of(Hospital());
  const auto json = nlohmann::json::parse(ToJson(profile, SuggestedColumns(profile, {})));
  CHECK(json["rows"] == 60);
  CHECK(json["has_patient_id"] == true);
  CHECK(json["columns"][1]["name"] == "age");
  CHECK(json["columns"][1]["minimum"] == 30);
  CHECK(json["columns"][2]["values"]["male"] == 29);
  CHECK_FALSE(json["columns"][2]["values"].contains("unclear"));
  CHECK(json["suggested"].get<std::string>().find("[[table.columns]]") != std::string::npos);
}

TEST_CASE("control characters of a table do not reach the terminal") {
  std::string csv = "patient_id,a\x1b[2J,b\n";
  for (int i = 0; i < 30; ++i) StrAppend(&csv, "P", i, ",x\x1b[1m,", i % 2 ? "\x07y" : "z", "\n");
  const TableProfile profile = Of(csv);
  for (const std::string& shown : {ToText(profile), SuggestedColumns(profile, {})}) {
    CHECK(shown.find('\x1b') == std::string::npos);
    CHECK(shown.find('\x07') == std::string::npos);
  }
}

TEST_CASE("a table without patient_id is shown, and what it lacks is said") {
  CHECK_THAT(ToText(Of("pid,age\nP1,50\n")), ContainsText("NO column \"patient_id\""));
  CHECK(Says(Profile("a;b\n1;2\n").status(), "separated by semicolons"));
}

}  // namespace
}  // namespace consilium::datasets::tables
