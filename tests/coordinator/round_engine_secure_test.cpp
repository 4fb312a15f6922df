// Masked runs, with real site sessions: what an attempt and an evaluation do when sites drop out,
// are silent, repeat themselves or lie, and when the coordinator is killed.

#include "tests/catch.h"
#include "tests/coordinator/masked_federation.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;
using Steps = std::vector<std::string>;

const SiteId kA{"a"}, kB{"b"}, kC{"c"}, kD{"d"};
const std::vector<std::string> kSteps = {"advertise", "share", "upload", "agree", "unmask"};
const Steps kOneSession = {"advertise", "share", "upload", "agree", "unmask"};

plan::Plan MaskedPlan() {
  plan::Plan plan = ShortPlan();
  plan.aggregation.updates = plan::Updates::kMasked;
  plan.cohort.minimum_sites = 3;
  plan.gate.minimum_sites = 3;
  plan.stop.rounds = 1;
  plan.model.initial = ModelNumber(200);
  return plan;
}

// The step that an event of a site answers; empty for any other. `training`: of a session of
// updates, not of an evaluation.
std::string StepOf(const Event& event, bool training = true) {
  if (std::holds_alternative<ContributionComplete>(event)) return training ? "upload" : "";
  const auto* answered = std::get_if<SecureAnswered>(&event);
  if (answered == nullptr) return "";
  const bool of_training = answered->answer.session.purpose == secagg::Purpose::kTraining;
  if (of_training != training) return "";
  switch (answered->answer.answer.index()) {
    case 0:
      return "advertise";
    case 1:
      return "share";
    case 2:
      return "upload";
    case 3:
      return "agree";
    default:
      return "unmask";
  }
}

bool Published(const MaskedFederation& federation) { return federation.All<Publish>().size() == 1; }

// Everybody has accepted and trains; the site's answer to `step` and all after it are lost.
void BeginWithoutAnswersFrom(MaskedFederation& federation, const std::set<SiteId>& silent,
                             std::size_t step, bool training = true) {
  federation.pass = [silent, step, training](const SiteId& site, const Event& event) {
    const std::string of = StepOf(event, training);
    const auto at = std::find(kSteps.begin(), kSteps.end(), of) - kSteps.begin();
    return !silent.contains(site) || of.empty() || at < static_cast<std::ptrdiff_t>(step);
  };
  federation.Start();
  federation.Run();
}

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
  CHECK(Steps{steps[0].text, steps[1].text, steps[2].text, steps[3].text, steps[4].text} ==
        kOneSession);
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
  CHECK(federation.Steps(false) == kOneSession);
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
  CHECK(federation.Steps(false) == kOneSession);
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
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
