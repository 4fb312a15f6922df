// Agents in secure sessions with an honest coordinator.

#include <algorithm>
#include <cmath>

#include "common/base/fixed_point.h"
#include "common/base/log.h"
#include "common/metrics/evaluation_sums.h"
#include "tests/catch.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kFirst{kRun, 1, 1};

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

bool AllNear(const std::vector<double>& values, double expected) {
  constexpr double kBound = 2e-5;  // the quantizer's, and float's
  return !values.empty() && std::all_of(values.begin(), values.end(), [&](double value) {
    return std::abs(value - expected) < kBound;
  });
}

std::vector<std::string> WhatLeft(TestSite& site) {
  std::vector<std::string> what;
  const auto departures = *site.state->Departures();
  for (const Departure& departure : departures) what.push_back(departure.what);
  return what;
}

TEST_CASE("three agents train, and the coordinator learns their mean and loss and nothing else") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  round.Run();
  CHECK(AllNear(round.Mean(), 0.2));
  CHECK(FromFixedPoint(round.Sums()[0]) == Approx(0.5));  // every site's loss
  const auto contribution = *hospitals[0].coordinator.Contribution(kFirst);
  CHECK(contribution.header.loss == 0);
  CHECK(contribution.header.train_seconds == 0);
  auto left = WhatLeft(hospitals[0]);
  std::sort(left.begin(), left.end());  // the site trains while keys and shares are exchanged
  CHECK(left == std::vector<std::string>{
                    "answer to an invitation", "masked update",
                    "public keys of a secure session (training)", "sealed key shares (training)",
                    "shares that open the sum (training)",
                    "signature over who delivered (training)", "what was trained on (counts)"});
  hospitals[0].coordinator.Send(wire::AttemptClosed{kFirst, true});
  CHECK(hospitals[0].AwaitState(kFirst, TaskState::kCounted) == TaskState::kCounted);
  const auto record = *hospitals[0].state->FindSession({kFirst, secagg::Purpose::kTraining});
  CHECK(record->state == SessionState::kClosed);
  CHECK(record->sealed.empty());
}

TEST_CASE("a site that is lost after sharing is left out of the mean of the others") {
  Hospitals hospitals({"north", "south", "west", "zebra"});
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  round.Advertise();
  round.Share();
  round.Upload("zebra");
  round.Agree();
  round.Unmask();
  CHECK(AllNear(round.Mean(), 0.2));
}

TEST_CASE("an agent that is restarted at any step goes on with its session") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  const int at = GENERATE(1, 2, 3, 4, 5);
  CAPTURE(at);
  TestSite& site = hospitals[1];
  const auto restart_after = [&](int step) {
    if (step != at) return;
    site.Restart();
    round.Ask(site);
  };
  round.Advertise();
  restart_after(1);
  round.Share();
  restart_after(2);
  round.Upload();
  restart_after(3);
  round.Agree();
  restart_after(4);
  round.Unmask();
  if (at == 5) {  // the answer is the same as before
    site.Restart();
    site.coordinator.Send(round.SignaturesNotice());
    CHECK(round.session.Take(site.site, AnswerOf<secagg::UnmaskAnswer>(site)).ok());
  }
  CHECK(AllNear(round.Mean(), 0.2));
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
}

TEST_CASE("every step asked again after a reconnection is answered the same") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  TestSite& site = hospitals[0];
  int connections = site.coordinator.connections;
  const auto reconnect = [&] {
    site.coordinator.Disconnect();
    site.coordinator.AwaitConnections(++connections);
    round.Ask(site);
  };
  round.Advertise();
  reconnect();
  CHECK(round.session.Take(AnswerOf<secagg::Advertisement>(site)).ok());
  round.Share();
  reconnect();
  site.coordinator.Send(round.MembersNotice());
  CHECK(round.session.Take(site.site, AnswerOf<std::vector<secagg::SealedShare>>(site)).ok());
  round.Upload();
  reconnect();
  round.Agree();
  reconnect();
  site.coordinator.Send(round.SurvivorsNotice());
  CHECK(round.session.Take(site.site, AnswerOf<crypto::Signature>(site)).ok());
  round.Unmask();
  reconnect();
  site.coordinator.Send(round.SignaturesNotice());
  CHECK(round.session.Take(site.site, AnswerOf<secagg::UnmaskAnswer>(site)).ok());
  CHECK(AllNear(round.Mean(), 0.2));
  CHECK(site.learner.trainings == 1);
}

TEST_CASE("the next attempt of a round masks what was trained, anew and without training again") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound first(hospitals, SecureRound::Training(hospitals, kFirst, base));
  first.Advertise();
  first.Share();
  first.Upload();
  const AttemptKey again{kRun, 1, 2};
  for (const auto& site : hospitals.sites) {
    site->coordinator.Send(wire::AttemptClosed{kFirst, false, "too few were left"});
  }
  SecureRound second(hospitals, SecureRound::Training(hospitals, again, base));
  second.Run();
  CHECK(AllNear(second.Mean(), 0.2));
  CHECK(hospitals[0].learner.trainings == 1);
  CHECK(hospitals[0].coordinator.Contribution(kFirst)->masked !=
        hospitals[0].coordinator.Contribution(again)->masked);
}

TEST_CASE("an evaluation's sums are added up masked") {
  Hospitals hospitals;
  const ModelId model = hospitals.AddModel(SmallModel(1));
  const secagg::SessionKey key{{kRun, 1, 1}, secagg::Purpose::kValidation};
  SecureRound round(hospitals, SecureRound::Evaluation(hospitals, key, model));
  round.Run();
  const auto sums = metrics::FromRing(round.Sums(), TaskShape{}, 3);
  REQUIRE(sums.ok());
  CHECK(sums->sums.binary().PositiveCount() == 60);
  CHECK(sums->sums.patients() == 120);
  CHECK(sums->compared == 0);
  CHECK(hospitals[0].coordinator.Pending<wire::EvaluationReport>() == 0);
}

TEST_CASE(
    "each site says, in the sum only, whether the candidate is worse than what was published") {
  Hospitals hospitals({"north", "south", "west"},
                      std::string(kPlan) + "[gate]\nmaximum_site_drop = 0.1\n");
  const ModelId published = hospitals.AddModel(SmallModel(1));
  const secagg::SessionKey key{{kRun, 1, 1}, secagg::Purpose::kTest};
  float weight = 0;
  std::uint64_t worse = 0;
  SECTION("worse") { weight = -1, worse = 3; }
  SECTION("as good") { weight = 2, worse = 0; }
  const ModelId candidate = hospitals.AddModel(SmallModel(weight));
  SecureRound round(hospitals, SecureRound::Evaluation(hospitals, key, candidate));
  round.last_published = published;
  round.Run();
  const auto sums = metrics::FromRing(round.Sums(), TaskShape{}, 3);
  REQUIRE(sums.ok());
  CHECK(sums->compared == 3);
  CHECK(sums->worse == worse);
}

TEST_CASE("masked sums that were lost with the connection are sent again, the very same") {
  Hospitals hospitals;
  const ModelId model = hospitals.AddModel(SmallModel(1));
  const secagg::SessionKey key{{kRun, 1, 1}, secagg::Purpose::kTest};
  SecureRound round(hospitals, SecureRound::Evaluation(hospitals, key, model));
  round.Advertise();
  round.Share();
  TestSite& site = hospitals[0];
  site.coordinator.Send(round.SharesNotice(site.site));
  const auto lost = AnswerOf<wire::MaskedSums>(site);
  SECTION("over the next connection") {
    const int connections = site.coordinator.connections;
    site.coordinator.Disconnect();
    site.coordinator.AwaitConnections(connections + 1);
  }
  SECTION("by the next process") { site.Restart(); }
  round.Ask(site);
  site.coordinator.Send(round.SharesNotice(site.site));
  CHECK(AnswerOf<wire::MaskedSums>(site).sums == lost.sums);
  CHECK(site.learner.evaluations == 1);
}

}  // namespace
}  // namespace consilium::site_agent
