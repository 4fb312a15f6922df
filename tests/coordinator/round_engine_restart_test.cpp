// The coordinator is killed, again and again: the run ends as if nothing had been. What its ledger
// holds is all that a new engine is given.

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/coordinator/masked_federation.h"
#include "tests/coordinator/round_engine_scene.h"
#include "tests/coordinator/sealed_federation.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;

const SiteId kA{"a"}, kB{"b"}, kC{"c"}, kD{"d"};

plan::Plan MaskedPlan(std::uint32_t rounds = 1) {
  plan::Plan plan = ShortPlan();
  plan.aggregation.updates = plan::Updates::kMasked;
  plan.cohort.minimum_sites = 3;
  plan.gate.minimum_sites = 3;
  plan.stop.rounds = rounds;
  return plan;
}

plan::Plan SealedPlan() {
  plan::Plan plan = ShortPlan();
  plan.cohort.minimum_sites = 3;
  plan.gate.minimum_sites = 3;
  return plan;
}

// What a run came to. Of an undisturbed run and one with restarts it must be the same.
struct Outcome {
  std::vector<std::pair<AttemptKey, std::set<SiteId>>> counted;  // each aggregate once
  std::vector<PooledEvaluation> evaluations;
  std::vector<std::string> steps;
  std::size_t updates = 0, aggregated = 0, evaluated = 0, failed = 0;
  std::optional<ModelId> published;
  std::string outcome;
};

template <class Federation>
Outcome OutcomeOf(const Federation& federation) {
  Outcome outcome;
  for (const Aggregate& aggregate : federation.template All<Aggregate>()) {
    const std::pair made(aggregate.key, aggregate.counted);
    if (outcome.counted.empty() || outcome.counted.back() != made) outcome.counted.push_back(made);
  }
  for (const auto& store : federation.template All<StorePooledEvaluation>()) {
    outcome.evaluations.push_back(store.evaluation);
  }
  for (const Record& record : federation.template All<Record>()) {
    const wire::RunEvent& event = record.event;
    outcome.updates += event.kind == Kind::kUpdateReceived;
    outcome.aggregated += event.kind == Kind::kAggregated;
    outcome.evaluated += event.kind == Kind::kRoundEvaluated || event.kind == Kind::kSiteEvaluated;
    outcome.failed += event.kind == Kind::kRoundFailed || event.kind == Kind::kContributionLost;
    if (event.kind == Kind::kSecureStep) outcome.steps.push_back(event.text);
  }
  for (const Publish& publish : federation.template All<Publish>()) {
    CHECK_FALSE(outcome.published.has_value());
    outcome.published = publish.model;
  }
  for (const EndRun& end : federation.template All<EndRun>()) outcome.outcome = end.outcome;
  return outcome;
}

void CheckSame(const Outcome& undisturbed, const Outcome& restarted) {
  CHECK(restarted.counted == undisturbed.counted);
  CHECK(restarted.steps == undisturbed.steps);
  CHECK(restarted.updates == undisturbed.updates);
  CHECK(restarted.aggregated == undisturbed.aggregated);
  CHECK(restarted.evaluated == undisturbed.evaluated);
  CHECK(restarted.failed == 0);
  CHECK(restarted.published == undisturbed.published);
  CHECK(restarted.outcome == undisturbed.outcome);
  REQUIRE(restarted.evaluations.size() == undisturbed.evaluations.size());
  for (std::size_t i = 0; i < restarted.evaluations.size(); ++i) {
    CHECK(restarted.evaluations[i].sites == undisturbed.evaluations[i].sites);
    CHECK(restarted.evaluations[i].sums == undisturbed.evaluations[i].sums);
  }
}

// One delivery after the other, round robin. False: nothing is under way.
template <class Federation>
bool DeliverNext(Federation& federation, std::size_t& turn) {
  std::vector<SiteId> boxes = {SiteId()};
  for (const SiteId& site : federation.sites()) boxes.push_back(site);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    if (federation.DeliverOne(boxes[turn++ % boxes.size()])) return true;
  }
  return false;
}

template <class Federation>
std::size_t RunStepwise(Federation& federation, std::size_t restart_after, std::size_t away) {
  federation.Start();
  std::size_t turn = 0, steps = 0;
  for (; steps < 10'000; ++steps) {
    if (steps == restart_after) {
      std::set<SiteId> back = federation.sites();
      for (std::size_t i = 0; i < away; ++i) back.erase(back.begin());
      federation.Restart(back);
      for (const SiteId& site : federation.sites()) {
        if (!back.contains(site)) federation.Connect(site);
      }
    }
    if (!DeliverNext(federation, turn)) break;
  }
  return steps;
}

TEST_CASE("a masked run that is restarted after any single step ends as if it had not been") {
  MaskedFederation undisturbed(MaskedPlan(), 3);
  const std::size_t steps = RunStepwise(undisturbed, ~std::size_t{0}, 0);
  const Outcome expected = OutcomeOf(undisturbed);
  REQUIRE(expected.published.has_value());
  REQUIRE(steps > 50);
  for (std::size_t step = 0; step < 2 * steps; ++step) {
    CAPTURE(step);
    MaskedFederation federation(MaskedPlan(), 3);
    federation.lazy_commits = step >= steps;
    RunStepwise(federation, step % steps, step % 4);
    REQUIRE(federation.violations() == std::vector<std::string>());
    CheckSame(expected, OutcomeOf(federation));
    for (const auto& made : expected.counted) CHECK(made.first.attempt == 1);
    for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
  }
}

TEST_CASE("a sealed run that is restarted after any single step ends as if it had not been") {
  SealedFederation undisturbed(SealedPlan(), 4);
  const std::size_t steps = RunStepwise(undisturbed, ~std::size_t{0}, 0);
  const Outcome expected = OutcomeOf(undisturbed);
  REQUIRE(expected.published.has_value());
  REQUIRE(steps > 20);
  for (std::size_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    SealedFederation federation(SealedPlan(), 4);
    RunStepwise(federation, step, step % 5);
    CheckSame(expected, OutcomeOf(federation));
    for (const auto& made : expected.counted) CHECK(made.first.attempt == 1);
  }
}

// Deliveries in a random order; killed now and then, some of its sites away for a moment.
template <class Federation>
std::size_t RunWithRestarts(Federation& federation, SeededRandom& random, double chance) {
  std::size_t restarts = 0;
  federation.Start();
  const std::set<SiteId> all = federation.sites();
  const std::vector<SiteId> names(all.begin(), all.end());
  for (int step = 0; step < 3000 && !federation.engine().ended(); ++step) {
    if (random.Chance(chance)) {
      std::set<SiteId> back;
      for (const SiteId& site : names) {
        // Who is away when the cohort is found joins the second round only.
        const bool inviting = federation.engine().state().phase == Phase::kInviting;
        if (inviting || random.Chance(0.5)) back.insert(site);
      }
      federation.Restart(back);
      ++restarts;
    }
    const SiteId& site = names[random.Below(names.size())];
    if (!federation.connected().contains(site)) federation.Connect(site);
    federation.DeliverOne(random.Chance(0.2) ? SiteId() : site);
    if (random.Chance(0.05)) federation.Wait(random.Uniform(0, 5));
  }
  for (const SiteId& site : names) {
    if (!federation.connected().contains(site)) federation.Connect(site);
  }
  federation.Run();
  return restarts;
}

TEST_CASE("masked runs with random restarts repeat no attempt and count everything once") {
  std::size_t restarts = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed, "masked restarts");
    MaskedFederation federation(MaskedPlan(2), 3 + random.Below(3), seed);
    federation.lazy_commits = random.Chance(0.5);
    restarts += RunWithRestarts(federation, random, 0.05 + random.Uniform(0, 0.3));
    REQUIRE(federation.violations() == std::vector<std::string>());
    REQUIRE(federation.engine().ended());
    const Outcome outcome = OutcomeOf(federation);
    CHECK(outcome.failed == 0);
    CHECK(outcome.published.has_value());
    CHECK(outcome.aggregated == 3);  // with the first model
    REQUIRE(outcome.counted.size() == 2);
    for (const auto& [key, counted] : outcome.counted) {
      CHECK(key.attempt == 1);
      CHECK(counted == federation.sites());
    }
    CHECK(outcome.updates == 2 * federation.sites().size());
    CHECK(outcome.evaluations.size() == 3);
    for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
  }
  CHECK(restarts > 300);
}

TEST_CASE("sealed runs with random restarts repeat no attempt and count everything once") {
  std::size_t restarts = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed, "sealed restarts");
    SealedFederation federation(SealedPlan(), 3 + random.Below(4));
    restarts += RunWithRestarts(federation, random, 0.02 + random.Uniform(0, 0.2));
    REQUIRE(federation.engine().ended());
    const Outcome outcome = OutcomeOf(federation);
    CHECK(outcome.failed == 0);
    CHECK(outcome.published.has_value());
    REQUIRE(outcome.counted.size() == 2);
    for (const auto& [key, counted] : outcome.counted) {
      CHECK(key.attempt == 1);
      CHECK(counted == federation.sites());
    }
    CHECK(outcome.updates == 2 * federation.sites().size());
  }
  CHECK(restarts > 1000);
}

// Takes out, doubles, swaps or falsifies one record.
void DamageOne(std::vector<WorkRecord>& work, SeededRandom& random) {
  if (work.empty()) return;
  const std::size_t at = random.Below(work.size()), other = random.Below(work.size());
  switch (random.Below(5)) {
    case 0:
      work.erase(work.begin() + static_cast<std::ptrdiff_t>(at));
      return;
    case 1:
      work.push_back(work[at]);
      return;
    case 2:
      return std::swap(work[at], work[other]);
    case 3:
      return work.resize(at);
    default:
      break;
  }
  if (auto* opened = std::get_if<WorkOpened>(&work[at])) {
    if (random.Chance(0.5)) opened->weights.begin()->second += 1;
    if (random.Chance(0.3)) opened->signing_keys.clear();
    if (opened->secure && random.Chance(0.5)) opened->secure->threshold = 1;
    if (random.Chance(0.2)) opened->needed = 200;
  } else if (auto* answered = std::get_if<WorkAnswered>(&work[at])) {
    answered->answer.answer = crypto::Signature{};
  } else if (auto* uploaded = std::get_if<WorkUploaded>(&work[at])) {
    uploaded->contribution.masked_sums.clear();
  } else if (auto* lost = std::get_if<WorkLost>(&work[at])) {
    lost->site = SiteId("stranger");
  } else if (auto* closed = std::get_if<WorkStepClosed>(&work[at])) {
    closed->step += 7;
  }
}

TEST_CASE("damaged records are no reason to fall down: the attempt is repeated, the run goes on") {
  int repeated = 0, published = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed, "damaged records");
    MaskedFederation federation(MaskedPlan(2), 4, seed);
    federation.damage = [&random](auto& work) { DamageOne(work, random); };
    RunWithRestarts(federation, random, 0.02);
    for (int i = 0; i < 40 && !federation.engine().ended(); ++i) federation.Wait(300);
    REQUIRE(federation.engine().ended());
    published += static_cast<int>(federation.All<Publish>().size());
    const auto opened = federation.All<OpenAttempt>();
    repeated += std::any_of(opened.begin(), opened.end(), [](const OpenAttempt& open) {
      return !open.again && open.key.attempt > 1;
    });
    std::set<AttemptKey> rounds;
    for (const wire::RunEvent& event : federation.Events(Kind::kAggregated)) {
      CHECK(rounds.insert({RunId(), event.round, 0}).second);
    }
  }
  CHECK(repeated > 5);
  CHECK(published > 20);
}

TEST_CASE("the time that the coordinator was away is not the sites' fault") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kEast);
  scene.Sleep(10'000);  // far beyond the deadline
  scene.Restart({});
  CHECK(scene.Events(Kind::kContributionLost).empty());
  scene.Wait(59);
  scene.Do(SiteConnected{kNorth});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kNorth).at(0).seconds_left == 121);
  scene.Complete(kNorth);
  CHECK(scene.state().phase == Phase::kTraining);
  scene.Wait(1);  // the grace of the one that did not come back
  CHECK(scene.All<Aggregate>().at(0).counted == std::set<SiteId>{kEast, kNorth});
  CHECK(scene.Key().attempt == 1);
}

TEST_CASE("a clock set back while the coordinator was away does not put the deadline off") {
  Scene scene;
  scene.BeginTraining();
  scene.Complete(kEast);
  scene.Sleep(-10'000);
  scene.Restart({kNorth});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kNorth).at(0).seconds_left ==
        ShortPlan().cohort.round_deadline_s);
}

TEST_CASE("a site that was lost stays lost after a restart, and hears why when it comes back") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(SiteTaskFailed{kSouth, scene.Key(), "out of memory"});
  scene.Restart({});
  CHECK(scene.Last<DropContribution>().at(0).site == kSouth);
  scene.Do(SiteConnected{kSouth});
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).empty());
  CHECK(scene.LastSentTo<wire::AttemptClosed>(kSouth).at(0).reason == "out of memory");
}

TEST_CASE("an attempt whose contributions the disk lost is repeated, and is none of the three") {
  Scene scene;
  scene.BeginTraining();
  for (int i = 0; i < 5; ++i) {
    scene.Complete(kEast);
    scene.Restart({kEast, kNorth, kSouth});
    CHECK(scene.Last<OpenAttempt>().at(0).held == std::set<SiteId>{kEast});
    scene.Do(ContributionsMissing{scene.Key(), {kEast}});
    CHECK_THAT(scene.LastText(Kind::kRoundFailed),
               ContainsText("lost what it had received of east"));
    CHECK(scene.state().failed_attempts == 0);
  }
  for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
  REQUIRE(scene.state().phase == Phase::kAggregating);
  scene.Restart({kEast, kNorth, kSouth});
  scene.Do(ContributionsMissing{scene.Key(), {kEast}});
  CHECK(scene.state().phase == Phase::kTraining);
  CHECK(scene.state().attempt == 7);
}

TEST_CASE("a sum that can never be made fails the attempt, with the reason") {
  Scene scene;
  scene.BeginTraining();
  for (int i = 0; i < 3; ++i) {
    for (const SiteId& site : {kEast, kNorth, kSouth}) scene.Complete(site);
    scene.Do(AggregateFailed{scene.Key(), "value 3 of conv.weight is not finite", true});
  }
  CHECK_THAT(scene.LastText(Kind::kRoundFailed),
             ContainsText("the aggregate cannot be made: value 3 of conv.weight is not finite"));
  CHECK(scene.engine().ended());
  CHECK_THAT(scene.Outcome(), ContainsText("round 1 failed 3 times"));
}

}  // namespace
}  // namespace consilium::coordinator
