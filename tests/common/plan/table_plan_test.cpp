// Plans whose examples are rows of a table.

#include <cstdlib>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/plan/parsed_plans.h"
#include "tests/common/plan/table_plans.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

constexpr char kHead[] = R"([plan]
name = "heart"
[data]
source = "table"
[model]
architecture = "mlp"
[target]
name = "disease"
)";
const std::string kColumns = StrCat(kAgeColumn, kSexColumn);
const std::string kTable = StrCat("[table]\nname = \"heart\"\n", kColumns);

absl::StatusOr<Plan> With(std::string_view more) { return ParsePlan(StrCat(kHead, kTable, more)); }
absl::StatusOr<Plan> WithColumn(std::string_view keys) {
  return With(StrCat("[[table.columns]]\n", keys));
}

TEST_CASE("A table's columns become inputs: numbers, then values of categories, then indicators") {
  const Plan plan = Read(With(""));
  CHECK(plan.data.source == Source::kTable);
  CHECK(plan.table.name == "heart");
  REQUIRE(plan.table.columns.size() == 2);
  CHECK(plan.table.columns[0] == Column{"age", ColumnKind::kNumber, 0, 120, {}});
  CHECK(plan.table.columns[1].kind == ColumnKind::kCategory);
  CHECK(plan.table.columns[1].values == std::vector<std::string>{"male", "female"});
  CHECK(plan.table.Numbers() == 1);
  CHECK(plan.table.Inputs() == 3);
  CHECK(plan.model.hidden == std::vector<std::uint32_t>{32});
  CHECK(plan.training.augmentation == Augmentation::kNone);

  const Plan indicated = Read(
      ParsePlan(StrCat(kHead, "[table]\nname = \"heart\"\nmissing_indicators = true\n", kColumns)));
  CHECK(indicated.table.missing_indicators);
  CHECK(indicated.table.Inputs() == 4);
}

TEST_CASE("A column that would give the answer away, or says who the patient is, is no input") {
  CHECK_THAT(
      OnlyFault(WithColumn("name = \"disease\"\nminimum = 0\nmaximum = 1\n")),
      ContainsText("line 20: table.columns.name = \"disease\" cannot be an input: the column "
                   "is what is to be predicted"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"patient_id\"\nminimum = 0\nmaximum = 1\n")),
             ContainsText("cannot be an input: the column says who the patient is"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"split\"\nminimum = 0\nmaximum = 1\n")),
             ContainsText("cannot be an input: the column says what a row is for"));
  const std::string survival = StrCat(
      "[plan]\nname = \"s\"\n[data]\nsource = \"table\"\n[model]\narchitecture = \"logistic\"\n"
      "[target]\ntask = \"survival\"\ntime = \"T\"\nevent = \"E\"\n",
      kTable);
  const Plan plan = Read(ParsePlan(survival));
  CHECK(plan.target.Columns() == std::vector<std::string>{"T", "E"});
  CHECK(plan.target.Shape() == TaskShape{Task::kSurvival, 1});
  CHECK_THAT(Describe(plan), ContainsText("foreseeing \"E\" by time in \"T\""));
  const auto in_intervals = [&](std::string_view ends) {
    const std::string event = "event = \"E\"\n";
    std::string text = survival;
    return text.insert(text.find(event) + event.size(), StrCat("intervals = ", ends, "\n"));
  };
  const Plan hazards = Read(ParsePlan(in_intervals("[90, 365, 1825]")));
  CHECK(hazards.target.intervals == std::vector<double>{90, 365, 1825});
  CHECK_THAT(Describe(hazards), ContainsText("ends on day 90, 365, 1825"));
  CHECK_THAT(OnlyFault(ParsePlan(in_intervals("[90]"))), ContainsText("2 to 64 are allowed"));
  CHECK_THAT(OnlyFault(ParsePlan(in_intervals("[90, 90]"))), ContainsText("are not ascending"));
  for (const char* leak : {"T", "E"}) {
    CHECK_THAT(OnlyFault(ParsePlan(StrCat(survival, "[[table.columns]]\nname = \"", leak,
                                          "\"\nminimum = 0\nmaximum = 1\n"))),
               ContainsText("would give the answer away"));
  }
  CHECK_THAT(OnlyFault(ParsePlan(
                 StrCat("[plan]\nname = \"s\"\n[data]\nsource = \"table\"\n[model]\narchitecture = "
                        "\"mlp\"\n[target]\ntask = \"multilabel\"\nclasses = [\"age\", \"b\"]\n",
                        kTable))),
             ContainsText("table.columns.name = \"age\" cannot be an input"));
}

TEST_CASE("A column that makes no sense is refused with its name") {
  CHECK_THAT(OnlyFault(WithColumn("name = \"age\"\nminimum = 0\nmaximum = 1\n")),
             ContainsText("line 20: table.columns.name = \"age\" comes twice"));
  CHECK_THAT(OnlyFault(WithColumn("minimum = 0\nmaximum = 1\n")),
             ContainsText("line 19: table.columns.name is missing"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nminimum = 9\nmaximum = 9\n")),
             ContainsText("minimum = 9 is not below maximum, which is 9 (column \"bp\")"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nminimum = 0\nmaximum = inf\n")),
             ContainsText("maximum = inf is out of range"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nminimum = 0\n")),
             ContainsText("maximum is missing: a number needs its plausible range"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nminimum = 0\nmaximum = 1\nvalues = [\"a\"]\n")),
             ContainsText("values has no effect: only a column of kind \"category\""));
  CHECK_THAT(OnlyFault(WithColumn("name = \"c\"\nkind = \"category\"\nvalues = [\"a\"]\n")),
             ContainsText("values lists 1: a category has 2 or more (column \"c\")"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"c\"\nkind = \"category\"\n")),
             ContainsText("values is missing"));
  CHECK_THAT(
      OnlyFault(WithColumn("name = \"c\"\nkind = \"category\"\nvalues = [\"yes\", \"Yes\"]\n")),
      ContainsText("holds \"Yes\" twice"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"c\"\nkind = \"category\"\nvalues = [\"1\", \"?\"]\n")),
             ContainsText("holds \"?\", which stands for a value that is missing"));
  CHECK_THAT(OnlyFault(WithColumn(
                 "name = \"c\"\nkind = \"category\"\nminimum = 0\nvalues = [\"a\", \"b\"]\n")),
             ContainsText("minimum = 0 has no effect: only a column of kind \"number\""));
  CHECK_THAT(OnlyFault(WithColumn("name = 'a\"b'\nminimum = 0\nmaximum = 1\n")),
             ContainsText("is not allowed: 1 to 127 ASCII characters without quote"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nminimum = 0\nmaximum = 1\nunit = \"mmHg\"\n")),
             ContainsText("table.columns.unit is unknown"));
  CHECK_THAT(OnlyFault(WithColumn("name = \"bp\"\nkind = \"nummber\"\n")),
             ContainsText("one of \"number\", \"category\""));
}

TEST_CASE("A table makes at most 4096 inputs") {
  const auto with = [](int values) {
    std::string list;
    for (int i = 0; i < values; ++i) StrAppend(&list, "\"v", i, "\", ");
    return WithColumn(StrCat("name = \"many\"\nkind = \"category\"\nvalues = [", list, "]\n"));
  };
  CHECK(Read(with(4093)).table.Inputs() == 4096);
  CHECK_THAT(OnlyFault(with(4094)), ContainsText("make 4097 inputs of the network: 1 to 4096"));
}

TEST_CASE("A table's name is the name of a file in the data folder") {
  for (const char* name : {"", "../heart", "a.csv", "labels", "LABELS", "a b"}) {
    CAPTURE(name);
    const auto plan = ParsePlan(StrCat(kHead, "[table]\nname = \"", name, "\"\n", kColumns));
    CHECK_THAT(OnlyFault(plan), ContainsText("is not allowed: 1 to 63 of letters, digits"));
  }
  CHECK_THAT(OnlyFault(ParsePlan(StrCat(kHead, "[table]\n", kColumns))),
             ContainsText("table.name is missing: NAME of the file NAME.csv"));
}

TEST_CASE("A plan of a table alone has no keys of images") {
  CHECK_THAT(OnlyFault(With("[preprocessing]\nimage_size = 64\n")),
             ContainsText("the table [preprocessing] has no effect"));
  CHECK_THAT(OnlyFault(With("[training]\naugmentation = \"radiograph\"\n")),
             ContainsText("augmentation = \"radiograph\" has no effect: it is of images"));
  CHECK_THAT(OnlyFault(With("[deidentification]\nretain = [\"device_identity\"]\n")),
             ContainsText("deidentification.retain has no effect"));
  CHECK_THAT(OnlyFault(With("[aggregation]\nupdates = \"sealed\"\n")),
             ContainsText("updates = \"sealed\" does not suit tables"));
  const std::string text = StrCat(kHead, kTable);
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string other = text;
    other.replace(other.find(from), from.size(), to);
    return ParsePlan(other);
  };
  CHECK_THAT(OnlyFault(changed("source = \"table\"", "source = \"table\"\nmodalities = [\"MR\"]")),
             ContainsText("data.modalities has no effect: it is of DICOM images"));
  CHECK_THAT(OnlyFault(changed("\"mlp\"", "\"resnet18\"")),
             ContainsText("does not suit data.source \"table\": one of \"logistic\", \"mlp\""));
  CHECK_THAT(OnlyFault(changed("\"mlp\"", "\"logistic\"\nnorm = \"batch\"")),
             ContainsText("norm = \"batch\" has no effect"));
  CHECK_THAT(OnlyFault(changed("[model]\narchitecture = \"mlp\"\n", "")),
             ContainsText("model.architecture is missing: data.source \"table\" needs one of"));
  CHECK(Says(changed("name = \"disease\"",
                     "task = \"segmentation\"\nname = \"disease\"\nclasses = [\"a\"]")
                 .status(),
             "target.task = \"segmentation\" needs images"));
  CHECK_THAT(OnlyFault(changed("source = \"table\"", "source = \"csv\"")),
             ContainsText("one of \"dicom\", \"table\""));
  CHECK(Says(ParsePlan(kHead).status(), "table.name is missing"));
  CHECK(Says(ParsePlan(kHead).status(), "table.columns is missing: describe each input"));
}

TEST_CASE("A site reads in words which columns a plan would read") {
  const std::string text = Describe(Read(With("")));
  INFO(text);
  CHECK_THAT(text, ContainsText("mlp with hidden layers of 32 units, classifying \"disease\""));
  CHECK_THAT(text, ContainsText("the table heart.csv; 1 or more patients a site"));
  CHECK_THAT(text, ContainsText("learns disease from age (0 to 120), sex (male/female); 3 inputs"));
  CHECK(text.find("pixels") == std::string::npos);
  CHECK(text.find("augmentation") == std::string::npos);
}

TEST_CASE("The example plans of tables are read, whole and in words") {
  const char* root = std::getenv("CONSILIUM_SOURCE");
  const fs::path plans = fs::path(root == nullptr ? "." : root) / "experiments" / "plans";
  const auto read = [&](const char* file) {
    const auto text = ReadTextFile(plans / file);
    INFO("set CONSILIUM_SOURCE to the root of the sources");
    REQUIRE(text.ok());
    return Read(ParsePlan(*text));
  };
  const Plan heart = read("heart-disease.toml");
  CHECK(heart.model.architecture == Architecture::kLogistic);
  CHECK(heart.table.columns.size() == 10);
  CHECK(heart.table.Numbers() == 5);
  CHECK(heart.table.Inputs() == 23);  // 5 numbers, 13 values of categories, 5 indicators
  CHECK_FALSE(heart.training.class_weighting);
  CHECK_THAT(Describe(heart), ContainsText("learns disease from age (18 to 100), "));
  const Plan breast = read("breast-cancer-survival.toml");
  CHECK(breast.target.task == Task::kSurvival);
  CHECK_THAT(Describe(breast), ContainsText("pooled test concordance of"));
}

TEST_CASE("Cells that stand for nothing, and values that are the same in another writing") {
  for (const char* cell : {"", "NA", "na", "N/A", "#N/A", "NaN", "nan", "NULL", "?", "."}) {
    CAPTURE(cell);
    CHECK(IsMissing(cell));
  }
  for (const char* cell : {"0", "none", "-", "unknown", " "}) {
    CAPTURE(cell);
    CHECK_FALSE(IsMissing(cell));
  }
  CHECK(Comparable("Yes") == Comparable("yes"));
  CHECK(Comparable("1") == Comparable("1.0"));
  CHECK(Comparable("-0") == Comparable("0"));
  CHECK(Comparable("1e1") == Comparable("10"));
  CHECK(Comparable("1") != Comparable("2"));
  CHECK(Comparable("I") != Comparable("II"));
}

}  // namespace
}  // namespace consilium::plan
