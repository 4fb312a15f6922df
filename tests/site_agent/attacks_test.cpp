// What a malicious coordinator can try on an agent, and why it gets nothing.

#include <chrono>
#include <thread>

#include "common/base/log.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kFirst{kRun, 1, 1};

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

std::string FailureOf(TestSite& site) { return site.coordinator.Await<wire::TaskFailed>().reason; }

// Everything the site has said by now has arrived: it answers this invitation last.
void Settle(TestSite& site) {
  site.coordinator.Send(site.federation.Invite(RunId("settle-0001"), kPlan));
  site.coordinator.Await<wire::InviteAnswer>();
}

TEST_CASE("a session on other terms than the site knows by itself is refused with the difference") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  secagg::SessionConfig config = SecureRound::Training(hospitals, kFirst, base);
  std::string expected;
  SECTION("federation") { config.federation = "another", expected = "federation \"another\""; }
  SECTION("clip norm") { config.clip_norm = 1e6, expected = "clip norm"; }
  SECTION("weight rule") { config.weight_rule = "equal", expected = "weight rule"; }
  SECTION("a total weight below its own") { config.total_weight = 39, expected = "weight of 39"; }
  SECTION("another model") { config.model = Digest{{1}}, expected = "model"; }
  SECTION("another round") { config.key.attempt.round = 2, expected = "from the request"; }
  SECTION("more sums") { config.sums = 3, expected = "3 sums"; }
  SECTION("no values") { config.values = 0, expected = "0 values"; }
  SECTION("a privacy that the plan does not have") { config.privacy = "dp", expected = "privacy"; }
  SECTION("a threshold below two thirds") { config.threshold = 2, expected = "threshold of 2"; }
  SECTION("a cohort of two") {
    config.cohort_size = 2, config.threshold = 2, expected = "cohort of 2";
  }
  SECTION("another roster") { config.roster = Digest{{1}}, expected = "roster"; }
  SECTION("another size than the base model's") { config.values -= 1, expected = "values"; }
  SECTION("another layout than the base model's") {
    config.layout = Digest{{1}}, expected = "layout";
  }
  TestSite& site = hospitals[0];
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7, 60, config});
  CHECK_THAT(FailureOf(site), ContainsText(expected));
  CHECK(site.learner.trainings == 0);
  // It is not begun again.
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7, 60, config});
  CHECK_FALSE(FailureOf(site).empty());
  CHECK_FALSE(site.coordinator.Contribution(kFirst));
}

TEST_CASE("a plan that says masked is never trained, nor evaluated, in the clear") {
  TestSite site;
  site.Start();
  site.Accept(kRun, kPlan);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  CHECK_THAT(FailureOf(site), ContainsText("masked updates"));
  site.coordinator.Send(wire::EvaluateRequest{kRun, 1, base, wire::EvaluationSplit::kTest, 60});
  const auto failed = site.coordinator.Await<wire::TaskFailed>();
  CHECK(failed.key == AttemptKey{kRun, 1, 0});
  CHECK_THAT(failed.reason, ContainsText("masked updates"));
  CHECK(site.learner.trainings + site.learner.evaluations == 0);
}

TEST_CASE("a plan that says sealed is not taken into a secure session") {
  Hospitals hospitals;
  TestSite site;
  site.Start();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.coordinator.Send(
      wire::TrainRequest{kFirst, base, 7, 60, SecureRound::Training(hospitals, kFirst, base)});
  CHECK_THAT(FailureOf(site), ContainsText("sealed updates"));
}

TEST_CASE("two attempts of one round are not opened with two sets of sites") {
  Hospitals hospitals({"north", "south", "west", "zebra"});
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound first(hospitals, SecureRound::Training(hospitals, kFirst, base));
  first.Run();
  SecureRound second(hospitals, SecureRound::Training(hospitals, {kRun, 1, 2}, base));
  SECTION("in one life of the agent") {}
  SECTION("nor across a restart") { hospitals[0].Restart(); }
  second.Advertise();
  second.Share();
  second.Upload("zebra");
  hospitals[0].coordinator.Send(second.SurvivorsNotice());
  CHECK_THAT(FailureOf(hospitals[0]), ContainsText("opened before with another set"));
}

TEST_CASE("one model's results on one split are not opened with two sets of sites, in any round") {
  Hospitals hospitals({"north", "south", "west", "zebra"});
  const ModelId model = hospitals.AddModel(SmallModel(1));
  const auto key = [](std::uint32_t round) {
    return secagg::SessionKey{{kRun, round, round}, secagg::Purpose::kValidation};
  };
  SecureRound first(hospitals, SecureRound::Evaluation(hospitals, key(1), model));
  first.Run();
  SecureRound second(hospitals, SecureRound::Evaluation(hospitals, key(2), model));
  second.Advertise();
  second.Share();
  second.Upload("zebra");
  hospitals[0].coordinator.Send(second.SurvivorsNotice());
  CHECK_THAT(FailureOf(hospitals[0]), ContainsText("opened before with another set"));
}

TEST_CASE("the same base and seed are not trained on again in another round") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound first(hospitals, SecureRound::Training(hospitals, kFirst, base));
  first.Run();
  SecureRound second(hospitals, SecureRound::Training(hospitals, {kRun, 2, 1}, base));
  second.Ask(hospitals[0]);
  CHECK_THAT(FailureOf(hospitals[0]), ContainsText("same base model and seed"));
}

TEST_CASE("after unmasking, another set of survivors is refused and no other share is given") {
  Hospitals hospitals({"north", "south", "west", "zebra"});
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  round.Advertise();
  round.Share();
  round.Upload();
  round.Agree();
  TestSite& site = hospitals[0];
  site.coordinator.Send(round.SignaturesNotice());
  const auto given = AnswerOf<secagg::UnmaskAnswer>(site);
  CHECK(given.mask_key_shares.empty());
  SECTION("at once") {}
  SECTION("after a restart of the agent") { site.Restart(); }
  auto notice = round.SurvivorsNotice();
  std::get<wire::SecureNotice::Survivors>(notice.notice).sites.erase(SiteId("zebra"));
  site.coordinator.Send(notice);
  CHECK_THAT(FailureOf(site), ContainsText("another set of survivors"));
  // The session is over for good: not even the old answer is given.
  site.coordinator.Send(round.SignaturesNotice());
  Settle(site);
  CHECK(site.coordinator.Pending<wire::SecureAnswer>() == 0);
}

TEST_CASE("a second set of survivors is not signed, also after a restart") {
  Hospitals hospitals({"north", "south", "west", "zebra"});
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  round.Advertise();
  round.Share();
  round.Upload();
  TestSite& site = hospitals[0];
  site.coordinator.Send(round.SurvivorsNotice());
  AnswerOf<crypto::Signature>(site);
  SECTION("in one life of the agent") {}
  SECTION("nor after a restart") { site.Restart(); }
  auto notice = round.SurvivorsNotice();
  std::get<wire::SecureNotice::Survivors>(notice.notice).sites.erase(SiteId("zebra"));
  site.coordinator.Send(notice);
  CHECK_THAT(FailureOf(site), ContainsText("different from the one this site has signed"));
}

TEST_CASE("a session is not begun a second time with other terms") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  secagg::SessionConfig config = SecureRound::Training(hospitals, kFirst, base);
  TestSite& site = hospitals[0];
  site.learner.hold = true;
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7, 60, config});
  AnswerOf<secagg::Advertisement>(site);
  config.total_weight += 1;
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7, 60, config});
  CHECK_THAT(FailureOf(site), ContainsText("other terms"));
}

TEST_CASE("nothing of a secure session lies readable in the state folder") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  round.Advertise();
  round.Share();
  TestSite& site = hospitals[0];
  const std::string saved = "consilium secagg site state";  // how SiteSession::Save begins
  const std::string database = *ReadTextFile(site.folder / "site.db");
  CHECK(database.find(saved) == std::string::npos);
  const auto record = *site.state->FindSession({kFirst, secagg::Purpose::kTraining});
  CHECK(record->sealed.size() > 300);
}

// ---- trust

TEST_CASE("a roster that is stale or forged is refused, and the connection left") {
  TestSite site;
  const std::string old = site.federation.current().file;
  std::string file;
  SECTION("forged") {
    TestFederation another;
    another.roster = site.federation.roster;
    file = another.Sign().file;
  }
  SECTION("stale") {
    site.Start();
    site.coordinator.AwaitConnections(1);
    site.coordinator.Send(wire::RosterFile{site.federation.Sign().file});
    Settle(site);
    file = old;
  }
  SECTION("of another federation") {
    site.federation.roster.federation = "another";
    file = site.federation.Sign().file;
  }
  if (!site.thread.joinable()) site.Start();
  site.coordinator.AwaitConnections(1);
  site.coordinator.Send(wire::RosterFile{file});
  const absl::Status ended = site.Join();
  CHECK(absl::IsUnauthenticated(ended));
  CHECK(Says(ended, "roster is refused"));
}

TEST_CASE("a coordinator whose sealing key is not the roster's is left") {
  TestSite site;
  site.coordinator.welcome.sealing_key = crypto::X25519KeyPair::Generate()->public_key;
  site.Start();
  site.coordinator.AwaitConnections(1);
  site.coordinator.Send(site.federation.Invite(kRun, kPlan));
  const absl::Status ended = site.Join();
  CHECK(absl::IsUnauthenticated(ended));
  CHECK(Says(ended, "sealing key"));
  CHECK(site.coordinator.Pending<wire::InviteAnswer>() == 0);
}

TEST_CASE("a coordinator of another federation is left") {
  TestSite site;
  site.coordinator.welcome.federation = "another";
  site.Start();
  CHECK(absl::IsUnauthenticated(site.Join()));
}

TEST_CASE("a log that was changed after the site signed it ends all work until the operator acts") {
  TestSite site;
  site.Start();
  site.coordinator.AwaitConnections(1);
  const wire::LogEntry entry{1, Time(std::chrono::seconds(1)), "operator", "admit", "north"};
  site.coordinator.Send(wire::LogExtension{Digest{}, {entry}});
  const auto signature = site.coordinator.Await<wire::LogSignature>();
  CHECK(signature.head == wire::ExtendedBy(Digest{}, entry));
  wire::LogEntry changed = entry;
  changed.subject = "south";
  site.coordinator.Send(wire::LogExtension{Digest{}, {changed}});
  CHECK(Says(site.Join(), "accept-log"));
  site.Start();
  CHECK(Says(site.Join(), "accept-log"));
}

}  // namespace
}  // namespace consilium::site_agent
