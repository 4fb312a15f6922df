// Federations of real processes: coordinator, agents, researcher, over mutual TLS on loopback.

#include <signal.h>

#include <algorithm>

#include "experiments/federation.h"
#include "experiments/results.h"
#include "experiments/run_history.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Agents that train nothing, so that rounds pass in milliseconds.
Federation SmallFederation(const fs::path& folder, int sites) {
  auto created = Federation::Create(Programs(), folder);
  RequireOk(created.status());
  Federation federation = *std::move(created);
  RequireOk(federation.StartCoordinator());
  RequireOk(federation.EnrolResearcher("researcher"));
  for (int i = 0; i < sites; ++i) {
    const std::string name = "site-" + std::to_string(i);
    RequireOk(federation.EnrolSite(name));
    RequireOk(federation.StartSite(name, {"--parameters", "5000"}, "consilium-bench-agent"));
  }
  return federation;
}

std::string SubmitQuickPlan(Federation& federation, int rounds) {
  const fs::path file = federation.folder() / "plan.toml";
  RequireOk(WriteFileDurably(
      file, StrCat("[plan]\nname = \"quick\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = "
                   "[\"DX\"]\n[cohort]\nminimum_sites = 3\n[stop]\nrounds = ",
                   rounds, "\n")));
  const auto run = federation.SubmitRun(file);
  RequireOk(run.status());
  return *run;
}

std::vector<wire::RunEvent> EventsOf(Federation& federation, const std::string& run) {
  const auto shown = federation.ShowRun(run);
  RequireOk(shown.status());
  return EventsOfRun(*shown).value();
}

int Count(const std::vector<wire::RunEvent>& events, wire::RunEventKind kind) {
  return static_cast<int>(
      std::count_if(events.begin(), events.end(), [&](const auto& e) { return e.kind == kind; }));
}

TEST_CASE("a run goes on when the coordinator was killed between rounds and is started again") {
  const TemporaryFolder folder;
  constexpr int kRounds = 20;
  Federation federation = SmallFederation(folder.path(), 3);
  const std::string run = SubmitQuickPlan(federation, kRounds);
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  for (const char* mark : {"round 3 ", "round 8 ", "round 14 "}) {
    REQUIRE(
        Eventually([&] { return Tail(folder / "watch", 10000).find(mark) != std::string::npos; }));
    federation.KillCoordinator();
    RequireOk(federation.StartCoordinator());
  }
  const auto ended = watching.Wait(minutes(3));
  RequireOk(ended.status());
  INFO(Tail(folder / "watch", 20) << Tail(federation.logs() / "coordinator.log", 20));
  CHECK(ended->ok());
  const auto events = EventsOf(federation, run);
  CHECK(Count(events, wire::RunEventKind::kRestarted) >= 1);
  CHECK(Count(events, wire::RunEventKind::kPublished) == 1);
  const RunHistory history = ReadHistory(events);
  CHECK(history.rounds.size() == kRounds);
  for (const RoundHistory& round : history.rounds) CHECK(round.pooled_validation.has_value());
}

TEST_CASE("a run survives an agent that is killed and started again") {
  const TemporaryFolder folder;
  Federation federation = SmallFederation(folder.path(), 3);
  const std::string run = SubmitQuickPlan(federation, 20);
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  REQUIRE(Eventually(
      [&] { return Tail(folder / "watch", 10000).find("round 3 ") != std::string::npos; }));
  federation.site("site-1").Signal(SIGKILL);
  federation.site("site-1").End();
  RequireOk(federation.StartSite("site-1", {"--parameters", "5000"}, "consilium-bench-agent"));
  const auto ended = watching.Wait(minutes(3));
  RequireOk(ended.status());
  INFO(Tail(folder / "watch", 20));
  CHECK(ended->ok());
  CHECK(ReadHistory(EventsOf(federation, run)).published);
}

TEST_CASE("a token that is wrong, used or for another role is refused with the reason") {
  const TemporaryFolder folder;
  Federation federation = SmallFederation(folder.path(), 0);
  const auto enrol = [&](const std::string& token, const std::string& state) {
    return RunProgram({.program = Programs() / "consilium-site",
                       .arguments = {"enrol", token, "--coordinator", federation.address(),
                                     "--state", folder / state},
                       .logs = folder.path(),
                       .name = state,
                       .environment = federation.Environment()})
        .status();
  };
  const absl::Status garbage = enrol("not-a-token", "garbage");
  CHECK(garbage.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(garbage.ToString(), ContainsText("token"));
  const std::string token = federation.Invite("west", "site").value();
  std::string wrong = token;
  wrong[8] = wrong[8] == 'A' ? 'B' : 'A';  // in the secret
  CHECK_FALSE(enrol(wrong, "wrong").ok());
  RequireOk(enrol(token, "west"));
  const absl::Status again = enrol(token, "again");
  CHECK(again.code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(again.ToString(), ContainsText("used"));
  CHECK_FALSE(enrol(federation.Invite("ada", "researcher").value(), "ada").ok());
}

TEST_CASE("a coordinator whose port is in use says so and ends") {
  const TemporaryFolder folder;
  Federation federation = SmallFederation(folder / "first", 0);
  const auto second = Federation::Create(Programs(), folder / "second");
  RequireOk(second.status());
  const std::string port = federation.address().substr(federation.address().rfind(':') + 1);
  const auto status =
      RunProgram({.program = Programs() / "consilium-coordinator",
                  .arguments = {"serve", "--state", folder / "second" / "coordinator", "--listen",
                                "127.0.0.1:" + port},
                  .logs = folder.path(),
                  .name = "second",
                  .environment = second->Environment()},
                 seconds(20))
          .status();
  CHECK_FALSE(status.ok());
  CHECK_FALSE(absl::IsDeadlineExceeded(status));
  CHECK_THAT(status.ToString(), ContainsText(port));
}

}  // namespace
}  // namespace consilium::experiments
