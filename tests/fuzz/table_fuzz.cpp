#include "datasets/tables/table_data.h"

#include <algorithm>
#include <cmath>

#include "datasets/tables/profile.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::datasets::tables {
namespace {

// The first row's patient and value, which no message may name.
constexpr std::string_view kPatient = "PATIENT-8841-Q", kValue = "77.1234";

constexpr std::string_view kPlan = R"([plan]
name = "t"
[data]
source = "table"
[model]
architecture = "logistic"
[table]
name = "t"
missing_indicators = true
[[table.columns]]
name = "age"
minimum = 0
maximum = 120
[[table.columns]]
name = "sex"
kind = "category"
values = ["male", "female", "3"]
[target]
)";

const plan::Plan& PlanOf(Task task) {
  static const auto read = [](std::string_view target) {
    return *plan::ParsePlan(StrCat(kPlan, target));
  };
  static const plan::Plan binary = read("name = \"ill\"");
  static const plan::Plan classes =
      read("task = \"multiclass\"\nname = \"ill\"\nclasses = [\"0\", \"mild\"]");
  static const plan::Plan labels = read("task = \"multilabel\"\nclasses = [\"ill\", \"days\"]");
  static const plan::Plan survival = read("task = \"survival\"\ntime = \"days\"\nevent = \"ill\"");
  switch (task) {
    case Task::kMulticlass:
      return classes;
    case Task::kMultilabel:
      return labels;
    case Task::kSurvival:
      return survival;
    default:
      return binary;
  }
}

const deidentification::Pseudonymiser& Pseudonyms() {
  static const auto pseudonyms = deidentification::Pseudonymiser::Create(crypto::Secret(32));
  return *pseudonyms;
}

void CheckExample(const plan::Plan& plan, const std::vector<float>& input,
                  const std::vector<float>& target) {
  FUZZ_EXPECT(std::isnan(input[0]) || (input[0] >= 0 && input[0] <= 120));
  FUZZ_EXPECT(input[1] + input[2] + input[3] <= 1);
  FUZZ_EXPECT(input[4] == (std::isnan(input[0]) ? 1 : 0));
  for (const float value : target) {
    const bool flag = value == 0 || value == 1;
    if (plan.target.task == Task::kMultilabel) {
      FUZZ_EXPECT(flag || std::isnan(value));
    } else if (plan.target.task != Task::kSurvival) {
      FUZZ_EXPECT(flag);
    }
  }
  if (plan.target.task == Task::kSurvival) {
    FUZZ_EXPECT(target[0] > 0 && std::isfinite(target[0]) && (target[1] == 0 || target[1] == 1));
  }
}

void CheckRead(const plan::Plan& plan, const TableData& data) {
  const auto all = data.AllExamples();
  std::vector<float> input(all->input_shape().Elements()), target(all->target_elements());
  FUZZ_EXPECT(input.size() == 5);
  for (std::size_t i = 0; i < all->size(); ++i) {
    all->Get(i, input);
    all->GetTarget(i, target);
    CheckExample(plan, input, target);
  }
  const TableSummary& summary = data.summary();
  FUZZ_EXPECT(summary.train.examples + summary.validation.examples + summary.test.examples ==
              all->size());
  for (const ColumnCounts& counts : summary.columns) {
    FUZZ_EXPECT(counts.present + counts.missing + counts.outside == all->size());
    FUZZ_EXPECT(counts.outside <= counts.present);
  }
  const metrics::PreparationSums sums = data.Preparation();
  const metrics::ColumnSums& age = sums.columns.at(0);
  FUZZ_EXPECT(age.present + age.missing == sums.examples);
  FUZZ_EXPECT(age.sum >= 0 && age.squares <= age.sum + 1e-9 &&
              age.sum <= static_cast<double>(age.present) + 1e-9);
}

}  // namespace
}  // namespace consilium::datasets::tables

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::datasets::tables;
  fuzz::Cursor cursor(fuzz::Input(data, size));
  const plan::Plan& plan = PlanOf(static_cast<Task>(cursor.Byte() % 5));
  const std::string_view text = AsText(cursor.Rest());
  const std::string named =
      StrCat("patient_id,age,sex,ill,days\n", kPatient, ",", kValue, ",male,1,5\n", text);
  // A row is an object of its own until the order is known.
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(16 * named.size()));
  for (const std::string_view csv : {text, std::string_view(named)}) {
    const auto read = TableData::Parse(csv, plan, Pseudonyms());
    if (read.ok()) {
      CheckRead(plan, *read);
    } else if (csv.data() == named.data()) {
      FUZZ_EXPECT(!fuzz::Contains(ToStd(read.status().message()), kPatient));
      FUZZ_EXPECT(!fuzz::Contains(ToStd(read.status().message()), kValue));
    }
  }
  const auto profile = Profile(named);
  if (!profile.ok()) return 0;
  FUZZ_EXPECT(!fuzz::Contains(ToText(*profile), kPatient));
  const std::string columns = SuggestedColumns(*profile, {"ill", "days"});
  FUZZ_EXPECT(!ToJson(*profile, columns).empty() && !fuzz::Contains(columns, kValue));
  if (fuzz::Contains(columns, "[[table.columns]]")) {
    const auto suggested =
        plan::ParsePlan(StrCat("[plan]\nname = \"s\"\n[data]\nsource = \"table\"\n[model]\n"
                               "architecture = \"mlp\"\n[target]\nname = \"ill\"\n[table]\nname = "
                               "\"s\"\n",
                               columns));
    FUZZ_EXPECT(suggested.ok());
  }
  return 0;
}
