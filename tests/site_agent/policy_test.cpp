#include "site_agent/policy.h"

#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::site_agent {
namespace {

plan::Plan SomePlan() {
  plan::Plan plan;
  plan.name = "chest-opacity";
  plan.target.name = "opacity";
  plan.data.modalities = {"DX"};
  plan.cohort.minimum_sites = 3;
  plan.stop.rounds = 10;
  return plan;
}

std::string Refusal(std::string_view toml) {
  const auto policy = ParsePolicy(toml);
  REQUIRE(policy.ok());
  return std::string(policy->Check(SomePlan(), "ada").message());
}

TEST_CASE("without a policy file every plan with masked updates of three sites is allowed") {
  const TemporaryFolder folder;
  const auto policy = LoadPolicy(folder / "policy.toml");
  REQUIRE(policy.ok());
  CHECK(policy->Check(SomePlan(), "ada").ok());
  plan::Plan two = SomePlan();
  two.cohort.minimum_sites = 2;
  CHECK(absl::IsPermissionDenied(policy->Check(two, "ada")));
}

TEST_CASE("each rule of a policy forbids what it says") {
  CHECK(Refusal("plans = [\"chest-opacity\"]\ntargets = [\"opacity\"]\n"
                "architectures = [\"small_cnn\"]\nminimum_cohort = 3\nmaximum_rounds = 10\n")
            .empty());
  CHECK_THAT(Refusal("enabled = false"), ContainsText("switched its participation off"));
  CHECK_THAT(Refusal("plans = [\"other\"]"), ContainsText("plan \"chest-opacity\""));
  CHECK_THAT(Refusal("targets = []"), ContainsText("target \"opacity\""));
  CHECK_THAT(Refusal("architectures = [\"resnet18\"]"), ContainsText("architecture \"small_cnn\""));
  CHECK_THAT(Refusal("researchers = [\"bob\"]"), ContainsText("researcher \"ada\""));
  CHECK_THAT(Refusal("modalities = [\"CR\"]"), ContainsText("modality \"DX\""));
  CHECK_THAT(Refusal("minimum_cohort = 4"), ContainsText("at least 4"));
  CHECK_THAT(Refusal("maximum_rounds = 9"), ContainsText("at most 9"));
}

TEST_CASE("a policy names the tables and columns that plans may read, and may forbid recordings") {
  plan::Plan plan = SomePlan();
  plan.data = {};
  plan.data.source = plan::Source::kTable;
  plan.table.name = "stays";
  plan.table.columns = {{.name = "age"}, {.name = "sodium"}};
  const auto refusal = [&](std::string_view toml) {
    const auto policy = ParsePolicy(toml);
    INFO(policy.status());
    REQUIRE(policy.ok());
    return std::string(policy->Check(plan, "ada").message());
  };
  CHECK(refusal("tables = [\"stays\"]\ncolumns = [\"sodium\", \"age\", \"ph\"]").empty());
  CHECK_THAT(refusal("tables = [\"other\"]"), ContainsText("table \"stays\""));
  CHECK_THAT(refusal("columns = [\"age\"]"), ContainsText("column \"sodium\""));
  CHECK(refusal("recordings = false").empty());
  plan = SomePlan();
  CHECK(refusal("tables = []\ncolumns = []").empty());
  plan.data.source = plan::Source::kAudio;
  CHECK_THAT(refusal("recordings = false"), ContainsText("recordings"));
}

TEST_CASE("a plan that asks to retain more than the site does is declined with the rule") {
  plan::Plan plan = SomePlan();
  plan.deidentification.retain = {plan::Retain::kPatientCharacteristics,
                                  plan::Retain::kDeviceIdentity};
  CHECK(Policy{}.Check(plan, "ada").ok());
  const auto narrow = ParsePolicy("[deidentification]\nretain = [\"device_identity\"]\n");
  REQUIRE(narrow.ok());
  const absl::Status refused = narrow->Check(plan, "ada");
  CHECK(absl::IsPermissionDenied(refused));
  CHECK_THAT(std::string(refused.message()), ContainsText("retain \"patient_characteristics\""));
  CHECK_THAT(std::string(refused.message()), ContainsText("deidentification.retain"));
  plan.deidentification.retain = {plan::Retain::kInstitutionIdentity};
  CHECK(absl::IsPermissionDenied(Policy{}.Check(plan, "ada")));
  CHECK_FALSE(ParsePolicy("[deidentification]\nburned_in = \"clean\"\n").ok());
}

TEST_CASE("updates that the coordinator could read need the site's explicit consent") {
  plan::Plan sealed = SomePlan();
  sealed.aggregation.updates = plan::Updates::kSealed;
  CHECK_THAT(std::string(Policy{}.Check(sealed, "ada").message()), ContainsText("sealed_updates"));
  CHECK(ParsePolicy("sealed_updates = true")->Check(sealed, "ada").ok());
  sealed.cohort.minimum_sites = 2;
  CHECK_FALSE(ParsePolicy("sealed_updates = true")->Check(sealed, "ada").ok());
  CHECK(ParsePolicy("sealed_updates = true\nminimum_cohort = 2")->Check(sealed, "ada").ok());
}

TEST_CASE("a policy that cannot be understood is refused with its line") {
  const auto message = [](std::string_view toml) {
    const auto policy = ParsePolicy(toml);
    CHECK(absl::IsInvalidArgument(policy.status()));
    return std::string(policy.status().message());
  };
  CHECK_THAT(message("enabled = true\nminimum_cohrt = 3"), ContainsText("line 2"));
  CHECK_THAT(message("enabled = \"no\""), ContainsText("true or false"));
  CHECK_THAT(message("plans = \"chest\""), ContainsText("list of texts"));
  CHECK_THAT(message("plans = [1]"), ContainsText("list of texts"));
  CHECK_THAT(message("minimum_cohort = 1"), ContainsText("from 2"));
  CHECK_THAT(message("decide = \"never\""), ContainsText("\"rules\" or \"ask\""));
  CHECK_THAT(message("enabled = "), ContainsText("line 1"));
}

}  // namespace
}  // namespace consilium::site_agent
