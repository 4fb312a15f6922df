// Images with each patient's row of a table.

#include <cmath>

#include "common/base/status.h"
#include "datasets/patient_split.h"
#include "datasets/tables/table_data.h"
#include "tests/catch.h"

namespace consilium::datasets::tables {
namespace {

plan::Plan PlanOf() {
  const auto plan = plan::ParsePlan(R"([plan]
name = "both"
[data]
modalities = ["DX"]
[target]
name = "icu"
[table]
name = "patients"
missing_indicators = true
[[table.columns]]
name = "age"
minimum = 0
maximum = 100
[[table.columns]]
name = "sex"
kind = "category"
values = ["male", "female"]
)");
  INFO(plan.status().ToString());
  REQUIRE(plan.ok());
  return *plan;
}

deidentification::Pseudonymiser Pseudonyms() {
  return *deidentification::Pseudonymiser::Create(crypto::Secret(32));
}

// Two pixels an image.
class Images final : public Dataset {
 public:
  explicit Images(std::vector<std::string> patients) : patients_(std::move(patients)) {}
  std::size_t size() const override { return patients_.size(); }
  std::uint32_t image_size() const override { return 2; }
  InputShape input_shape() const override { return {.height = 1, .width = 2}; }
  Label Get(std::size_t index, std::span<float> out) const override {
    REQUIRE(out.size() == 2);
    out[0] = out[1] = static_cast<float>(index);
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override {
    return {1, PatientNumber(Pseudonyms().PatientPseudonym(patients_[index]))};
  }

 private:
  const std::vector<std::string> patients_;
};

absl::StatusOr<TableData> Parse(std::string_view csv) {
  return TableData::Parse(csv, PlanOf(), Pseudonyms());
}

TEST_CASE("Each image is followed by its patient's row; without a row all is missing") {
  const auto table = Parse("patient_id,age,sex\nP1,50,female\nP2,,male\nP9,20,male\n");
  INFO(table.status().ToString());
  REQUIRE(table.ok());
  const auto both =
      table->Beside(std::make_shared<Images>(std::vector<std::string>{"P1", "P3", "P1", "P2"}));
  CHECK(both->size() == 4);
  CHECK(both->input_shape() == InputShape{.height = 1, .width = 2, .columns = 4});
  std::vector<float> input(6);
  CHECK(both->Get(2, input).target == 1);
  CHECK(input == std::vector<float>{2, 2, 50, 0, 1, 0});
  both->Get(3, input);
  CHECK(std::isnan(input[2]));
  CHECK(std::vector<float>(input.begin() + 3, input.end()) == std::vector<float>{1, 0, 1});
  both->Get(1, input);
  CHECK(std::isnan(input[2]));
  CHECK(std::vector<float>(input.begin() + 3, input.end()) == std::vector<float>{0, 0, 1});
}

TEST_CASE("The federation's means are of the images' patients, each counted once") {
  const auto table = Parse("patient_id,age,sex\nP1,50,female\nP2,,male\nP9,20,male\n");
  REQUIRE(table.ok());
  const metrics::PreparationSums sums =
      table->PreparationOf(Images({"P1", "P3", "P1", "P2", "P1"}));
  CHECK(sums.patients == 3);
  CHECK(sums.examples == 3);
  REQUIRE(sums.columns.size() == 1);
  CHECK(sums.columns[0] == metrics::ColumnSums{1, 2, 0.5, 0.25});
  CHECK(metrics::Check(sums).ok());
}

TEST_CASE("Two rows of a patient are refused beside images, without his name") {
  const auto table = Parse("patient_id,age,sex\nSMITH,50,female\nP2,40,male\nSMITH,51,female\n");
  CHECK(absl::IsInvalidArgument(table.status()));
  const std::string message(table.status().message());
  CHECK_THAT(message, ContainsText("line 4, column \"patient_id\": names the patient of a line "
                                   "before: beside images a table has one row a patient"));
  CHECK(message.find("SMITH") == std::string::npos);
}

TEST_CASE("The table beside images needs no column of the target, as labels.csv has it") {
  CHECK(Parse("patient_id,age,sex\nP1,50,female\n").ok());
  CHECK(absl::IsFailedPrecondition(Parse("patient_id,sex\nP1,female\n").status()));
}

}  // namespace
}  // namespace consilium::datasets::tables
