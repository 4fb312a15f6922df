// Masked runs whose sites drop out, are silent, lie, leave or come late.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

TEST_CASE("one of four sites may drop out at any step: the sum is that of those who delivered") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  const bool disconnects = GENERATE(true, false);
  CAPTURE(kSteps[step], disconnects);
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, step);
  if (disconnects) federation.Disconnect(kD);
  federation.Wait(700);
  federation.Connect(kD);
  federation.Run();
  federation.Wait(700);
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  REQUIRE(federation.All<Aggregate>().size() == 1);
  const bool counted = step > 2;
  CHECK(federation.All<Aggregate>()[0].counted.contains(kD) == counted);
  CHECK(federation.Key().attempt == 1);
  const wire::RunEvent unmasked = federation.Events(Kind::kSecureStep).at(4);
  CHECK(unmasked.values.at("survivors") == (counted ? 4 : 3));
  CHECK(unmasked.values.at("recovered") == (step == 2 ? 1 : 0));
  CHECK(federation.All<Aggregate>()[0].unmasking->survivors_share == (counted ? 1 : 0.75));
}

TEST_CASE("a connected site that does not advertise or share is lost when it was silent too long") {
  const std::size_t step = GENERATE(0, 1);
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, step);
  federation.Wait(119);
  CHECK(federation.Steps(false).size() == step);
  SECTION("which any sign of life puts off") {
    federation.Do(SiteProgressed{kD, federation.Key()});
    federation.Wait(119);
    CHECK(federation.Steps(false).size() == step);
  }
  SECTION("which it was") {}
  federation.Wait(1);
  CHECK(federation.Steps(false) == kSteps);
  CHECK_THAT(federation.LastText(Kind::kContributionLost),
             ContainsText("it is connected and gave no sign of life for 2 min"));
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("a plan without grace still gives connected sites time to answer") {
  plan::Plan plan = MaskedPlan();
  plan.cohort.absence_grace_s = 0;
  MaskedFederation federation(plan, 4);
  federation.Start();
  for (int i = 0; i < 40 && !federation.engine().ended(); ++i) {
    federation.Run();
    federation.Wait(1);
  }
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("below the threshold nothing is opened, and the next attempt has fresh keys") {
  const std::size_t step = GENERATE(0, 1, 2, 3);
  CAPTURE(kSteps[step]);
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, step);
  federation.Wait(599);  // it cannot be done without the silent one
  CHECK(federation.state().attempt == 1);
  CHECK_THAT(federation.LastText(Kind::kWaiting),
             ContainsText("on c, which is connected but gives no sign of life, until "));
  federation.pass = nullptr;
  federation.Wait(2);
  CHECK(federation.All<AbandonAttempt>().size() >= 1);
  CHECK(federation.state().round == 1);
  CHECK(federation.violations().empty());
  REQUIRE(Published(federation));
  const auto first = federation.SentTo<wire::TrainRequest>(kA).front();
  const auto last = federation.SentTo<wire::TrainRequest>(kA).back();
  CHECK(last.key.round == 1);
  CHECK(last.key.attempt > 1);
  CHECK(first.seed == last.seed);  // the same updates, masked anew
  CHECK(federation.All<Aggregate>().size() == 1);
}

TEST_CASE("a site that comes back within its grace goes on with the step where it left") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(kSteps[step]);
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, step);
  const std::size_t tasks = federation.SentTo<wire::TrainRequest>(kC).size();
  const std::size_t notices = federation.SentTo<wire::SecureNotice>(kC).size();
  federation.Disconnect(kC);
  federation.Wait(30);
  CHECK_THAT(federation.LastText(Kind::kWaiting), ContainsText("on c, which is not connected"));
  federation.pass = nullptr;
  federation.Connect(kC);
  CHECK(federation.SentTo<wire::TrainRequest>(kC).size() == tasks + 1);
  CHECK(federation.SentTo<wire::SecureNotice>(kC).size() == notices + (step > 0 ? 1 : 0));
  federation.Run();
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  CHECK(federation.Key() == AttemptKey{RunId("masked-0001"), 1, 1});
}

TEST_CASE("a site that answered the step is not asked again when it comes back") {
  MaskedFederation federation(MaskedPlan(), 3);
  BeginWithoutAnswersFrom(federation, {kC}, 3);
  const std::size_t tasks = federation.SentTo<wire::TrainRequest>(kA).size();
  const std::size_t notices = federation.SentTo<wire::SecureNotice>(kA).size();
  federation.Disconnect(kA);
  federation.Connect(kA);
  CHECK(federation.SentTo<wire::TrainRequest>(kA).size() == tasks);
  CHECK(federation.SentTo<wire::SecureNotice>(kA).size() == notices);
}

TEST_CASE("agreeing waits a little for connected sites beyond the threshold, not for others") {
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, 3);
  CHECK(federation.Steps(false).size() == 3);
  SECTION("a slow one that answers may help to unmask") {
    federation.Wait(4);
    federation.pass = nullptr;
    federation.Connect(kD);  // again, so that it is asked again
    federation.Run();
    CHECK(federation.Events(Kind::kSecureStep).at(3).values.at("sites") == 4);
  }
  SECTION("a silent one is left behind") {
    federation.Wait(5);
    CHECK(federation.Events(Kind::kSecureStep).at(3).values.at("sites") == 3);
  }
  SECTION("one that is away is not waited for") {
    federation.Disconnect(kD);
    federation.Run();
    CHECK(federation.Events(Kind::kSecureStep).at(3).values.at("sites") == 3);
  }
  CHECK(federation.All<Aggregate>().at(0).counted.size() == 4);
  CHECK(federation.violations().empty());
}

TEST_CASE("a site that lies is lost with the reason, and the others go on") {
  MaskedFederation federation(MaskedPlan(), 4);
  std::string reason;
  bool lied = false;
  const auto lie = [&](const std::string& step, auto change) {
    federation.pass = [&federation, &lied, step, change](const SiteId& site, const Event& event) {
      if (site != kD || StepOf(event) != step || lied) return true;
      lied = true;
      Event changed = event;
      change(changed);
      federation.Do(changed);
      return false;
    };
  };
  SECTION("another key than it signed") {
    lie("advertise", [](Event& event) {
      auto& answer = std::get<SecureAnswered>(event).answer.answer;
      std::get<secagg::Advertisement>(answer).mask_key[3] ^= 1;
    });
    reason = "is not signed by its key in the roster";
  }
  SECTION("an advertisement in another's name") {
    lie("advertise", [](Event& event) {
      auto& answer = std::get<SecureAnswered>(event).answer.answer;
      std::get<secagg::Advertisement>(answer).site = kA;
    });
    reason = "it sent an advertisement of site \"a\"";
  }
  SECTION("no share for somebody") {
    lie("share", [](Event& event) {
      auto& answer = std::get<SecureAnswered>(event).answer.answer;
      std::get<std::vector<secagg::SealedShare>>(answer).pop_back();
    });
    reason = "sent 2 shares";
  }
  SECTION("an update with another hash than it signed") {
    lie("upload",
        [](Event& event) { std::get<ContributionComplete>(event).proof.sha256.bytes[0] ^= 1; });
    reason = "its update was refused";
  }
  SECTION("an update without sums") {
    lie("upload", [](Event& event) { std::get<ContributionComplete>(event).masked_sums.clear(); });
    reason = "with 0 masked sums instead of 2";
  }
  SECTION("an update with another weight") {
    lie("upload", [](Event& event) { std::get<ContributionComplete>(event).weight = 1e6; });
    reason = "weight 1000000 differs from the 100 examples it enlisted with";
  }
  federation.Start();
  federation.Run();
  federation.Wait(120);
  CHECK(lied);
  CHECK_THAT(federation.LastText(Kind::kContributionLost), ContainsText(reason));
  CHECK(federation.All<Aggregate>().at(0).counted == std::set<SiteId>{kA, kB, kC});
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("a lie after the uploads leaves the update in the sum and the site out of the opening") {
  MaskedFederation federation(MaskedPlan(), 4);
  std::string step;
  SECTION("of who delivered") { step = "agree"; }
  SECTION("of its shares") { step = "unmask"; }
  federation.pass = [&](const SiteId& site, const Event& event) {
    if (site != kA || StepOf(event) != step) return true;
    Event changed = event;
    auto& answer = std::get<SecureAnswered>(changed).answer.answer;
    if (auto* signature = std::get_if<crypto::Signature>(&answer)) (*signature)[0] ^= 1;
    if (auto* shares = std::get_if<secagg::UnmaskAnswer>(&answer)) shares->seed_shares.clear();
    federation.Do(changed);
    return false;
  };
  federation.Start();
  federation.Run();
  CHECK_THAT(federation.LastText(Kind::kContributionLost),
             ContainsText("what it delivered stays, but it does not help to open the sum"));
  CHECK(federation.All<Aggregate>().at(0).counted.size() == 4);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("a site that fails its task after it delivered is counted, and not waited for") {
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kC}, 2);
  federation.Do(SiteTaskFailed{kD, federation.Key(), "its disk is gone"});
  federation.pass = [](const SiteId& site, const Event& event) {
    return site != kD || StepOf(event).empty();
  };
  federation.Disconnect(kC);
  federation.Connect(kC);
  federation.Run();
  CHECK(federation.All<Aggregate>().at(0).counted.size() == 4);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("at the deadline the uploads are closed, and opening the sum may take longer") {
  MaskedFederation federation(MaskedPlan(), 4);
  BeginWithoutAnswersFrom(federation, {kD}, 2);
  federation.hears = [&](const SiteId& site, const wire::ToSite& message) {
    const auto* notice = std::get_if<wire::SecureNotice>(&message);
    return site != kA || notice == nullptr ||
           !std::holds_alternative<wire::SecureNotice::Survivors>(notice->notice);
  };
  for (int i = 0; i < 6; ++i) {  // it trains all the time
    CHECK(federation.Steps(false).size() == 2);
    federation.Wait(100);
    federation.Do(SiteProgressed{kD, federation.Key()});
  }
  CHECK(federation.Steps(false).size() == 3);
  federation.Wait(30);
  federation.hears = nullptr;
  federation.Disconnect(kA);
  federation.Connect(kA);  // hears of the step again
  federation.Run();
  REQUIRE(federation.All<Aggregate>().size() == 1);
  CHECK(federation.All<Aggregate>()[0].counted == std::set<SiteId>{kA, kB, kC});
  CHECK(federation.violations().empty());
}

TEST_CASE("an attempt waits for those that are away when the threshold of all cannot be met yet") {
  plan::Plan plan = MaskedPlan();
  plan.stop.rounds = 2;
  MaskedFederation federation(plan, 6);
  federation.pass = [&](const SiteId& site, const Event& event) {
    // The fifth answer opens the sum, and the next round begins.
    const bool last = site == SiteId("e") && StepOf(event, false) == "unmask";
    if (last && federation.state().round == 1) {
      for (const char* name : {"e", "f"}) {
        if (federation.connected().contains(SiteId(name))) federation.Disconnect(SiteId(name));
      }
    }
    return true;
  };
  federation.Start();
  federation.Run();
  REQUIRE(federation.state().round == 2);
  CHECK(federation.state().attempt == 0);  // of the six five are needed
  CHECK_THAT(federation.LastText(Kind::kWaiting),
             ContainsText("for 5 sites that accepted to be connected, as secure aggregation needs "
                          "(4 are)"));
  federation.Wait(60);  // the two others have had their grace: of four, three are needed
  CHECK(federation.All<OpenAttempt>().back().sites.size() == 4);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

TEST_CASE("a site that leaves the run is out of the session, and what it delivered is counted") {
  const std::size_t step = GENERATE(1, 2, 3);
  MaskedFederation federation(MaskedPlan(), 5);
  BeginWithoutAnswersFrom(federation, {kC}, step);
  federation.Do(InviteAnswered{kD, {RunId("masked-0001"), false, "the operator withdrew"}});
  federation.pass = nullptr;
  federation.Disconnect(kC);
  federation.Connect(kC);
  federation.Run();
  CHECK(federation.All<Aggregate>().at(0).counted.contains(kD) == (step > 1));
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
  CHECK(federation.SentTo<wire::EvaluateRequest>(kD).empty());
}

TEST_CASE("the update of a site that leaves the roster is taken out while that can be done") {
  MaskedFederation federation(MaskedPlan(), 5);
  const std::size_t step = GENERATE(2, 3);
  BeginWithoutAnswersFrom(federation, {kC}, step);
  RosterView fewer = federation.roster;
  fewer.sites.erase(kD);
  fewer.hash.bytes[0] ^= 1;
  federation.Disconnect(kD);
  federation.Do(RosterChanged{fewer});
  CHECK(federation.state().participants.at(kD).invite == InviteState::kDeclined);
  federation.pass = nullptr;
  federation.Disconnect(kC);
  federation.Connect(kC);
  federation.roster = fewer;
  federation.Run();
  REQUIRE(federation.All<Aggregate>().size() == 1);
  CHECK(federation.All<Aggregate>()[0].counted.contains(kD) == (step == 3));
  CHECK(federation.violations().empty());
  CHECK(Published(federation));
  // The session that was under way kept its roster, the next has the new one.
  CHECK(federation.SentTo<wire::TrainRequest>(kC).back().secure->roster != fewer.hash);
  CHECK(federation.SentTo<wire::EvaluateRequest>(kC).front().secure->roster == fewer.hash);
  CHECK(federation.SentTo<wire::EvaluateRequest>(kD).empty());
}

TEST_CASE("a site that comes into the roster is invited, also when it had been out of it") {
  plan::Plan plan = MaskedPlan();
  MaskedFederation federation(plan, 4);
  const RosterView all = federation.roster;
  federation.roster.sites.erase(kD);
  federation.Start({kA, kB, kD});
  federation.Run();
  CHECK(federation.SentTo<wire::Invite>(kD).empty());
  CHECK_FALSE(federation.state().participants.contains(kD));
  federation.roster = all;
  federation.Do(RosterChanged{all});
  CHECK(federation.SentTo<wire::Invite>(kD).size() == 1);
  RosterView without = all;
  without.sites.erase(kD);
  federation.Do(RosterChanged{without});
  CHECK_THAT(federation.LastText(Kind::kSiteDeclined), ContainsText("roster"));
  federation.Do(RosterChanged{all});
  CHECK(federation.SentTo<wire::Invite>(kD).size() == 2);
  federation.Run();
  federation.Wait(60);
  CHECK(Published(federation));
  CHECK(federation.violations().empty());
}

}  // namespace
}  // namespace consilium::coordinator
