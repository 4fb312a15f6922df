// The sessions of masked runs' evaluations.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

TEST_CASE("an evaluation survives one of four sites, at any step") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(kSteps[step]);
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, step, false);
  federation.Wait(700);
  federation.Wait(700);
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  CHECK(federation.All<StorePooledEvaluation>().at(0).evaluation.sites.contains(kD) == (step > 2));
  CHECK(federation.state().evaluation_attempt == 2);
}

TEST_CASE("an evaluation's session that fails is repeated with fresh keys, twice at most") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 1, false);
  CHECK(federation.state().evaluation_attempt == 1);
  const AttemptKey evaluation{RunId("masked-0001"), 1, 0};
  federation.Do(SiteTaskFailed{kC, evaluation, "out of memory"});
  federation.Run();
  CHECK(federation.state().evaluation_attempt == 2);
  CHECK_THAT(federation.LastText(Kind::kRoundFailed), ContainsText("the evaluation: "));
  SECTION("and then succeeds") {
    federation.pass = nullptr;
    federation.Connect(kC);
    federation.Run();
    CHECK(Published(federation));
  }
  SECTION("and then the candidate cannot be the best") {
    federation.Do(SiteTaskFailed{kC, evaluation, "out of memory"});
    federation.Run();
    federation.Do(SiteTaskFailed{kC, evaluation, "out of memory"});
    federation.Run();
    CHECK(federation.state().evaluation_attempt == 3);
    CHECK_THAT(federation.LastText(Kind::kRoundEvaluated), ContainsText("it cannot be the best"));
    CHECK_FALSE(federation.state().best.has_value());
    CHECK(federation.engine().ended());
  }
  CHECK(federation.violations().empty());
}

TEST_CASE("an evaluation that fails once shares were asked for is not asked for again") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 4, false);
  REQUIRE(federation.state().opening);
  SECTION("by a silent site") { federation.Wait(1000); }
  SECTION("by a restart whose records are damaged") {
    federation.damage = [](std::vector<WorkRecord>& work) { work.resize(1); };
    federation.Restart(federation.sites());
    federation.Run();
  }
  CHECK(federation.state().evaluation_attempt == 1);
  CHECK_THAT(federation.LastText(Kind::kRoundEvaluated), ContainsText("it cannot be the best"));
  CHECK_FALSE(federation.state().opening);
  CHECK(federation.engine().ended());
}

TEST_CASE("an evaluation that a restart cuts off goes on in the same session") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, step, false);
  federation.pass = nullptr;
  federation.Restart({});
  CHECK_THAT(federation.LastText(Kind::kWaiting),
             ContainsText("on c, which is not connected, until "));
  for (const SiteId& site : federation.sites()) federation.Connect(site);
  federation.Run();
  CHECK(Published(federation));
  CHECK(federation.state().evaluation_attempt == 2);  // validation and test
  CHECK(federation.violations().empty());
}

TEST_CASE(
    "a candidate that too few sites can evaluate is not the best, and is not waited for long") {
  MaskedFederation federation(MaskedPlan(), 3);
  federation.hears = [](const SiteId&, const wire::ToSite& message) {
    return !std::holds_alternative<wire::EvaluateRequest>(message);
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.state().phase == Phase::kEvaluating);
  federation.Disconnect(kB);
  federation.Disconnect(kC);
  federation.Wait(610);
  CHECK_THAT(federation.LastText(Kind::kRoundEvaluated), ContainsText("cannot be the best"));
  CHECK(federation.All<StorePooledEvaluation>().empty());
}

TEST_CASE("results that cannot be are told, and never make a best model") {
  MaskedFederation federation(MaskedPlan(), 3);
  federation.site(kB).results.compared = 50;
  federation.Start();
  federation.Run();
  CHECK_THAT(federation.LastText(Kind::kRoundEvaluated), ContainsText("one of them sent nonsense"));
  CHECK(federation.All<StorePooledEvaluation>().empty());
  CHECK(federation.All<Publish>().empty());
}

TEST_CASE("with a last published model the sites compare themselves, and one that fell stops it") {
  plan::Plan plan = MaskedPlan();
  plan.gate.maximum_site_drop = 0.02;
  const bool fell = GENERATE(false, true);
  MaskedFederation federation(plan, 3, 1, {ModelNumber(77), {}});
  for (const SiteId& site : federation.sites()) federation.site(site).results.compared = 1;
  federation.site(kB).results.worse = fell ? 1 : 0;
  federation.Start();
  federation.Run();
  const auto requests = federation.SentTo<wire::EvaluateRequest>(kA);
  REQUIRE(requests.size() == 2);
  CHECK_FALSE(requests[0].last_published.has_value());
  CHECK(requests[1].last_published == ModelNumber(77));
  CHECK(Published(federation) == !fell);
  CHECK_THAT(federation.LastText(fell ? Kind::kGateFailed : Kind::kGatePassed),
             ContainsText(StrCat("no site of 3 that compared itself is more than 0.020 below the "
                                 "last published model (",
                                 fell ? "1 is)" : "0 are)")));
}

}  // namespace
}  // namespace consilium::coordinator
