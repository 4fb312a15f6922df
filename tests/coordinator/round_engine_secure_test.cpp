// Masked runs, with real site sessions: the steps of an attempt, also repeated, stopped, and when
// the coordinator is killed.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

TEST_CASE("a masked run opens the exact sum of each round, and pools its evaluations unseen") {
  plan::Plan plan = MaskedPlan();
  plan.model.initial.reset();
  plan.stop.rounds = 2;
  MaskedFederation federation(plan, 4);
  federation.Start();
  federation.Run();
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  CHECK(federation.All<Aggregate>().size() == 2);
  CHECK(federation.Steps(false).size() == 10);
  CHECK(federation.Steps(true).size() == 15);  // two rounds' and the final one
  CHECK(federation.All<StorePooledEvaluation>().size() == 3);
  CHECK(federation.All<StorePooledEvaluation>().at(2).evaluation.split ==
        wire::EvaluationSplit::kTest);
  const auto steps = federation.Events(Kind::kSecureStep);
  CHECK(Steps{steps[0].text, steps[1].text, steps[2].text, steps[3].text, steps[4].text} == kSteps);
  CHECK(steps[4].values.at("survivors") == 4);
  CHECK(steps[4].values.at("recovered") == 0);
  CHECK(steps[4].values.at("threshold") == 3);
  CHECK(steps[0].values.at("asked") == 4);
  CHECK(steps[0].values.at("sites") == 4);
  const auto aggregated = federation.Events(Kind::kAggregated).at(1);
  CHECK(aggregated.values.at("loss") == Approx(kSiteLoss));
  CHECK(aggregated.values.at("train_seconds") == Approx(3));
  CHECK(federation.Events(Kind::kRoundEvaluated).at(0).values.at("auroc") ==
        Approx(0.9).margin(0.03));
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
}

TEST_CASE(
    "what a masked session is of is the same for all sites, and says everything of the plan") {
  plan::Plan plan = MaskedPlan();
  plan.secure_aggregation.threshold = 4;
  plan.secure_aggregation.clip_norm = 7;
  MaskedFederation federation(plan, 4);
  federation.site(kB).examples = 300;
  federation.Start();
  federation.Run();
  const auto config = federation.SentTo<wire::TrainRequest>(kA).at(0).secure.value();
  CHECK(config == federation.SentTo<wire::TrainRequest>(kD).at(0).secure.value());
  CHECK(config.federation == "thorax");
  CHECK(config.roster == federation.roster.hash);
  CHECK(config.key == secagg::SessionKey{{RunId("masked-0001"), 1, 1}, secagg::Purpose::kTraining});
  CHECK(config.model == ModelNumber(200));
  CHECK(config.cohort_size == 4);
  CHECK(config.threshold == 4);
  CHECK(config.values == kParameters);
  CHECK(config.sums == wire::kUpdateSums);
  CHECK_FALSE(config.layout.IsZero());
  CHECK(config.clip_norm == 7);
  CHECK(config.total_weight == 600);
  CHECK(config.weight_rule == "examples");
  CHECK(config.privacy == "none");
  const auto evaluation = federation.SentTo<wire::EvaluateRequest>(kA).at(0).secure.value();
  CHECK(evaluation.values == 0);
  CHECK(evaluation.sums == metrics::EvaluationRingSize({}));
  CHECK(evaluation.layout.IsZero());
  CHECK(evaluation.model == ModelNumber(1));
}

TEST_CASE("a masked run with two sites waits, and says that secure aggregation needs three") {
  plan::Plan plan = MaskedPlan();
  plan.cohort.minimum_sites = 2;  // no plan that is parsed says so
  MaskedFederation federation(plan, 3);
  federation.Start({kA, kB});
  federation.Run();
  federation.Wait(7200);
  CHECK(federation.All<OpenAttempt>().empty());
  CHECK_THAT(federation.LastText(Kind::kWaiting),
             ContainsText("for 3 sites to accept the plan, as secure aggregation needs (2 did)"));
  federation.Connect(kC);
  federation.Run();
  CHECK(Published(federation));
}

TEST_CASE("a masked attempt is not begun before its threshold is connected") {
  plan::Plan plan = MaskedPlan();
  plan.stop.rounds = 2;
  plan.secure_aggregation.threshold = 4;
  MaskedFederation federation(plan, 4);
  federation.Start();
  federation.Run();
  REQUIRE(federation.engine().ended());

  MaskedFederation fewer(plan, 4);
  BeginWithoutAnswersFrom(fewer, {}, 0);
  MaskedFederation late(plan, 4);
  late.Start({kA, kB, kC});
  late.Run();
  late.Wait(600);
  CHECK(late.All<OpenAttempt>().empty());
  CHECK_THAT(late.LastText(Kind::kWaiting), ContainsText("for 4 sites"));
}

TEST_CASE("an attempt that fails once shares were asked for is not repeated: the next round is") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 4);
  CHECK(federation.state().opening);
  federation.Wait(600);
  CHECK_THAT(federation.LastText(Kind::kRoundFailed),
             ContainsText("the next round begins from the same model"));
  CHECK(federation.state().round == 2);
  CHECK(federation.state().attempt == 1);
  CHECK(federation.state().base == ModelNumber(200));
  CHECK(federation.state().failed_attempts == 1);
  CHECK(federation.SentTo<wire::TrainRequest>(kA).front().seed !=
        federation.SentTo<wire::TrainRequest>(kA).back().seed);
  federation.pass = nullptr;
  federation.Disconnect(kC);
  federation.Connect(kC);
  federation.Run();
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("rounds that are spent end the run after the third") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 4);
  federation.Wait(10'000);
  REQUIRE(federation.All<EndRun>().size() == 1);
  CHECK(federation.All<EndRun>()[0].failed);
  CHECK_THAT(federation.All<EndRun>()[0].outcome,
             ContainsText("3 attempts failed one after another, the last in round 3"));
  CHECK(federation.All<Aggregate>().empty());
}

TEST_CASE("a coordinator that is restarted again and again while it opens a sum opens it") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 4);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(federation.state().opening);
    federation.Restart(federation.sites());
    federation.Run();
  }
  CHECK(federation.Key() == AttemptKey{RunId("masked-0001"), 1, 1});
  federation.pass = nullptr;
  federation.Restart(federation.sites());
  federation.Run();
  CHECK(Published(federation));
  CHECK(federation.Events(Kind::kRoundFailed).empty());
  CHECK(federation.violations().empty());
}

TEST_CASE("a restart in any step goes on with the session, to the same sum") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4, 5);
  const std::string name = step < kSteps.size() ? kSteps[step] : "aggregating";
  CAPTURE(name);
  MaskedFederation federation(MaskedPlan(), 3);
  if (step < kSteps.size()) {
    BeginWithoutAnswersFrom(federation, {kC}, step);
    federation.pass = nullptr;
  } else {
    federation.disk_is_full = true;
    federation.Start();
    federation.Run();
    REQUIRE(federation.state().phase == Phase::kAggregating);
  }
  federation.Restart({kA});
  federation.Run();
  CHECK(federation.All<Publish>().empty());
  federation.Connect(kB);
  federation.Connect(kC);
  federation.Run();
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  CHECK(federation.All<Aggregate>().back().key == AttemptKey{RunId("masked-0001"), 1, 1});
  CHECK(federation.Events(Kind::kRoundFailed).empty());
  CHECK(federation.Steps(false) == kSteps);
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
}

TEST_CASE("every message twice, and all of them again at the end, change nothing") {
  MaskedFederation federation(MaskedPlan(), 4);
  federation.pass = [&](const SiteId&, const Event& event) {
    federation.Do(event);
    return true;
  };
  federation.Start();
  federation.Run();
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
  CHECK(federation.Events(Kind::kContributionLost).empty());
  CHECK(federation.Events(Kind::kUpdateReceived).size() == 4);
  CHECK(federation.All<StorePooledEvaluation>().size() == 2);
}

TEST_CASE("answers of an earlier attempt change nothing in a later one") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 2);
  const std::vector<Event> heard = federation.heard();
  federation.Wait(600);  // the deadline
  REQUIRE(federation.state().attempt == 2);
  const std::size_t steps = federation.Steps(false).size();
  for (const Event& event : heard) {
    const bool invited = std::holds_alternative<InviteAnswered>(event);
    const bool answered = std::holds_alternative<SecureAnswered>(event);
    if (!invited && !answered && !std::holds_alternative<ContributionComplete>(event)) continue;
    federation.ForgetActions();
    federation.Do(event);
    CHECK(federation.All<Send>().empty());
    CHECK(federation.All<Record>().empty());
  }
  CHECK(federation.Steps(false).size() + steps == steps);
}

TEST_CASE(
    "a site that is away for a moment when an attempt begins is enlisted, and may come back") {
  plan::Plan plan = MaskedPlan();
  plan.stop.rounds = 2;
  MaskedFederation federation(plan, 4);
  federation.pass = [&](const SiteId& site, const Event& event) {
    const bool last_of_round = StepOf(event, false) == "unmask" && federation.state().round == 1;
    if (last_of_round && site == kA && federation.connected().contains(kD))
      federation.Disconnect(kD);
    return true;
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.state().round == 2);
  CHECK(federation.All<OpenAttempt>().back().sites.contains(kD));
  CHECK(federation.Steps(false).size() == 5);
  federation.pass = nullptr;
  SECTION("in time") {
    federation.Wait(30);
    federation.Connect(kD);
    federation.Run();
    CHECK(federation.All<Aggregate>().back().counted.size() == 4);
  }
  SECTION("too late") {
    federation.Wait(60);
    CHECK(federation.All<Aggregate>().back().counted.size() == 3);
    CHECK_THAT(federation.LastText(Kind::kContributionLost),
               ContainsText("its connection was lost"));
  }
  CHECK(federation.violations().empty());
}

TEST_CASE("a stop cuts a session short, also while its sum is being opened") {
  const std::size_t step = GENERATE(0, 2, 4);
  plan::Plan plan = MaskedPlan();
  plan.stop.rounds = 5;
  MaskedFederation federation(plan, 3);
  federation.pass = [&](const SiteId& site, const Event& event) {
    return site != kC || federation.state().round < 2 || StepOf(event) != kSteps[step];
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.state().round == 2);
  CHECK(federation.state().opening == (step == 4));
  federation.Do(StopRequested{"anna"});
  CHECK_FALSE(federation.state().opening);
  federation.Run();
  CHECK(federation.All<Publish>().at(0).model == ModelNumber(1));
  CHECK(federation.violations().empty());
}

TEST_CASE("a sum that cannot be written is written later, with the same masks") {
  MaskedFederation federation(MaskedPlan(), 3);
  federation.disk_is_full = true;
  federation.Start();
  federation.Run();
  CHECK(federation.state().phase == Phase::kAggregating);
  federation.Wait(30);
  const auto aggregates = federation.All<Aggregate>();
  REQUIRE(aggregates.size() == 2);
  CHECK(aggregates[0].unmasking == aggregates[1].unmasking);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("a weight is capped as the roster says, and its share with it") {
  MaskedFederation federation(MaskedPlan(), 3);
  federation.site(kA).examples = 1000;
  federation.site(kA).weight_cap = 200;
  federation.roster.weight_caps = {{kA, 200}, {kB, 0}};
  federation.Start();
  federation.Run();
  CHECK(federation.SentTo<wire::TrainRequest>(kA).at(0).secure->total_weight == 400);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("what was done with whom is written into the audit log") {
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, 2);
  federation.Wait(2000);
  std::vector<std::string> actions;
  for (const Audit& audit : federation.All<Audit>()) actions.push_back(audit.action);
  CHECK(actions == std::vector<std::string>{"open run", "aggregate", "evaluate", "evaluate",
                                            "publish", "end run"});
  const Audit aggregate = federation.All<Audit>().at(1);
  CHECK(aggregate.subject == ModelNumber(1).Hex());
  for (const char* part :
       {"\"run\":\"masked-0001\"", "\"round\":1", "\"attempt\":1", "\"transcript\":\"",
        "\"threshold\":3", "\"sharers\":[\"a\",\"b\",\"c\",\"d\"]",
        "\"survivors\":[\"a\",\"b\",\"c\"]", "\"recovered\":[\"d\"]"}) {
    CHECK_THAT(aggregate.details, ContainsText(part));
  }
  CHECK_THAT(aggregate.details, ContainsText(StrCat("\"base\":\"", ModelNumber(200).Hex())));
}

TEST_CASE("a masked run whose first model's size is not known ends and says so") {
  Scene scene(MaskedPlan());  // its state has no size
  scene.Start();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Accept(site);
  CHECK(scene.engine().ended());
  CHECK_THAT(scene.Outcome(), ContainsText("which training begins from, is not known"));
}

}  // namespace
}  // namespace consilium::coordinator
