// Whole federations of real processes: coordinator, agents, researcher, over mutual TLS on
// loopback.

#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "experiments/comparison.h"
#include "experiments/federation.h"
#include "experiments/plan_text.h"
#include "experiments/results.h"
#include "experiments/run_history.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::experiments {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;

fs::path Programs() {
  const char* programs = std::getenv("CONSILIUM_BIN");
  REQUIRE(programs != nullptr);
  return programs;
}

// Catch2 prints it where it fails.
void RequireOk(const absl::Status& status) {
  INFO(status.ToString());
  REQUIRE(status.ok());
}

template <class Condition>
bool Eventually(const Condition& condition, Duration limit = seconds(60)) {
  const auto until = steady_clock::now() + limit;
  while (steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

// How many processes name this folder on their command line.
int ProcessesNaming(const fs::path& folder) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    count += line.find(folder.string()) != std::string::npos;
  }
  return count;
}

Command QuickstartCommand(const TemporaryFolder& folder, const std::vector<std::string>& options) {
  Command command{.program = Programs() / "consilium-experiment", .arguments = {"quickstart"}};
  command.arguments.insert(command.arguments.end(), {"--out", (folder / "out").string()});
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.output = folder / "stdout";
  command.errors = folder / "stderr";
  return command;
}

// Two agents that train nothing, so that rounds pass in milliseconds.
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
                   "[\"DX\"]\n[cohort]\nminimum_sites = 2\n[stop]\nrounds = ",
                   rounds, "\n")));
  const auto answer = federation.Researcher({"run", "submit", file, "--json"}, "submit");
  RequireOk(answer.status());
  return nlohmann::json::parse(*answer).at("run");
}

std::vector<wire::RunEvent> EventsOf(Federation& federation, const std::string& run) {
  const auto shown = federation.Researcher({"run", "show", run, "--json"}, "show");
  RequireOk(shown.status());
  return EventsFromJson(nlohmann::json::parse(*shown).at("events").dump()).value();
}

int Count(const std::vector<wire::RunEvent>& events, wire::RunEventKind kind) {
  return static_cast<int>(
      std::count_if(events.begin(), events.end(), [&](const auto& e) { return e.kind == kind; }));
}

TEST_CASE(
    "quickstart draws, trains, compares, publishes and reports; a changed model does not verify") {
  const TemporaryFolder folder;
  std::string plan = kQuickstartPlan;
  plan.replace(plan.find("minimum_auroc = 0.7"), 19, "minimum_auroc = 0.0");
  RequireOk(WriteFileDurably(folder / "plan.toml", plan));
  const auto state = Run(QuickstartCommand(folder, {"--patients", "60", "--rounds", "2", "--plan",
                                                    (folder / "plan.toml").string()}),
                         minutes(5));
  RequireOk(state.status());
  INFO(Tail(folder / "stderr", 30) << Tail(folder / "stdout", 30));
  REQUIRE(state->code == 0);

  const Results results =
      ResultsFromJson(ReadTextFile(folder / "out" / "results.json").value()).value();
  CHECK(results.published);
  CHECK(results.verified);
  REQUIRE(results.models.size() == 5);
  CHECK(results.baseline_epochs == 6);
  for (const TestedModel& model : results.models) {
    CHECK(model.by_site.size() == 3);
    REQUIRE(model.pooled.has_value());
    CHECK(model.pooled->patients > 20);
  }
  const RunHistory history = ReadHistory(results.events);
  REQUIRE(history.rounds.size() == 2);
  for (const RoundHistory& round : history.rounds) {
    REQUIRE(round.sites.size() == 3);
    for (const auto& [site, part] : round.sites) CHECK(part.fate == SiteRound::Fate::kCounted);
  }
  CHECK(results.examples.size() == 6);
  const std::string printed = Tail(folder / "stdout", 1000);
  for (const char* words :
       {"worst site", "pooled-data model", "Verify it", "report.html", "round 2"})
    CHECK_THAT(printed, ContainsText(words));
  CHECK(ReadTextFile(folder / "out" / "report.html")->size() > 20'000);

  // The command that the report prints says yes to the model, and no to one with a byte changed.
  const auto verify = [&] {
    return Run({.program = "sh",
                .arguments = {"-c", results.verify_command},
                .output = folder / "verify",
                .errors = folder / "verify"})
        ->code;
  };
  CHECK(verify() == 0);
  Bytes model = ReadFile(results.model_path).value();
  model[model.size() - 100] ^= 1;
  RequireOk(WriteFileDurably(results.model_path, ByteView(model)));
  CHECK(verify() != 0);
  CHECK_THAT(Tail(folder / "verify", 5), ContainsText("NOT the model"));
  CHECK(ProcessesNaming(folder.path()) == 0);
}

TEST_CASE("a run goes on when the coordinator was killed between rounds and is started again") {
  const TemporaryFolder folder;
  constexpr int kRounds = 60;
  Federation federation = SmallFederation(folder.path(), 2);
  const std::string run = SubmitQuickPlan(federation, kRounds);
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  for (const char* mark : {"round 5 ", "round 20 ", "round 40 "}) {
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
  const std::string run = SubmitQuickPlan(federation, 60);
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  REQUIRE(Eventually(
      [&] { return Tail(folder / "watch", 10000).find("round 5 ") != std::string::npos; }));
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
                       .arguments = {"enrol", "--coordinator", federation.address(), "--token",
                                     token, "--state", folder / state},
                       .logs = folder.path(),
                       .name = state})
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
  RequireOk(Federation::Create(Programs(), folder / "second").status());
  const std::string port = federation.address().substr(federation.address().rfind(':') + 1);
  const auto status =
      RunProgram({.program = Programs() / "consilium-coordinator",
                  .arguments = {"serve", "--state", folder / "second" / "coordinator", "--listen",
                                "127.0.0.1:" + port},
                  .logs = folder.path(),
                  .name = "second"},
                 seconds(20))
          .status();
  CHECK_FALSE(status.ok());
  CHECK_FALSE(absl::IsDeadlineExceeded(status));
  CHECK_THAT(status.ToString(), ContainsText(port));
}

TEST_CASE("Ctrl-C in a round ends quickstart and all its programs") {
  const TemporaryFolder folder;
  Process process =
      *Process::Start(QuickstartCommand(folder, {"--patients", "40", "--rounds", "500"}));
  REQUIRE(Eventually(
      [&] { return Tail(folder / "stdout", 1000).find("round 2 ") != std::string::npos; },
      minutes(3)));
  CHECK(ProcessesNaming(folder.path()) >= 5);
  kill(process.pid(), SIGINT);
  const auto state = process.Wait(seconds(30));
  RequireOk(state.status());
  CHECK(state->code == 130);
  CHECK(Eventually([&] { return ProcessesNaming(folder.path()) == 0; }, seconds(5)));
}

TEST_CASE("a quickstart that is killed takes its programs with it") {
  const TemporaryFolder folder;
  Process process = *Process::Start(
      QuickstartCommand(folder, {"--patients", "40", "--rounds", "500", "--no-baselines"}));
  REQUIRE(Eventually(
      [&] { return Tail(folder / "stdout", 1000).find("round 1 ") != std::string::npos; },
      minutes(3)));
  kill(process.pid(), SIGKILL);
  CHECK(Eventually([&] { return ProcessesNaming(folder.path()) == 0; }, seconds(10)));
}

TEST_CASE("quickstart refuses what it cannot do before it starts anything") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::vector<std::string>& options, const std::string& words) {
    std::error_code ignored;
    fs::remove(folder / "stderr", ignored);
    const auto state = Run(QuickstartCommand(folder, options), seconds(60));
    RequireOk(state.status());
    CHECK(state->code != 0);
    CHECK_THAT(Tail(folder / "stderr", 100), ContainsText(words));
  };
  fs::create_directories(folder / "a");
  refused({"--data", folder / "a"}, "two or more hospitals");
  refused({"--data", folder / "a", "--data", folder / "none"}, "labels.csv");
  refused({"--plan", folder / "none.toml"}, "none.toml");
  RequireOk(WriteFileDurably(folder / "bad.toml", "[plan]\nname = \"bad\"\nsede = 3\n"));
  refused({"--plan", folder / "bad.toml"}, "sede");
  fs::create_directories(folder / "out");
  RequireOk(WriteFileDurably(folder / "out" / "thesis.txt", "do not lose this"));
  refused({}, "holds something else");
  CHECK(fs::exists(folder / "out" / "thesis.txt"));
}

}  // namespace
}  // namespace consilium::experiments
