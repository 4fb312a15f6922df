// kill -9 of every process of a quickstart at random moments, and the same command again.
// CONSILIUM_KILLS: how often (default 2); CONSILIUM_SEED: of the moments (default: another each
// time). tests/chaos/quickstart is the long form.

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "common/base/random.h"
#include "common/crypto/sha256.h"
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

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t Seed() {
  std::uint8_t bytes[4];
  SystemRandom().Fill(bytes);
  return FromEnvironment("CONSILIUM_SEED", LoadLe32(bytes));
}

// The quickstart's plan with images and epochs that take a test's time.
std::string SmallPlan(const TemporaryFolder& folder) {
  std::string plan = kQuickstartPlan;
  const auto set = [&](const std::string& from, const std::string& to) {
    REQUIRE(plan.find(from) != std::string::npos);
    plan.replace(plan.find(from), from.size(), to);
  };
  set("image_size = 64", "image_size = 32");
  set("local_epochs = 3", "local_epochs = 2");
  set("minimum_patients = 20", "minimum_patients = 5");
  set("minimum_auroc = 0.7", "minimum_auroc = 0.0");
  RequireOk(WriteFileDurably(folder / "small.toml", plan));
  return folder / "small.toml";
}

class Quickstart {
 public:
  Quickstart(const TemporaryFolder& folder, const std::string& name, const std::string& plan)
      : out_(folder / name), said_(folder / (name + ".said")) {
    arguments_ = {"quickstart", "--out",  out_.string(), "--patients",     "60",      "--rounds",
                  "3",          "--plan", plan,          "--no-baselines", "--cores", "3"};
  }

  Command ToCommand(const std::vector<std::string>& more = {}) const {
    Command command{.program = Programs() / "consilium-experiment", .arguments = arguments_};
    command.arguments.insert(command.arguments.end(), more.begin(), more.end());
    command.output = command.errors = said_;
    return command;
  }
  int ToItsEnd(const std::vector<std::string>& more = {}) const {
    const auto state = Run(ToCommand(more), minutes(8));
    RequireOk(state.status());
    return state->code;
  }
  // In any order, as `kill -9` of a list does.
  void KillAll(SeededRandom& random) const {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream file(entry.path() / "cmdline");
      const std::string line((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
      if (line.find(out_.string()) != std::string::npos) {
        found.push_back(std::stoi(entry.path().filename()));
      }
    }
    std::shuffle(found.begin(), found.end(), random);
    for (const pid_t pid : found) kill(pid, SIGKILL);
    CHECK(Eventually([&] { return ProcessesNaming(out_) == 0; }, seconds(5)));
  }
  std::string Said() const { return Tail(said_, 100000); }
  const fs::path& out() const { return out_; }
  Results Found() const {
    return ResultsFromJson(ReadTextFile(out_ / "results.json").value()).value();
  }
  Digest Model() const {
    const auto digest = crypto::Sha256OfFile(out_ / "quickstart.safetensors");
    RequireOk(digest.status());
    return *digest;
  }

 private:
  const fs::path out_, said_;
  std::vector<std::string> arguments_;
};

TEST_CASE("a quickstart whose processes are all killed goes on, and ends with the same model") {
  const TemporaryFolder folder;
  const std::uint64_t seed = Seed();
  SeededRandom random(seed);
  const std::string plan = SmallPlan(folder);

  const Quickstart undisturbed(folder, "undisturbed", plan);
  const auto began = std::chrono::steady_clock::now();
  const int code = undisturbed.ToItsEnd();
  INFO(undisturbed.Said());
  REQUIRE(code == 0);
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();

  const Quickstart killed(folder, "killed", plan);
  const auto kills = static_cast<int>(FromEnvironment("CONSILIUM_KILLS", 2));
  int resumed = 0;
  for (int i = 0; i < kills; ++i) {
    Process process = *Process::Start(killed.ToCommand());
    // The later ones have less left to do.
    const double moment = random.Uniform(0.1, kills > 4 ? 0.5 : 0.9) * took;
    const auto ended = process.Wait(FromSeconds(moment));
    if (ended.ok()) break;
    killed.KillAll(random);
    ++resumed;
    std::printf("killed after %.1f s of %.1f\n", moment, took);
  }
  INFO("seed " << seed << "\n" << killed.Said());
  REQUIRE(killed.ToItsEnd() == 0);
  if (resumed > 0) CHECK_THAT(killed.Said(), ContainsText("Resuming"));
  const Results results = killed.Found();
  CHECK(results.published);
  CHECK(results.verified);
  CHECK(results.models.size() == 1);
  CHECK(killed.Model() == undisturbed.Model());
  const RunHistory history = ReadHistory(results.events);
  REQUIRE(history.rounds.size() == 3);
  for (const RoundHistory& round : history.rounds) {
    CHECK(round.attempts == 1);
    for (const auto& [site, part] : round.sites) CHECK(part.fate == SiteRound::Fate::kCounted);
  }

  // Finished, it says so at once, and keeps what it has from other requests.
  REQUIRE(killed.ToItsEnd() == 0);
  CHECK_THAT(killed.Said(), ContainsText("finished: these are its results"));
  CHECK(killed.ToItsEnd({"--seed", "99"}) != 0);
  CHECK_THAT(killed.Said(), ContainsText("`seed = 1` there, `seed = 99` now"));
  CHECK(killed.Model() == undisturbed.Model());
}

}  // namespace
}  // namespace consilium::experiments
