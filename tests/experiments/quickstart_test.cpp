// The whole quickstart, as a user starts it.

#include <signal.h>

#include "experiments/plan_text.h"
#include "experiments/process.h"
#include "experiments/results.h"
#include "experiments/run_history.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

Command QuickstartCommand(const TemporaryFolder& folder, const std::vector<std::string>& options) {
  Command command{.program = Programs() / "consilium-experiment", .arguments = {"quickstart"}};
  command.arguments.insert(command.arguments.end(), {"--out", (folder / "out").string()});
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.output = folder / "stdout";
  command.errors = folder / "stderr";
  return command;
}

// The quickstart's plan with images, epochs and a gate that take a test's time.
std::string SmallPlan(const TemporaryFolder& folder) {
  std::string plan = kQuickstartPlan;
  const auto set = [&](const std::string& from, const std::string& to) {
    REQUIRE(plan.find(from) != std::string::npos);
    plan.replace(plan.find(from), from.size(), to);
  };
  set("image_size = 64", "image_size = 32");
  set("local_epochs = 3", "local_epochs = 1");
  set("minimum_patients = 20", "minimum_patients = 5");
  set("minimum_auroc = 0.7", "minimum_auroc = 0.0");
  RequireOk(WriteFileDurably(folder / "small.toml", plan));
  return folder / "small.toml";
}

TEST_CASE(
    "quickstart draws, trains, compares, publishes and reports; a changed model does not verify") {
  const TemporaryFolder folder;
  const auto state = Run(
      QuickstartCommand(folder, {"--patients", "48", "--rounds", "2", "--plan", SmallPlan(folder)}),
      minutes(5));
  RequireOk(state.status());
  INFO(Tail(folder / "stderr", 30) << Tail(folder / "stdout", 30));
  REQUIRE(state->code == 0);

  const Results results =
      ResultsFromJson(ReadTextFile(folder / "out" / "results.json").value()).value();
  CHECK(results.published);
  CHECK(results.verified);
  REQUIRE(results.models.size() == 5);
  CHECK(results.baseline_epochs == 2);
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
  CHECK_THAT(Tail(folder / "verify", 20), ContainsText("one of them was changed"));
  CHECK(ProcessesNaming(folder.path()) == 0);
}

TEST_CASE("Ctrl-C in a round ends quickstart and all its programs") {
  const TemporaryFolder folder;
  Process process = *Process::Start(QuickstartCommand(
      folder, {"--patients", "24", "--rounds", "500", "--plan", SmallPlan(folder)}));
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
  Process process = *Process::Start(QuickstartCommand(
      folder, {"--patients", "24", "--rounds", "500", "--plan", SmallPlan(folder)}));
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
  refused({"--data", folder / "a", "--data", folder / "none"}, "sealed");
  refused({"--data", folder / "a", "--data", folder / "none", "--data", folder / "a"},
          "labels.csv");
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
