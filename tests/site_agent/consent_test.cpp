// Whose plans a site takes part in, its operator's word, and the pause.

#include <filesystem>

#include "common/base/log.h"
#include "common/crypto/sha256.h"
#include "site_agent/approvals.h"
#include "tests/catch.h"
#include "tests/site_agent/secure_round.h"

namespace consilium::site_agent {
namespace {

const AttemptKey kFirst{kRun, 1, 1};

struct Quiet {
  Quiet() { SetLogLevel(LogLevel::kError); }
} const quiet;

wire::InviteAnswer AnswerTo(TestSite& site, const wire::Invite& invite) {
  site.coordinator.Send(invite);
  return site.coordinator.Await<wire::InviteAnswer>();
}

void Decide(TestSite& site, const RunId& run, bool approve) {
  const Digest plan = crypto::Sha256(std::string_view((*site.state->FindRun(run))->plan_toml));
  REQUIRE(WriteApproval(site.folder / "approvals", run, plan, approve).ok());
}

// Until the invitation sent last is in the state.
void AwaitRun(TestSite& site, const RunId& run) {
  for (int i = 0; i < 5000; ++i) {
    const auto found = site.state->FindRun(run);
    if (found.ok() && *found) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_CASE("a plan that its researcher did not sign as it is, is declined") {
  TestSite site;
  site.Start();
  site.coordinator.AwaitConnections(1);
  wire::Invite invite = site.federation.Invite(kRun, kPlan);
  std::string expected = "not signed by researcher \"ada\"";
  SECTION("changed by a line") { invite.plan_toml += "\n[stop]\nrounds = 49\n"; }
  SECTION("another nonce") { invite.nonce[0] ^= 1; }
  SECTION("a signature of somebody else") { invite.signature[0] ^= 1; }
  SECTION("a site for a researcher") {
    invite.researcher = "south";
    expected = "no researcher";
  }
  SECTION("somebody unknown") {
    invite.researcher = "eve";
    expected = "no researcher";
  }
  const auto answer = AnswerTo(site, invite);
  CHECK_FALSE(answer.accepted);
  CHECK(answer.train_patients == 0);
  CHECK_THAT(answer.reason, ContainsText(expected));
  CHECK(AnswerTo(site, site.federation.Invite(kRun, kPlan)).accepted);  // the true one may come yet
}

TEST_CASE("a plan's signature is good for one run, and a run for one plan") {
  TestSite site;
  site.Start();
  CHECK(site.Accept(kRun, kPlan).accepted);
  SECTION("the same submission for another run") {
    wire::Invite again = site.federation.Invite(kRun, kPlan);
    again.run = RunId("small-0002");
    const auto answer = AnswerTo(site, again);
    CHECK_FALSE(answer.accepted);
    CHECK_THAT(answer.reason, ContainsText("already used for another run"));
  }
  SECTION("another signed plan for the same run") {
    const auto answer = AnswerTo(site, site.federation.Invite(kRun, kSealedPlan));
    CHECK_FALSE(answer.accepted);
    CHECK_THAT(answer.reason, ContainsText("a changed plan is a new run"));
  }
  // What was accepted stays as it was.
  const auto run = *site.state->FindRun(kRun);
  CHECK(run->consent == Consent::kAccepted);
  CHECK(run->plan_toml == kPlan);
  CHECK(AnswerTo(site, site.federation.Invite(kRun, kPlan)).accepted);
}

TEST_CASE("a site whose policy asks waits for its operator, and answers within a second") {
  TestSite site;
  site.WritePolicy("decide = \"ask\"\n");
  site.Start();
  site.coordinator.AwaitConnections(1);
  site.coordinator.Send(site.federation.Invite(kRun, kPlan));
  AwaitRun(site, kRun);
  CHECK((*site.state->FindRun(kRun))->consent == Consent::kWaiting);
  CHECK(site.coordinator.Pending<wire::InviteAnswer>() == 0);
  SECTION("approved") {
    Decide(site, kRun, true);
    const auto answer = site.coordinator.Await<wire::InviteAnswer>();
    CHECK(answer.accepted);
    CHECK(answer.train_patients == 40);
  }
  SECTION("refused") {
    Decide(site, kRun, false);
    const auto answer = site.coordinator.Await<wire::InviteAnswer>();
    CHECK_FALSE(answer.accepted);
    CHECK_THAT(answer.reason, ContainsText("operator has refused"));
  }
  SECTION("approved while the agent is not running") {
    CHECK(site.Stop().ok());
    const Digest plan = crypto::Sha256(std::string_view(kPlan));
    REQUIRE(WriteApproval(site.folder / "approvals", kRun, plan, true).ok());
    site.Start();
    CHECK(site.coordinator.Await<wire::InviteAnswer>().accepted);
  }
  SECTION("another plan was approved: still asked") {
    REQUIRE(WriteApproval(site.folder / "approvals", kRun, Digest{{1}}, true).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(site.coordinator.Pending<wire::InviteAnswer>() == 0);
  }
}

TEST_CASE("an operator who refuses a run later ends its work") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  Decide(site, kRun, false);
  site.coordinator.Send(wire::TrainRequest{kFirst, site.coordinator.AddModel(SmallModel(1)), 7});
  CHECK_THAT(site.coordinator.Await<wire::TaskFailed>().reason, ContainsText("operator"));
  CHECK(site.learner.trainings == 0);
}

TEST_CASE("an approval names no file but its own") {
  const TemporaryFolder folder;
  CHECK_FALSE(WriteApproval(folder.path(), RunId("../x"), Digest{}, true).ok());
  CHECK_FALSE(WriteApproval(folder.path(), RunId(""), Digest{}, true).ok());
  CHECK_FALSE(ReadApproval(folder.path(), RunId("a/b"), Digest{}).ok());
  REQUIRE(WriteApproval(folder.path(), kRun, Digest{{1}}, true).ok());
  CHECK(*ReadApproval(folder.path(), kRun, Digest{{1}}) == Approval::kApproved);
  CHECK(*ReadApproval(folder.path(), kRun, Digest{{2}}) == Approval::kNone);
  CHECK(*ReadApproval(folder.path(), RunId("other-0001"), Digest{{1}}) == Approval::kNone);
}

TEST_CASE("a pause in the middle of training stops it and the connection, and keeps the session") {
  Hospitals hospitals;
  const ModelId base = hospitals.AddModel(SmallModel(1));
  SecureRound round(hospitals, SecureRound::Training(hospitals, kFirst, base));
  TestSite& site = hospitals[0];
  site.learner.hold = true;
  round.Advertise();
  round.Share();
  site.AwaitTraining();
  const int connections = site.coordinator.connections;
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(WriteFileDurably(site.folder / "paused", "").ok());
  while (site.learner.cancellations == 0 &&
         std::chrono::steady_clock::now() - began < std::chrono::seconds(5)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(site.learner.cancellations == 1);
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(site.coordinator.connections == connections);
  CHECK(site.coordinator.Pending<wire::TaskFailed>() == 0);
  const std::size_t departures = site.state->Departures()->size();

  site.learner.hold = false;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(site.learner.trainings == 1);
  CHECK(site.state->Departures()->size() == departures);
  fs::remove(site.folder / "paused");
  site.coordinator.AwaitConnections(connections + 1);
  round.Ask(site);
  round.Upload();
  round.Agree();
  round.Unmask();
  CHECK(round.Mean().front() == Approx(0.2).epsilon(1e-3));
  CHECK(site.learner.trainings == 2);
}

TEST_CASE("a site that is paused when its agent starts does not connect") {
  TestSite site;
  REQUIRE(WriteFileDurably(site.folder / "paused", "").ok());
  site.Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(site.coordinator.connections == 0);
  fs::remove(site.folder / "paused");
  site.coordinator.AwaitConnections(1);
}

TEST_CASE("a connection that is to be made anew waits for the task to end") {
  TestSite site;
  site.Start();
  site.Accept(kRun);
  const ModelId base = site.coordinator.AddModel(SmallModel(1));
  site.learner.hold = true;
  site.coordinator.Send(wire::TrainRequest{kFirst, base, 7});
  site.AwaitTraining();
  site.agent->ReconnectWhenIdle();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(site.coordinator.connections == 1);
  site.learner.hold = false;
  site.coordinator.AwaitConnections(2);
  CHECK(site.AwaitState(kFirst, TaskState::kAcknowledged) == TaskState::kAcknowledged);
}

}  // namespace
}  // namespace consilium::site_agent
