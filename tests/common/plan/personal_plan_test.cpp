#include "common/plan/plan.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::plan {
namespace {

const std::string kInitial =
    "initial = \"0123456789012345678901234567890123456789012345678901234567890123\"\n";

absl::StatusOr<Plan> With(std::string_view model, std::string_view more = "") {
  return ParsePlan(
      StrCat("[plan]\nname = \"small\"\n[target]\nname = \"opacity\"\n[data]\n"
             "modalities = [\"DX\"]\n[model]\n",
             model, more));
}

}  // namespace

TEST_CASE("a plan freezes tensors of its initial model by the beginnings of their names") {
  const auto plan = With(StrCat("frozen = [\"conv1.\", \"norm1\"]\n", kInitial));
  INFO(plan.status());
  REQUIRE(plan.ok());
  CHECK(plan->model.frozen == std::vector<std::string>{"conv1.", "norm1"});
  CHECK_THAT(Describe(*plan), ContainsText("frozen: conv1., norm1"));
  CHECK(Says(With("frozen = [\"conv1.\"]\n").status(), "needs model.initial"));
  CHECK(Says(With(StrCat("frozen = []\n", kInitial)).status(), "lists 0"));
  CHECK(Says(With(StrCat("frozen = [\"a b\"]\n", kInitial)).status(), "printable ASCII"));
}

TEST_CASE("adapters need an initial model and a network with more than its last layer") {
  const auto plan = With(StrCat("adapter_rank = 4\n", kInitial));
  REQUIRE(plan.ok());
  CHECK(plan->model.adapter_rank == 4);
  CHECK_THAT(Describe(*plan), ContainsText("adapters of rank 4"));
  CHECK(Says(With("adapter_rank = 4\n").status(), "needs model.initial"));
  CHECK(Says(With(StrCat("adapter_rank = 65\n", kInitial)).status(), "adapter_rank = 65"));
  CHECK(With("adapter_rank = 0\n").ok());
}

TEST_CASE("a plan says how each site makes a model of its own") {
  const auto plan = With("", "[personalisation]\nmethod = \"ditto\"\nepochs = 2\npull = 0.5\n");
  INFO(plan.status());
  REQUIRE(plan.ok());
  CHECK(plan->personalisation == Personalisation{PersonalMethod::kDitto, 2, 0.5});
  CHECK_THAT(Describe(*plan), ContainsText("ditto, 2 epochs a round, pull 0.5"));
  CHECK(With("")->personalisation == Personalisation{});
  CHECK_THAT(Describe(*With("")), !ContainsText("personal"));
}

TEST_CASE("what does not suit a method of personalisation is refused with advice") {
  const auto says = [](std::string_view text, std::string_view words) {
    return Says(With("", StrCat("[personalisation]\n", text)).status(), words);
  };
  CHECK(says("epochs = 2\n", "no personal model"));
  CHECK(says("method = \"local_head\"\npull = 1\n", "only \"ditto\" has it"));
  CHECK(says("method = \"ditto\"\npull = 0\n", "pull"));
  CHECK(says("method = \"fedbn\"\n", "\"local_norm\""));
}

}  // namespace consilium::plan
