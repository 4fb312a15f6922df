#include "coordinator/round_engine.h"

#include "tests/catch.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;

bool Holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("three sites train two rounds, and the best candidate is tested, gated and published") {
  Scene scene;
  scene.Start();
  CHECK(scene.LastSentTo<wire::Invite>(kEast).size() == 1);
  scene.Accept(kEast, 100);
  scene.Accept(kNorth, 300);
  CHECK(scene.state().phase == Phase::kInviting);  // south is given a moment
  scene.Accept(kSouth, 200);
  REQUIRE(scene.LastSentTo<wire::MakeInitialModel>(kEast).size() == 1);
  scene.Do(InitialModelReady{scene.Key(), ModelNumber(0), 1000});
  CHECK(scene.LastSentTo<wire::AttemptClosed>(kEast).at(0).counted);
  REQUIRE(scene.Last<OpenAttempt>().size() == 1);
  CHECK(scene.Last<OpenAttempt>()[0].weight_unit == 300);
  CHECK(scene.Last<OpenAttempt>()[0].base == ModelNumber(0));
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).at(0).seconds_left == 600);

  scene.Complete(kEast, 100);
  scene.Complete(kNorth, 300);
  CHECK(scene.Last<Aggregate>().empty());
  scene.Complete(kSouth, 200);
  REQUIRE(scene.Last<Aggregate>().size() == 1);
  CHECK(scene.Last<Aggregate>()[0].counted == std::set<SiteId>{kEast, kNorth, kSouth});
  scene.AggregateIsReady(1);
  for (const SiteId& site : {kEast, kNorth, kSouth}) {
    CHECK(scene.LastSentTo<wire::AttemptClosed>(site).at(0).counted);
    CHECK(scene.LastSentTo<wire::EvaluateRequest>(site).at(0).model == ModelNumber(1));
  }
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.9);
  CHECK(scene.state().best == ModelNumber(1));
  CHECK(scene.LastSentTo<wire::TrainRequest>(kEast).at(0).base_model == ModelNumber(1));

  for (const SiteId& site : {kEast, kNorth, kSouth}) {
    scene.Complete(site, scene.state().participants.at(site).train_examples);
  }
  scene.AggregateIsReady(2);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.8);  // worse
  CHECK(scene.LastText(Kind::kStopping) == "all 2 rounds are done");
  const auto request = scene.LastSentTo<wire::EvaluateRequest>(kNorth).at(0);
  CHECK(request.model == ModelNumber(1));
  CHECK(request.split == wire::EvaluationSplit::kTest);
  CHECK(request.round == 1);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.85);

  CHECK(Holds(scene.LastText(Kind::kGatePassed), "pooled AUROC 0.850 is at least 0.700"));
  REQUIRE(scene.Last<Publish>().size() == 1);
  CHECK(scene.Last<Publish>()[0].model == ModelNumber(1));
  CHECK(scene.LastSentTo<wire::RunEnded>(kSouth).at(0).published_model == ModelNumber(1));
  REQUIRE(scene.Last<EndRun>().size() == 1);
  CHECK_FALSE(scene.Last<EndRun>()[0].failed);
  CHECK(scene.Events(Kind::kEnded).at(0).values.at("published") == 1);
  CHECK(scene.All<StoreEvaluation>().size() == 9);
  CHECK(scene.engine().ended());
}

TEST_CASE("the next round trains from the candidate just aggregated, better or not") {
  plan::Plan plan = ShortPlan();
  plan.stop.rounds = 5;
  Scene scene(plan);
  scene.BeginTraining();
  scene.Round(1, 0.9);
  scene.Round(2, 0.6);
  CHECK(scene.state().best == ModelNumber(1));
  CHECK(scene.state().base == ModelNumber(2));
}

TEST_CASE("every round has a seed of its own that all sites and attempts share") {
  Scene scene;
  scene.BeginTraining();
  const auto seed = scene.LastSentTo<wire::TrainRequest>(kEast).at(0).seed;
  CHECK(scene.LastSentTo<wire::TrainRequest>(kNorth).at(0).seed == seed);
  scene.Wait(600);
  REQUIRE(scene.state().attempt == 2);
  CHECK(scene.LastSentTo<wire::TrainRequest>(kEast).at(0).seed == seed);
  scene.Round(1, 0.9);
  CHECK(scene.LastSentTo<wire::TrainRequest>(kEast).at(0).seed != seed);
}

TEST_CASE(
    "a site lost in the middle of its upload is dropped after its grace when others suffice") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(ContributionStarted{kSouth, scene.Key(), 100});
  scene.Do(SiteDisconnected{kSouth});
  scene.Complete(kEast);
  scene.Complete(kNorth);
  CHECK(Holds(scene.LastText(Kind::kWaiting), "on south, which is not connected, until "));
  CHECK(scene.All<Aggregate>().empty());
  scene.Wait(59);
  CHECK(scene.All<DropContribution>().empty());
  scene.Wait(1);
  REQUIRE(scene.All<DropContribution>().size() == 1);
  CHECK(scene.All<DropContribution>()[0].site == kSouth);
  REQUIRE(scene.All<Aggregate>().size() == 1);
  CHECK(scene.All<Aggregate>()[0].counted == std::set<SiteId>{kEast, kNorth});
  CHECK(Holds(scene.LastText(Kind::kContributionLost), "its connection was lost"));

  scene.Do(SiteConnected{kSouth});  // hears what became of its update
  REQUIRE(scene.LastSentTo<wire::AttemptClosed>(kSouth).size() == 1);
  CHECK_FALSE(scene.LastSentTo<wire::AttemptClosed>(kSouth)[0].counted);
}

TEST_CASE("a site that comes back within its grace is asked again and counted") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(SiteDisconnected{kSouth});
  scene.Complete(kEast);
  scene.Complete(kNorth);
  scene.Wait(59);
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).at(0).seconds_left == 541);
  scene.Wait(100);
  scene.Complete(kSouth);
  CHECK(scene.All<Aggregate>().at(0).counted.size() == 3);
}

TEST_CASE(
    "a lost site that is needed is waited for until the deadline, and counts when it is back") {
  Scene scene;
  scene.BeginTraining({kEast, kNorth});
  scene.Do(SiteDisconnected{kNorth});
  scene.Complete(kEast);
  scene.Wait(500);
  CHECK(scene.All<DropContribution>().empty());
  CHECK(Holds(scene.LastText(Kind::kWaiting), "on north"));
  scene.Do(SiteConnected{kNorth});
  scene.Complete(kNorth);
  CHECK(scene.All<Aggregate>().at(0).counted.size() == 2);
}

TEST_CASE("a site that goes away after its update arrived is counted all the same") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kSouth);
  scene.Do(SiteDisconnected{kSouth});
  scene.Wait(120);
  scene.Complete(kEast);
  scene.Complete(kNorth);
  CHECK(scene.All<Aggregate>().at(0).counted.contains(kSouth));
  scene.AggregateIsReady(1);
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.LastSentTo<wire::AttemptClosed>(kSouth).at(0).counted);
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kSouth).size() == 1);
}

TEST_CASE(
    "at the deadline the round counts those who delivered, and what comes later is not taken") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kEast);
  scene.Complete(kNorth);
  for (int i = 0; i < 6; ++i) {  // it is at work all the time
    CHECK(scene.All<Aggregate>().empty());
    scene.Wait(100);
    scene.Do(SiteProgressed{kSouth, scene.Key()});
  }
  REQUIRE(scene.All<Aggregate>().size() == 1);
  CHECK(scene.All<Aggregate>()[0].counted == std::set<SiteId>{kEast, kNorth});
  CHECK(Holds(scene.LastText(Kind::kContributionLost), "by the deadline"));
  scene.Complete(kSouth);
  CHECK(scene.Events(Kind::kUpdateReceived).size() == 2);
}

TEST_CASE("a completion after the deadline is late even when the wake-up has not come") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kEast);
  scene.Complete(kNorth);
  scene.DoLater(601, ContributionComplete{kSouth, scene.Key(), 100, 0.1, 1, 1, 10, {}, {}});
  REQUIRE(scene.Last<Aggregate>().size() == 1);
  CHECK(scene.Last<Aggregate>()[0].counted.size() == 2);
}

TEST_CASE("an attempt below the minimum is repeated, and the third ends the run as failed") {
  Scene scene;
  scene.BeginTraining({kEast, kNorth});
  for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
    CHECK(scene.state().attempt == attempt);
    scene.Complete(kEast);
    scene.Do(ContributionRefused{kNorth, scene.Key(), "its update holds NaN"});
  }
  CHECK(scene.All<AbandonAttempt>().size() == 3);
  CHECK(scene.All<Aggregate>().empty());
  REQUIRE(scene.Last<EndRun>().size() == 1);
  CHECK(scene.Last<EndRun>()[0].failed);
  CHECK(Holds(scene.Outcome(), "round 1 failed 3 times"));
  CHECK(scene.LastSentTo<wire::RunEnded>(kEast).size() == 1);
  CHECK(Holds(scene.LastText(Kind::kContributionLost), "NaN"));
}

TEST_CASE("a run with fewer than the minimum connected waits and does not fail") {
  Scene scene;
  scene.BeginTraining({kEast, kNorth});
  scene.Do(SiteDisconnected{kEast});
  scene.Do(SiteDisconnected{kNorth});
  scene.Wait(86'400);
  CHECK_FALSE(scene.engine().ended());
  CHECK(scene.state().failed_attempts == 1);
  CHECK(Holds(scene.LastText(Kind::kWaiting), "not connected: east, north"));
  CHECK(Holds(scene.LastText(Kind::kWaiting), "until a stop is requested"));
  scene.Do(SiteConnected{kEast});
  scene.Do(SiteConnected{kNorth});
  CHECK(scene.state().attempt == 2);
  CHECK(scene.LastSentTo<wire::TrainRequest>(kNorth).size() == 1);
}

TEST_CASE("what the run waits for is said once, and again when it changes") {
  Scene scene;
  scene.Start({});
  REQUIRE(scene.Events(Kind::kWaiting).size() == 1);
  scene.Do(TimeCame{});
  scene.Do(TimeCame{});
  CHECK(scene.Events(Kind::kWaiting).size() == 1);
  scene.Do(SiteConnected{kEast});
  CHECK(scene.Events(Kind::kWaiting).size() == 2);
  CHECK(Holds(scene.LastText(Kind::kWaiting),
              "no answer yet from east; not connected: north, south"));
}

TEST_CASE("a site that arrives late is invited, and joins the next round") {
  Scene scene;
  scene.BeginTraining({kEast, kNorth});
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.LastSentTo<wire::Invite>(kSouth).size() == 1);
  scene.Accept(kSouth);
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).empty());
  scene.Do(ContributionComplete{kSouth, scene.Key(), 100, 0.1, 1, 1, 10});  // was not asked
  scene.Complete(kEast);
  scene.Complete(kNorth);
  CHECK(scene.All<Aggregate>().at(0).counted == std::set<SiteId>{kEast, kNorth});
  scene.AggregateIsReady(1);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.8);
  CHECK(scene.state().round == 2);
  CHECK(scene.Last<OpenAttempt>().at(0).sites.contains(kSouth));
}

TEST_CASE("a silent site is not waited for when enough others accepted and its moment has passed") {
  Scene scene;
  scene.Start();
  scene.Accept(kEast);
  scene.Accept(kNorth);
  CHECK(scene.state().phase == Phase::kInviting);
  scene.Wait(60);
  CHECK(scene.state().phase == Phase::kInitialModel);
}

TEST_CASE("a site that declines is left out, and too many of them end the run with their reasons") {
  Scene scene;
  scene.Start();
  scene.Decline(kSouth, "12 patients, the plan asks for 50");
  scene.Accept(kEast);
  CHECK_FALSE(scene.engine().ended());
  scene.Decline(kNorth, "the policy refuses this target");
  CHECK(scene.engine().ended());
  CHECK(scene.All<EndRun>().at(0).failed);
  CHECK(Holds(scene.Outcome(), "south: 12 patients, the plan asks for 50"));
  CHECK(Holds(scene.Outcome(), "north: the policy refuses this target"));
}

TEST_CASE("a run that too many sites left cannot go on, and ends with their reasons") {
  Scene scene;
  scene.BeginTraining({kEast, kNorth});
  scene.Do(SiteConnected{kSouth});
  scene.Decline(kSouth, "no such images");
  scene.Complete(kEast);
  scene.Decline(kNorth, "the operator withdrew");
  CHECK(scene.All<EndRun>().at(0).failed);
  CHECK(Holds(scene.Outcome(), "north: the operator withdrew"));
}

TEST_CASE("a site that accepts without training examples is taken as declining") {
  Scene scene;
  scene.Start();
  scene.Accept(kSouth, 0);
  CHECK(scene.state().participants.at(kSouth).invite == InviteState::kDeclined);
}

TEST_CASE("a site outside the plan's cohort is neither invited nor heard") {
  plan::Plan plan = ShortPlan();
  plan.cohort.sites = {kEast, kNorth};
  Scene scene(plan);
  scene.Start();
  CHECK(scene.LastSentTo<wire::Invite>(kSouth).empty());
  scene.Accept(kSouth);
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.Last<Send>().empty());
  CHECK_FALSE(scene.state().participants.contains(kSouth));
}

TEST_CASE("a contribution with another weight than the site enlisted with is lost") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(ContributionStarted{kEast, scene.Key(), 900});
  CHECK(scene.Last<DropContribution>().at(0).site == kEast);
  CHECK(scene.LastText(Kind::kContributionLost) ==
        "weight 900 differs from the 100 examples it enlisted with");
  scene.Do(ContributionComplete{kEast, scene.Key(), 100, 0.1, 1, 1, 10});  // too late
  CHECK(scene.Events(Kind::kUpdateReceived).empty());
}

TEST_CASE("the weight rule decides what a contribution must weigh") {
  plan::Plan plan = ShortPlan();
  plan.aggregation.weight = plan::WeightRule::kPatients;
  Scene patients(plan);
  patients.BeginTraining();
  CHECK(patients.Last<OpenAttempt>().at(0).weight_unit == 50);
  plan.aggregation.weight = plan::WeightRule::kEqual;
  Scene equal(plan);
  equal.BeginTraining();
  CHECK(equal.Last<OpenAttempt>().at(0).weight_unit == 1);
  equal.Complete(kEast, 1);
  CHECK(equal.Events(Kind::kUpdateReceived).size() == 1);
}

TEST_CASE("repeated, late and foreign events change nothing") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kEast);
  const AttemptKey key = scene.Key();
  const AttemptKey other_run{RunId("other-0001"), key.round, key.attempt};
  const AttemptKey earlier{key.run, key.round, 0};
  const SiteId stranger("stranger");
  const wire::EvaluationReport report{
      key.run, 1, ModelNumber(0), wire::EvaluationSplit::kValidation, SumsWithAuroc(0.9), 1};
  for (const Event& event : std::vector<Event>{
           ContributionComplete{kEast, key, 100, 0.1, 1, 1, 10},  // a second time
           ContributionStarted{kEast, key, 5}, ContributionRefused{kEast, key, "late"},
           SiteTaskFailed{kEast, key, "late"},
           ContributionComplete{kNorth, other_run, 100, 0.1, 1, 1, 10},
           ContributionComplete{kNorth, earlier, 100, 0.1, 1, 1, 10},
           ContributionComplete{stranger, key, 100, 0.1, 1, 1, 10},
           SiteTaskFailed{kNorth, earlier, "late"}, InitialModelReady{key, ModelNumber(9), 5},
           AggregateReady{key, ModelNumber(9), 1}, AggregateFailed{key, "no"},
           EvaluationArrived{kNorth, report},
           InviteAnswered{kEast, {key.run, true, {}, 50, 100, 0}},
           InviteAnswered{stranger, {key.run, true, {}, 50, 100, 0}},
           InviteAnswered{kNorth, {RunId("other-0001"), false, "no"}}, SiteDisconnected{stranger},
           TimeCame{}}) {
    CAPTURE(event.index());
    scene.Do(event);
    CHECK(scene.Last<Record>().empty());
    CHECK(scene.Last<Send>().empty());
    CHECK(scene.Last<DropContribution>().empty());
    CHECK(scene.Key() == key);
  }
  scene.Complete(kNorth);
  scene.Complete(kSouth);
  CHECK(scene.Last<Aggregate>().at(0).counted.size() == 3);
}

TEST_CASE("a site that fails its task is lost with its reason and the round goes on") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(SiteTaskFailed{kSouth, scene.Key(), "out of memory"});
  CHECK(scene.LastText(Kind::kContributionLost) == "out of memory");
  CHECK_FALSE(scene.LastSentTo<wire::AttemptClosed>(kSouth).at(0).counted);
  scene.Complete(kEast);
  scene.Complete(kNorth);
  CHECK(scene.Last<Aggregate>().at(0).counted.size() == 2);
}

TEST_CASE("the next site is asked for the first model when one fails or goes away") {
  Scene scene;
  scene.Start();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Accept(site);
  scene.Do(SiteTaskFailed{kEast, scene.Key(), "out of memory"});
  CHECK(scene.LastSentTo<wire::MakeInitialModel>(kNorth).size() == 1);
  const AttemptKey norths = scene.Key();
  scene.Do(SiteDisconnected{kNorth});
  scene.Wait(60);
  CHECK(scene.state().attempt == 3);
  scene.Do(InitialModelReady{norths, ModelNumber(5), 10});  // too late
  CHECK(scene.state().phase == Phase::kInitialModel);
  scene.Do(InitialModelReady{scene.Key(), ModelNumber(0), 10});
  CHECK(scene.state().base == ModelNumber(0));
  CHECK(scene.state().phase == Phase::kTraining);
}

TEST_CASE("a run in which no site can make the first model fails") {
  Scene scene;
  scene.Start();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Accept(site);
  for (int i = 0; i < 3; ++i) {
    const auto tasks = scene.Last<OpenAttempt>();
    scene.Do(SiteTaskFailed{*tasks.at(0).sites.begin(), scene.Key(), "no memory"});
  }
  CHECK(scene.All<EndRun>().at(0).failed);
}

TEST_CASE("a plan that names its first model begins with it") {
  plan::Plan plan = ShortPlan();
  plan.model.initial = ModelNumber(42);
  Scene scene(plan);
  scene.Start();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Accept(site);
  CHECK(scene.Last<OpenAttempt>().at(0).base == ModelNumber(42));
  CHECK(scene.state().round == 1);
}

TEST_CASE("the run stops after its patience, at its target, and at its wall time") {
  plan::Plan plan = ShortPlan();
  plan.stop.rounds = 50;
  SECTION("patience") {
    plan.stop.patience = 2;
    Scene scene(plan);
    scene.BeginTraining();
    scene.Round(1, 0.8);
    scene.Round(2, 0.8);
    CHECK(scene.state().phase == Phase::kTraining);
    scene.Round(3, 0.75);
    CHECK(scene.LastText(Kind::kStopping) == "2 rounds without a better pooled AUROC");
    CHECK(scene.state().candidate == ModelNumber(1));
  }
  SECTION("target") {
    plan.stop.target = 0.85;
    Scene scene(plan);
    scene.BeginTraining();
    scene.Round(1, 0.8);
    scene.Round(2, 0.9);
    CHECK(scene.LastText(Kind::kStopping) == "the pooled AUROC reached 0.900, the target is 0.850");
    CHECK(scene.state().candidate == ModelNumber(2));
  }
  SECTION("wall time, in the middle of training") {
    plan.stop.wall_time_s = 300;
    Scene scene(plan);
    scene.BeginTraining();
    scene.Round(1, 0.8);
    scene.Complete(kEast);
    scene.Wait(300);
    CHECK(Holds(scene.LastText(Kind::kStopping), "wall time of 5 min 0 s is over"));
    CHECK(scene.All<AbandonAttempt>().size() == 1);
    CHECK(scene.state().phase == Phase::kFinalEvaluation);
    CHECK(scene.state().candidate == ModelNumber(1));
  }
}

TEST_CASE("a requested stop evaluates, gates and publishes the best there is") {
  plan::Plan plan = ShortPlan();
  plan.stop.rounds = 50;
  Scene scene(plan);
  scene.BeginTraining();
  scene.Round(1, 0.8);
  scene.Do(StopRequested{"anna"});
  CHECK(scene.LastText(Kind::kStopping) == "stop requested by anna");
  CHECK(scene.LastSentTo<wire::AttemptClosed>(kEast).size() == 1);
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kEast).at(0).split == wire::EvaluationSplit::kTest);
  scene.Do(StopRequested{"anna"});
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.8);
  CHECK(scene.All<Publish>().size() == 1);
}

TEST_CASE("a stop while a candidate is evaluated lets that finish first") {
  plan::Plan plan = ShortPlan();
  plan.stop.rounds = 50;
  Scene scene(plan);
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.Do(StopRequested{"anna"});
  scene.AggregateIsReady(1);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.8);
  CHECK(scene.state().phase == Phase::kFinalEvaluation);
  CHECK(scene.state().candidate == ModelNumber(1));
}

TEST_CASE("a stop before any model was evaluated ends the run without one") {
  Scene scene;
  scene.Start();
  scene.Do(StopRequested{"anna"});
  CHECK(scene.Outcome() == "stop requested by anna; no model was evaluated, so none is published");
  CHECK_FALSE(scene.All<EndRun>().at(0).failed);
}

TEST_CASE("a model that the gate refuses is not published, and the conditions say why") {
  Scene scene;
  scene.BeginTraining();
  scene.Round(1, 0.9);
  scene.Round(2, 0.9);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.6);
  CHECK(scene.All<Publish>().empty());
  CHECK(scene.Outcome() == "not published: pooled AUROC 0.600 is below 0.700");
  CHECK(scene.Events(Kind::kEnded).at(0).values.at("published") == 0);
}

TEST_CASE("a site that falls too far below the last published model stops the publication") {
  plan::Plan plan = ShortPlan();
  plan.gate.maximum_site_drop = 0.05;
  Scene scene(plan, {std::nullopt, {{kEast, 0.80}, {kSouth, 0.95}}});
  scene.BeginTraining();
  scene.Round(1, 0.9);
  scene.Round(2, 0.9);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.8);
  CHECK(scene.All<Publish>().empty());
  CHECK(Holds(scene.Outcome(), "south AUROC 0.800 is below 0.900"));
  CHECK_FALSE(Holds(scene.Outcome(), "east"));
}

TEST_CASE(
    "a candidate that too few sites evaluated is not the best, and training goes on from it") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.AggregateIsReady(1);
  scene.Evaluate(kEast, 0.9);
  scene.Do(SiteDisconnected{kNorth});
  scene.Do(SiteDisconnected{kSouth});
  scene.Wait(61);
  CHECK(scene.state().phase == Phase::kEvaluating);  // until the deadline
  scene.Wait(540);
  CHECK(Holds(scene.LastText(Kind::kRoundEvaluated), "only 1 of the 2 sites"));
  CHECK_FALSE(scene.state().best.has_value());
  CHECK(scene.state().base == ModelNumber(1));
  CHECK(scene.state().round == 2);
}

TEST_CASE("an evaluation goes on without a site that is away too long or cannot evaluate") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.AggregateIsReady(1);
  scene.Evaluate(kEast, 0.9);
  scene.Evaluate(kNorth, 0.9);
  SECTION("away") {
    scene.Do(SiteDisconnected{kSouth});
    scene.Wait(60);
  }
  SECTION("cannot") {
    const AttemptKey evaluation{scene.state().run, 1, 0};
    scene.Do(SiteTaskFailed{kSouth, evaluation, "out of memory"});
  }
  CHECK(scene.state().best == ModelNumber(1));
  CHECK(Holds(scene.LastText(Kind::kContributionLost), "not in the evaluation: "));
}

TEST_CASE("a pooled AUROC that cannot be computed is said, and is never the best") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.AggregateIsReady(1);
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Evaluate(site, 0.9, 0);
  CHECK(Holds(scene.LastText(Kind::kRoundEvaluated), "cannot be computed"));
  CHECK_FALSE(scene.state().best.has_value());
}

TEST_CASE(
    "counts of a site too small to show are in no event, nor can the pooled ones give them away") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.AggregateIsReady(1);
  scene.Evaluate(kEast, 0.9);
  scene.Evaluate(kNorth, 0.9);
  scene.Evaluate(kSouth, 0.9, 5);
  const auto south = scene.Events(Kind::kSiteEvaluated).back();
  CHECK(south.values.at("suppressed") == 1);
  CHECK_FALSE(south.values.contains("positives"));
  CHECK_FALSE(south.values.contains("auroc"));
  const auto pooled = scene.Events(Kind::kRoundEvaluated).back();
  CHECK(pooled.values.contains("auroc"));
  CHECK_FALSE(pooled.values.contains("positives"));
}

TEST_CASE("an aggregate that fails pauses the run, says why, and is tried again") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  scene.Do(AggregateFailed{scene.Key(), "the disk is full"});
  CHECK(Holds(scene.LastText(Kind::kWaiting), "the disk is full; next try at "));
  CHECK(scene.All<Aggregate>().size() == 1);
  scene.Wait(30);
  CHECK(scene.All<Aggregate>().size() == 2);
  scene.AggregateIsReady(1);
  CHECK(scene.state().phase == Phase::kEvaluating);
}

TEST_CASE("a run goes on after a restart in every phase") {
  plan::Plan plan = ShortPlan();
  plan.stop.rounds = 1;
  Scene scene(plan);
  const std::set<SiteId> all = {kEast, kNorth, kSouth};
  scene.Start();
  scene.Accept(kEast);
  scene.Restart(all);
  CHECK(scene.Events(Kind::kRestarted).size() == 1);
  scene.Accept(kNorth);
  scene.Accept(kSouth);
  REQUIRE(scene.state().phase == Phase::kInitialModel);

  scene.Restart(all);
  CHECK(scene.state().attempt == 1);
  CHECK(scene.Last<OpenAttempt>().at(0).again);
  CHECK(scene.LastSentTo<wire::MakeInitialModel>(kEast).size() == 1);
  scene.Do(InitialModelReady{scene.Key(), ModelNumber(0), 10});
  scene.Complete(kEast);

  scene.Restart(all);  // what had arrived is in the spool
  CHECK(scene.state().attempt == 1);
  CHECK(scene.Last<OpenAttempt>().at(0).held == std::set<SiteId>{kEast});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kEast).empty());
  scene.Complete(kEast);  // again
  CHECK(scene.Last<Record>().empty());
  scene.Complete(kNorth);
  scene.Complete(kSouth);
  REQUIRE(scene.state().phase == Phase::kAggregating);

  scene.Restart(all);
  CHECK(scene.state().phase == Phase::kAggregating);
  CHECK(scene.Last<OpenAttempt>().at(0).held == all);
  CHECK(scene.Last<Aggregate>().at(0).counted == all);
  scene.AggregateIsReady(1);
  scene.Evaluate(kEast, 0.9);

  scene.Restart(all);
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kEast).empty());  // its report is kept
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kNorth).size() == 1);
  scene.Evaluate(kNorth, 0.9);
  scene.Evaluate(kSouth, 0.9);
  REQUIRE(scene.state().phase == Phase::kFinalEvaluation);
  scene.Evaluate(kEast, 0.9);

  scene.Restart(all);
  scene.Evaluate(kNorth, 0.9);
  scene.Evaluate(kSouth, 0.9);
  CHECK(scene.All<Publish>().size() == 1);
  REQUIRE(scene.engine().ended());
  scene.Restart(all);
  CHECK(scene.Last<Record>().empty());
}

TEST_CASE("after a restart the sites that are on their way back are enlisted too") {
  Scene scene;
  scene.BeginTraining();
  for (const SiteId& site : {kEast, kNorth}) scene.Do(SiteDisconnected{site});
  for (const SiteId& site : {kEast, kNorth}) {
    scene.Do(SiteTaskFailed{site, scene.Key(), "its disk is full"});
  }
  scene.Do(SiteDisconnected{kSouth});
  REQUIRE(scene.state().failed_attempts == 1);
  scene.Restart({});
  CHECK(scene.Last<OpenAttempt>().empty());
  scene.Do(SiteConnected{kEast});
  scene.Do(SiteConnected{kNorth});
  REQUIRE(scene.Last<OpenAttempt>().size() == 1);
  CHECK_FALSE(scene.Last<OpenAttempt>()[0].again);
  CHECK(scene.Last<OpenAttempt>()[0].sites.contains(kSouth));
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).size() == 1);
}

TEST_CASE("a site that connects after the end is told how the run ended") {
  Scene scene;
  scene.Start();
  scene.Do(SiteDisconnected{kEast});
  scene.Do(StopRequested{"anna"});
  scene.Do(SiteConnected{kEast});
  CHECK(scene.LastSentTo<wire::RunEnded>(kEast).size() == 1);
}

TEST_CASE(
    "a site that leaves the run in the middle of a round is lost for it and not asked again") {
  Scene scene;
  scene.BeginTraining();
  scene.Decline(kSouth, "the operator withdrew");
  CHECK(Holds(scene.LastText(Kind::kContributionLost), "it left the run"));
  scene.Complete(kEast);
  scene.Complete(kNorth);
  scene.AggregateIsReady(1);
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kSouth).empty());
}

TEST_CASE(
    "a site that leaves the run after it delivered is told all the same that it was counted") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kSouth);
  scene.Decline(kSouth, "the operator withdrew");
  scene.Do(SiteDisconnected{kSouth});
  scene.Complete(kEast);
  scene.Complete(kNorth);
  CHECK(scene.All<Aggregate>().at(0).counted.contains(kSouth));
  scene.AggregateIsReady(1);
  scene.Do(SiteConnected{kSouth});
  REQUIRE(scene.LastSentTo<wire::AttemptClosed>(kSouth).size() == 1);
  CHECK(scene.LastSentTo<wire::AttemptClosed>(kSouth)[0].counted);
  CHECK(scene.LastSentTo<wire::EvaluateRequest>(kSouth).empty());
}

}  // namespace
}  // namespace consilium::coordinator
