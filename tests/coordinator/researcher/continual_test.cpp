#include "coordinator/researcher/continual.h"

#include "common/base/text.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"
#include "tests/catch.h"

using namespace consilium;
using namespace consilium::researcher;

namespace {

constexpr char kPlan[] = R"([plan]
name = "opacity"
description = "initial = \"published\""
[model]
architecture = "small_cnn"
initial = "published"  # goes on from the last one
[target]
name = "opacity"
[data]
modalities = ["DX"]
)";

std::string Model(const std::string& id, const std::string& run, const std::string& stage,
                  const std::string& created) {
  return StrCat(R"({"model": ")", id, R"(", "run": ")", run, R"(", "stage": ")", stage,
                R"(", "created": ")", created, R"("})");
}

}  // namespace

TEST_CASE("A plan that goes on from the last published model names it when it is submitted") {
  REQUIRE(BeginsWithPublished(kPlan));
  const ModelId model = crypto::Sha256("model");
  const std::string named = WithInitial(kPlan, model);
  CHECK_FALSE(BeginsWithPublished(named));
  CHECK_THAT(named, ContainsText("description = \"initial = \\\"published\\\"\""));
  CHECK_THAT(named, ContainsText("  # goes on from the last one"));
  const auto plan = plan::ParsePlan(named);
  INFO(plan.status().message());
  REQUIRE(plan.ok());
  CHECK(plan->model.initial == model);
}

TEST_CASE("Nothing but the line of the table [model] asks for the published model") {
  CHECK_FALSE(BeginsWithPublished("[target]\ninitial = \"published\"\n"));
  CHECK_FALSE(BeginsWithPublished("[model]\n# initial = \"published\"\n"));
  CHECK_FALSE(BeginsWithPublished("[model]\ninitial = \"published or not\"\n"));
  CHECK(BeginsWithPublished("[ x ]\n[model]\r\n  initial=\"published\"\r\n"));
}

TEST_CASE("The newest model that the plan's own runs have published is taken") {
  const std::string old_id(64, 'a'), new_id(64, 'b'), other(64, 'c');
  const std::string models =
      StrCat("[", Model(new_id, "opacity-0003", "published", "2026-11-02T00:00:00Z"), ",",
             Model(old_id, "opacity-0001", "published", "2026-10-02T00:00:00Z"), ",",
             Model(other, "opacity-0004", "candidate", "2026-11-09T00:00:00Z"), ",",
             Model(other, "opacity-2-0001", "published", "2026-11-09T00:00:00Z"), "]");
  CHECK(NewestPublished(models, "opacity")->Hex() == new_id);
  CHECK(absl::IsNotFound(NewestPublished(models, "effusion").status()));
  CHECK(absl::IsNotFound(NewestPublished("[]", "opacity").status()));
  CHECK(absl::IsDataLoss(NewestPublished("{", "opacity").status()));
}
