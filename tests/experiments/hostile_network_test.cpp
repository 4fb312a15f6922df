// Real processes with a network between them that flips, cuts, repeats, reorders and swaps.

#include <cmath>
#include <cstdio>

#include "common/model/safetensors.h"
#include "experiments/federation.h"
#include "experiments/results.h"
#include "experiments/run_history.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/experiments/hostile_proxy.h"
#include "tests/experiments/real_processes.h"

namespace consilium::experiments {
namespace {

constexpr std::uint64_t kSeed = 20261123;
constexpr std::uint64_t kPieceInSuffers = 20;
constexpr int kMischief = 16;
constexpr int kSites = 4;
constexpr char kPlan[] =
    "[plan]\nname = \"hostile\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n"
    "[cohort]\nround_deadline_s = 30\nabsence_grace_s = 10\n[stop]\nrounds = 6\n";

// What consilium-bench-agent's models are: the first one's values times 0.999 a round.
float FirstValue(std::size_t i) { return static_cast<float>(i % 1009) / 1009 - 0.5f; }

TEST_CASE(
    "through a network that flips, cuts, replays, reorders and swaps nothing wrong is accepted") {
  const TemporaryFolder folder;
  auto created = Federation::Create(Programs(), folder.path());
  RequireOk(created.status());
  Federation federation = *std::move(created);
  RequireOk(federation.StartCoordinator());
  RequireOk(federation.EnrolResearcher("researcher"));
  const std::string address = federation.address();
  HostileProxy proxy(std::stoi(address.substr(address.rfind(':') + 1)), kSeed, kPieceInSuffers,
                     kMischief);
  proxy.Behave();  // while the sites enrol: a token is good once
  federation.CallThrough(proxy.port());
  for (int i = 0; i < kSites; ++i) {
    const std::string name = StrCat("site-", i);
    RequireOk(federation.EnrolSite(name));
    RequireOk(federation.StartSite(name, {"--parameters", "60000"}, "consilium-bench-agent"));
    RequireOk(federation.AwaitSite(name));
  }
  const fs::path plan = folder / "plan.toml";
  RequireOk(WriteFileDurably(plan, std::string_view(kPlan)));
  const auto submitted = federation.SubmitRun(plan);
  RequireOk(submitted.status());
  const std::string& run = *submitted;
  proxy.Misbehave();
  Command watch = federation.ResearcherCommand({"run", "watch", run});
  watch.output = watch.errors = folder / "watch";
  Process watching = *Process::Start(watch);
  const auto ended = watching.Wait(std::chrono::minutes(4));
  RequireOk(ended.status());
  INFO("seed " << kSeed << "\n" << Tail(folder / "watch", 40));
  CHECK(ended->ok());

  int mischief = 0;
  for (const auto& [kind, count] : proxy.done()) {
    std::printf("%-9s %d\n", Name(kind), count);
    mischief += count;
  }
  CHECK(mischief == kMischief);

  const auto shown = federation.ShowRun(run);
  RequireOk(shown.status());
  const auto events = EventsOfRun(*shown).value();
  const RunHistory history = ReadHistory(events);
  CHECK(history.published);
  const fs::path model = folder / "model.safetensors";
  RequireOk(federation.Researcher({"model", "fetch", history.final_model, "--out", model}, "fetch")
                .status());
  RequireOk(federation.Researcher({"model", "verify", model}, "verify").status());
  const auto state = LoadSafetensors(model);
  RequireOk(state.status());
  // Which rounds led to it does not matter: each takes a thousandth away.
  const double first = FirstValue(1),
               steps = std::log(state->values()[1] / first) / std::log(0.999);
  CHECK(steps == Approx(std::round(steps)).margin(0.01));
  double worst = 0;
  for (std::size_t i = 0; i < state->values().size(); ++i) {
    const double expected = FirstValue(i) * std::pow(0.999, std::round(steps));
    worst = std::max(worst, std::abs(state->values()[i] - expected));
  }
  CHECK(worst < 1e-4);
}

}  // namespace
}  // namespace consilium::experiments
