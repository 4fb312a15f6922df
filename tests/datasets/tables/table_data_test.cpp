#include "datasets/tables/table_data.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "datasets/patient_split.h"
#include "tests/catch.h"
#include "tests/common/plan/parsed_plans.h"
#include "tests/common/plan/table_plans.h"
#include "tests/common/says.h"
#include "tests/datasets/tables/key.h"

namespace consilium::datasets::tables {
namespace {

const std::string kColumns =
    StrCat("missing_indicators = true\n", plan::kAgeColumn, plan::kSexColumn,
           "[[table.columns]]\nname = \"chol\"\nminimum = 100\n", "maximum = 600\n");

plan::Plan PlanOf(std::string_view target) {
  return plan::Read(plan::ParsePlan(plan::TablePlan(kColumns, StrCat(target, "\n"))));
}

plan::Plan BinaryPlan() { return PlanOf("name = \"disease\""); }

absl::StatusOr<TableData> Parse(std::string_view csv, const plan::Plan& plan = BinaryPlan()) {
  return TableData::Parse(csv, plan, Pseudonyms());
}
TableData Read(std::string_view csv, const plan::Plan& plan = BinaryPlan()) {
  auto data = Parse(csv, plan);
  INFO(data.status().ToString());
  REQUIRE(data.ok());
  return *std::move(data);
}

// The example of which the first input is `age`.
struct Row {
  std::vector<float> input, target;
  Dataset::Label label;
};
Row Find(const Dataset& data, float age) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    Row row{std::vector<float>(data.input_shape().Elements()),
            std::vector<float>(data.target_elements()),
            {}};
    row.label = data.Get(i, row.input);
    data.GetTarget(i, row.target);
    CHECK(row.label.target == data.GetLabel(i).target);
    if (row.input[0] == age) return row;
  }
  FAIL("no example of age " << age);
  return {};
}

// Of `rows` patients: "patient_id,age,sex,chol,disease" or what `line` makes of their number.
template <class Line>
std::string Table(std::string_view header, int rows, Line line) {
  std::string text(header);
  for (int i = 0; i < rows; ++i) StrAppend(&text, "\n", line(i));
  return text + "\n";
}
std::string Simple(int rows) {
  return Table("patient_id,age,sex,chol,disease", rows,
               [](int i) { return StrCat("P", i, ",", 20 + i % 70, ",male,200,", i % 2); });
}

TEST_CASE("a row's input is its numbers, its categories as one input a value, its indicators") {
  const TableData data = Read(
      "note,patient_id,chol,sex,age,disease\r\n"
      "x,P1,233,male,63,1\r\n"
      "y,P2, NA ,\"Female\t\",41,0\r\n"
      "z,P3,?,other,50,0.0\r\n");
  const auto all = data.AllExamples();
  CHECK(all->size() == 3);
  CHECK(all->image_size() == 0);
  CHECK(all->input_shape() == InputShape{0, 1, 0, 0, 6});
  const Row first = Find(*all, 63);
  CHECK(first.input == std::vector<float>{63, 233, 1, 0, 0, 0});
  CHECK(first.label.target == 1);
  CHECK(first.target == std::vector<float>{1});
  const Row second = Find(*all, 41);
  CHECK(std::isnan(second.input[1]));
  CHECK(std::vector<float>(second.input.begin() + 2, second.input.end()) ==
        std::vector<float>{0, 1, 0, 1});
  const Row third = Find(*all, 50);
  CHECK(third.input[2] == 0);
  CHECK(third.input[3] == 0);
  CHECK(third.target == std::vector<float>{0});
  CHECK(data.summary().columns[1].outside == 1);
  CHECK(data.summary().columns[2].missing == 2);
}

TEST_CASE("patients become pseudonyms, and keep their split whatever else is in the table") {
  const plan::Plan plan = BinaryPlan();
  const TableData few = Read(Simple(40)), many = Read(Simple(300));
  const auto pseudonyms = Pseudonyms();
  std::set<std::uint64_t> known;
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    std::set<std::uint64_t> of_few, of_many;
    for (const auto& [data, patients] :
         {std::pair{few.Examples(split), &of_few}, std::pair{many.Examples(split), &of_many}}) {
      for (std::size_t i = 0; i < data->size(); ++i) patients->insert(data->GetLabel(i).patient);
    }
    CHECK(std::includes(of_many.begin(), of_many.end(), of_few.begin(), of_few.end()));
    CHECK(many.summary().Of(split).examples == many.Examples(split)->size());
    known.insert(of_many.begin(), of_many.end());
  }
  CHECK(known.size() == 300);
  const std::string p0 = pseudonyms.PatientPseudonym("P0");
  CHECK(known.contains(PatientNumber(p0)));
  CHECK(many.summary().total.patients == 300);
  CHECK(many.summary().total.positives == 150);
  CHECK(many.summary().test.examples > 40);
  CHECK(many.summary().validation.examples > 20);
}

TEST_CASE("the order of examples does not depend on the order of rows") {
  const std::string sorted = Simple(50);
  std::vector<std::string> lines;
  for (std::size_t at = sorted.find('\n') + 1; at < sorted.size();) {
    const std::size_t end = sorted.find('\n', at);
    lines.push_back(sorted.substr(at, end - at));
    at = end + 1;
  }
  std::reverse(lines.begin(), lines.end());
  const std::string reversed =
      Table("patient_id,age,sex,chol,disease", 50, [&](int i) { return lines[i]; });
  const auto a = Read(sorted).AllExamples(), b = Read(reversed).AllExamples();
  REQUIRE(a->size() == b->size());
  for (std::size_t i = 0; i < a->size(); ++i) {
    CHECK(a->GetLabel(i).patient == b->GetLabel(i).patient);
  }
}

TEST_CASE("the column split overrides the hash where it says something") {
  const std::string csv = Table("patient_id,age,sex,chol,disease,split", 30, [](int i) {
    return StrCat("P", i, ",50,male,200,", i % 2, ",", i < 10 ? "Train" : i < 20 ? "test" : "");
  });
  const TableData data = Read(csv);
  CHECK(data.summary().train.examples >= 10);
  CHECK(data.summary().test.examples >= 10);
  CHECK(data.summary().total.examples == 30);
  CHECK(Says(Parse("patient_id,age,sex,chol,disease,split\nP1,50,male,200,1,trian\n").status(),
             "line 2, column \"split\": is not train, validation, test or nothing"));
}

TEST_CASE("a patient in two splits is refused, for he would be learned from and tested on") {
  const absl::Status status = Parse(
                                  "patient_id,age,sex,chol,disease,split\nP1,50,male,200,1,train\n"
                                  "P1,51,male,210,1,test\n")
                                  .status();
  CHECK(Says(status, "line 3, column \"split\": puts a patient into another split"));
}

TEST_CASE("rows that are no examples are counted by reason") {
  const TableData data = Read(
      "patient_id,age,sex,chol,disease\n"
      "P1,50,male,200,1\n"
      "P1,50,male, 200 ,1\n"
      "P1,51,male,200,1\n"
      ",50,male,200,1\n"
      "P3,50,male,200,\n"
      ",,,,\n"
      "P4,50,male,200,0\n");
  CHECK(data.summary().total.examples == 3);
  CHECK(data.summary().total.patients == 2);
  CHECK(data.summary().refusals ==
        std::map<RowRefusal, std::uint64_t>{{RowRefusal::kMissingPatient, 1},
                                            {RowRefusal::kMissingTarget, 1},
                                            {RowRefusal::kDuplicateRow, 1}});
  CHECK(data.summary().RefusedRows() == 3);
}

TEST_CASE("classes are found in any case, labels may be unknown, times must be above 0") {
  const TableData classes = Read(
      "patient_id,age,sex,chol,kind\nP1,50,male,200,Mild\nP2,51,male,200,2.0\n"
      "P3,52,male,200,moderate\nP4,53,male,200,NA\n",
      PlanOf("task = \"multiclass\"\nname = \"kind\"\nclasses = [\"none\", \"mild\", \"2\"]"));
  CHECK(Find(*classes.AllExamples(), 50).label.target == 1);
  CHECK(Find(*classes.AllExamples(), 51).target == std::vector<float>{2});
  CHECK(classes.summary().refusals.at(RowRefusal::kOtherClass) == 1);
  CHECK(classes.summary().refusals.at(RowRefusal::kMissingTarget) == 1);
  CHECK(classes.summary().total.positives == 0);

  const TableData labels = Read(
      "patient_id,age,sex,chol,a,b\nP1,50,male,200,1,\nP2,51,male,200,0,1\nP3,52,male,200,,?\n",
      PlanOf("task = \"multilabel\"\nclasses = [\"a\", \"b\"]"));
  const Row row = Find(*labels.AllExamples(), 50);
  CHECK(row.target[0] == 1);
  CHECK(std::isnan(row.target[1]));
  CHECK(labels.summary().refusals.at(RowRefusal::kMissingTarget) == 1);

  const plan::Plan survival = PlanOf("task = \"survival\"\ntime = \"T\"\nevent = \"E\"");
  const TableData times = Read(
      "patient_id,age,sex,chol,T,E\nP1,50,male,200,365.5,1\nP2,51,male,200,0,0\n"
      "P3,52,male,200,10,0\nP4,53,male,200,10,NA\nP5,54,male,200,-1,1\n",
      survival);
  CHECK(Find(*times.AllExamples(), 50).target == std::vector<float>{365.5, 1});
  CHECK(times.summary().total.positives == 1);
  CHECK(times.summary().refusals.at(RowRefusal::kNoTime) == 2);
  CHECK(times.summary().refusals.at(RowRefusal::kMissingTarget) == 1);
  CHECK(Says(Parse("patient_id,age,sex,chol,T,E\nP1,50,male,200,40000,1\n", survival).status(),
             "line 2, column \"T\": is more than a hundred years: the time is in days"));
}

TEST_CASE("what is wrong in a file is told with line and column, and nobody's value") {
  const absl::Status status = Parse(
                                  "patient_id,age,sex,chol,disease\n"
                                  "SECRET-1,50,male,\"233,5\",1\n"
                                  "SECRET-2,fifty,male,200,0\n"
                                  "SECRET-3,50,male,200,7\n")
                                  .status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Says(status, "line 2, column \"chol\": has a comma: write decimals with a point"));
  CHECK(Says(status, "line 3, column \"age\": is no number"));
  CHECK(Says(status, "line 4, column \"disease\": is not 0, 1 or nothing"));
  for (const char* secret : {"SECRET", "233,5", "fifty", "7"}) {
    CAPTURE(secret);
    CHECK(ToStd(status.message()).find(secret) == std::string_view::npos);
  }
  const absl::Status many = Parse(Table("patient_id,age,sex,chol,disease", 30, [](int i) {
                              return StrCat("P", i, ",x,male,200,1");
                            })).status();
  CHECK(std::ranges::count(ToStd(many.message()), '\n') == 10);
  CHECK(Says(many, "... and 20 more"));
}

TEST_CASE("what spreadsheets export is told apart in words") {
  CHECK(Says(Parse("patient_id;age\nP1;50\n").status(), "separated by semicolons"));
  CHECK(Says(Parse("patient_id\tage\nP1\t50\n").status(), "separated by tabs"));
  CHECK(Says(Parse(std::string_view("\xff\xfep\0a\0", 6)).status(), "this is no UTF-8 text"));
  CHECK(Says(Parse("patient_id,Age,sex,chol\nP1,50,male,200\n").status(),
             "missing: \"disease\", \"age\" (but \"Age\")"));
  CHECK(Says(Parse("").status(), "the table is empty"));
  // A file without a header: its first line is a patient.
  const absl::Status headless = Parse("SECRET-1,63,63,233,1\nSECRET-2,41,2,200,0\n").status();
  CHECK(Says(headless, "line 1: columns 2 and 3 have the same name"));
  CHECK(ToStd(headless.message()).find("63") == std::string_view::npos);
  CHECK(Parse("\xef\xbb\xbfpatient_id,age,sex,chol,disease\r\nP1,50,male,200,1\r\n").ok());
}

TEST_CASE("a column whose values are mostly beyond the range refuses the plan: another unit") {
  const auto cholesterol = [](int rows, auto value) {
    return Parse(Table("patient_id,age,sex,chol,disease", rows,
                       [&](int i) { return StrCat("P", i, ",50,male,", value(i), ",", i % 2); }))
        .status();
  };
  const absl::Status millimoles = cholesterol(60, [](int i) { return StrCat(5 + 0.01 * i); });
  CHECK(absl::IsFailedPrecondition(millimoles));
  CHECK(Says(millimoles,
             "column \"chol\": 60 of the 60 values (the median is 5.3) are beyond the plan's range "
             "of 100 to 600: the unit must be another at this site"));
  CHECK(Says(cholesterol(60, [](int i) { return i < 40 ? "5" : "200"; }), "40 of the 60 values"));
  CHECK(cholesterol(60, [](int i) { return i < 30 ? "5" : "200"; }).ok());
  // Who has few patients does not tell how many, nor their median.
  const absl::Status few = cholesterol(5, [](int) { return "5.271"; });
  CHECK(Says(few, "more than half of the values (fewer than 10) are beyond"));
  CHECK_FALSE(ToStd(few.message()).find("median") != std::string_view::npos);
  CHECK(Says(cholesterol(60, [](int i) { return i < 57 ? "5" : "200"; }),
             "nearly all of the 60 values"));
}

TEST_CASE("categories and classes that are written in another way refuse the plan") {
  CHECK(Says(Parse(Table("patient_id,age,sex,chol,disease", 20,
                         [](int i) { return StrCat("P", i, ",50,", i % 2 ? "m" : "f", ",200,1"); }))
                 .status(),
             "column \"sex\": 20 of the 20 values are none of the plan's"));
  CHECK(Says(
      Parse(Table("patient_id,age,sex,chol,kind", 20,
                  [](int i) { return StrCat("P", i, ",50,male,200,", i % 2 ? "leicht" : "mild"); }),
            PlanOf("task = \"multiclass\"\nname = \"kind\"\nclasses = [\"none\", \"severe\"]"))
          .status(),
      "column \"kind\": 20 of the 20 values are none of the plan's classes"));
}

TEST_CASE("a column that nobody has filled in is well") {
  const TableData data = Read(Table("patient_id,age,sex,chol,disease", 20,
                                    [](int i) { return StrCat("P", i, ",50,male,NA,", i % 2); }));
  CHECK(data.summary().columns[2].missing == 20);
  CHECK(data.Preparation().columns[1].present == 0);
}

TEST_CASE("one class, one patient and no row at all are counted, not refused") {
  const TableData one = Read("patient_id,age,sex,chol,disease\nP1,50,male,200,1\n");
  CHECK(one.summary().total.patients == 1);
  CHECK(one.AllExamples()->size() == 1);
  const TableData none = Read("patient_id,age,sex,chol,disease\n");
  CHECK(none.summary().total.examples == 0);
  CHECK(none.Examples(Split::kTrain)->size() == 0);
  CHECK(none.Preparation().examples == 0);
}

TEST_CASE("the preparation adds up the training rows in units of the plan's range") {
  const TableData data = Read(
      "patient_id,age,sex,chol,disease,split\n"
      "P1,60,male,100,1,train\n"
      "P1,30,male,350,0,train\n"
      "P2,90,female,NA,0,train\n"
      "P3,12,female,600,0,train\n"
      "P4,120,female,600,0,test\n"
      "P5,40,female,900,0,train\n");
  const metrics::PreparationSums sums = data.Preparation();
  CHECK(sums.examples == 5);
  CHECK(sums.patients == 4);
  REQUIRE(sums.columns.size() == 2);
  CHECK(sums.columns[0].present == 5);
  CHECK(sums.columns[0].sum == Approx((60 + 30 + 90 + 12 + 40) / 120.0));
  CHECK(sums.columns[0].squares == Approx((3600 + 900 + 8100 + 144 + 1600) / (120.0 * 120.0)));
  CHECK(sums.columns[1].present == 3);
  CHECK(sums.columns[1].missing == 2);  // one is beyond the range
  CHECK(sums.columns[1].sum == Approx(0 + 0.5 + 1));
}

TEST_CASE("a table is read from the data folder by its name") {
  const fs::path folder = fs::temp_directory_path() / StrCat("consilium-table-", ::getpid());
  REQUIRE(EnsureFolder(folder).ok());
  const plan::Plan plan = BinaryPlan();
  CHECK(Says(TableData::Read(folder, plan, Pseudonyms()).status(),
             "there is no table heart.csv here: put it into the site's data folder"));
  REQUIRE(WriteFileDurably(folder / "heart.csv", Simple(12)).ok());
  const auto data = TableData::Read(folder, plan, Pseudonyms());
  REQUIRE(data.ok());
  CHECK(data->summary().total.patients == 12);
  REQUIRE(WriteFileDurably(folder / "heart.csv", "patient_id\nP1,2\n").ok());
  const absl::Status status = TableData::Read(folder, plan, Pseudonyms()).status();
  CHECK(Says(status, "heart.csv"));
  CHECK(ToStd(status.message()).find(folder.string()) == std::string_view::npos);
  REQUIRE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace consilium::datasets::tables
