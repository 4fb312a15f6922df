// Sites that send garbage are left out of what comes next, and one bad site ends no run.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

const SiteId kE{"e"};

secagg::UnmaskAnswer* SharesIn(Event& event) {
  auto* answered = std::get_if<SecureAnswered>(&event);
  if (answered == nullptr || answered->answer.session.purpose != secagg::Purpose::kTraining) {
    return nullptr;
  }
  return std::get_if<secagg::UnmaskAnswer>(&answered->answer.answer);
}

// Changes what of `event` tells shares. True: it was changed, and delivered.
bool ChangeShares(MaskedFederation& federation, const Event& event,
                  const std::function<void(secagg::UnmaskAnswer&)>& change) {
  Event changed = event;
  secagg::UnmaskAnswer* shares = SharesIn(changed);
  if (shares == nullptr) return false;
  change(*shares);
  federation.Do(changed);
  return true;
}

TEST_CASE("wrong shares of one site are found with one more answer, and the sum is opened") {
  MaskedFederation federation(MaskedPlan(3), 4);
  federation.pass = [&](const SiteId& site, const Event& event) {
    if (site != kA || federation.state().round > 1) return true;
    return !ChangeShares(federation, event, [](secagg::UnmaskAnswer& answer) {
      for (auto& [of, share] : answer.seed_shares) share[0] ^= 1;
    });
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.All<Publish>().size() == 1);
  CHECK(federation.Events(Kind::kRoundFailed).empty());
  for (const wire::RunEvent& event : federation.Events(Kind::kSecureStep)) {
    const bool first = event.round == 1 && event.text == "unmask";
    if (first && event.values.at("evaluation") == 0) CHECK(event.values.at("wrong_shares") == 1);
  }
  CHECK(federation.violations().empty());
}

TEST_CASE("a site that shared wrongly is left out of the next round, also after a restart") {
  const bool restart = GENERATE(false, true);
  MaskedFederation federation(MaskedPlan(3), 5);
  federation.pass = [&](const SiteId&, const Event& event) {
    if (federation.state().round > 1) return true;
    return !ChangeShares(federation, event, [](secagg::UnmaskAnswer& answer) {
      answer.seed_shares.at(kD)[0] ^= 1;  // all that the others hold of it is wrong
    });
  };
  if (restart) {
    // Nobody advertises until the coordinator has come back.
    federation.hears = [&](const SiteId&, const wire::ToSite& message) {
      return federation.restarts() > 0 || federation.state().round < 2 ||
             !std::holds_alternative<wire::TrainRequest>(message);
    };
  }
  federation.Start();
  federation.Run();
  if (restart) {
    REQUIRE(federation.state().round == 2);
    federation.Restart({});
    for (const SiteId& site : federation.sites()) federation.Connect(site);
    federation.Run();
  }
  CHECK_THAT(federation.Events(Kind::kRoundFailed).at(0).text,
             ContainsText("the seed of site \"d\""));
  REQUIRE(federation.All<Publish>().size() == 1);
  const auto opened = federation.All<OpenAttempt>();
  CHECK(opened.at(0).sites.contains(kD));
  CHECK_FALSE(opened.at(1).sites.contains(kD));  // round 2 begins from the same base
  CHECK(opened.back().sites.contains(kD));       // round 3 from another
  CHECK(federation.violations().empty());
}

TEST_CASE("a site whose update was refused is left out of the round's next attempt, not longer") {
  plan::Plan plan = ShortPlan();
  plan.cohort.minimum_sites = 2;
  Scene scene(plan);
  const SiteId west("west");
  scene.Start(RosterOf({kEast, kNorth, kSouth, west}), {kEast, kNorth, kSouth, west});
  for (const SiteId& site : {kEast, kNorth, kSouth, west}) scene.Accept(site);
  scene.Do(InitialModelReady{scene.Key(), ModelNumber(0), 1000, {}});
  scene.Do(ContributionRefused{kSouth, scene.Key(), "value 7 of conv.weight is not finite"});
  for (const SiteId& site : {kEast, kNorth, west}) {
    scene.Do(SiteTaskFailed{site, scene.Key(), "out of memory"});
  }
  REQUIRE(scene.state().attempt == 2);
  CHECK(scene.All<OpenAttempt>().back().sites == std::set<SiteId>{kEast, kNorth, west});
  SECTION("for which it is not asked") {}
  SECTION("nor after a restart") { scene.Restart({kEast, kNorth, kSouth, west}); }
  CHECK(scene.LastSentTo<wire::TrainRequest>(kSouth).empty());
  for (const SiteId& site : {kEast, kNorth, west}) scene.Complete(site);
  scene.AggregateIsReady(1);
  for (const SiteId& site : {kEast, kNorth, kSouth, west}) scene.Evaluate(site, 0.9);
  CHECK(scene.state().round == 2);
  CHECK(scene.All<OpenAttempt>().back().sites.contains(kSouth));
}

TEST_CASE("a site that was refused before a restart is left out when the attempt fails after it") {
  Scene scene;
  scene.BeginTraining();
  scene.Do(ContributionRefused{kSouth, scene.Key(), "value 7 of conv.weight is not finite"});
  scene.Restart({kEast, kNorth, kSouth});
  scene.Do(SiteTaskFailed{kEast, scene.Key(), "out of memory"});
  REQUIRE(scene.state().attempt == 2);
  CHECK(scene.All<OpenAttempt>().back().sites == std::set<SiteId>{kEast, kNorth});
}

TEST_CASE("where the others do not suffice a site that sent garbage is tried again") {
  plan::Plan plan = ShortPlan();
  plan.cohort.minimum_sites = 3;
  Scene scene(plan);
  scene.BeginTraining();
  scene.Do(ContributionRefused{kSouth, scene.Key(), "value 7 of conv.weight is not finite"});
  REQUIRE(scene.state().attempt == 2);
  CHECK(scene.All<OpenAttempt>().back().sites.contains(kSouth));
}

}  // namespace
}  // namespace consilium::coordinator
