#pragma once

// A whole federation in one process and on one thread: the real coordinator (all but gRPC) and the
// real agents (all but gRPC and LibTorch), each on a machine of its own with a simulated disk and
// clock, over a simulated network, in weather drawn from one seed. The same seed gives the same
// course, to the last message.
//
// After weather.clear_after_s nothing goes wrong any more: from then on every run must come to its
// end, or say what it waits for.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/plan/plan.h"
#include "coordinator/conductor.h"
#include "tests/simulation/disk/simulated_disk.h"
#include "tests/simulation/events.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/federation_keys.h"
#include "tests/simulation/randomness.h"
#include "tests/simulation/trace.h"

namespace consilium::simulation {

class CoordinatorMachine;
class Invariants;
class Network;
class SiteMachine;

// A process that could not begin is started again after this.
inline constexpr double kRestartAfter_s = 5;

// One simulation. What is not given is drawn from the seed.
struct Options {
  std::uint64_t seed = 1;
  std::size_t sites = 0;  // 0: drawn, mostly 3 to 6
  std::optional<Weather> weather;
  std::optional<std::vector<std::string>> plans;  // TOML, submitted one after another
  std::size_t parameters = 0;                     // of the model
  bool sites_start = true;                        // false: SiteMachine::Boot is the caller's
};

struct Outcome {
  std::uint64_t seed = 0, trace_hash = 0, events = 0;
  std::size_t sites = 0;
  std::uint64_t runs = 0, rounds = 0, attempts = 0;  // rounds: aggregated and evaluated
  std::uint64_t published = 0, waiting = 0;
  double simulated_seconds = 0;
  FaultCounts faults;
  std::vector<std::string> violations;
};

class World {
 public:
  World(Options options, Trace& trace);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // From the beginning to the end.
  Outcome Run();

  // ---- for scenarios: step by step

  void Begin();  // boots everything; nothing has happened yet
  // False when the next event lies after `until`, or a violation was found.
  bool DoNext(Time until);
  void Submit(const std::string& toml);
  void StopRuns();
  void Revoke(const SiteId& site);
  bool AllRunsEnded();
  SiteMachine& site(const SiteId& name);
  Outcome Finish();  // the checks of the end

  // ---- for the machines

  double Now() const { return Seconds(events.now() - kBeginning); }
  bool Stormy() const { return Now() < weather.clear_after_s; }
  // Draws, while the weather is bad, and counts.
  bool Strikes(double chance, Fault fault);
  Duration Delay();  // of one message
  // A site has accepted a run: its operator may think better of it soon.
  void MayRefuse(SiteMachine& site, const RunId& run);
  fs::path FolderOf(std::string_view machine) const { return fs::path("/sim") / machine; }
  std::vector<std::unique_ptr<SiteMachine>>& sites() { return sites_; }

  const Options options;
  Trace& trace;
  SeededRandom random;
  SeededRandom refusals;  // of its own, so that the rest of a seed's course does not hang on it
  UseRandomness randomness;
  EventQueue events{kBeginning};
  SimulatedDisk disk;
  UseDisk use_disk;
  Weather weather;
  FaultCounts faults;
  std::unique_ptr<Invariants> invariants;
  std::unique_ptr<Network> network;
  std::unique_ptr<CoordinatorMachine> coordinator;
  std::size_t parameters = 0;
  std::map<SiteId, double> weight_caps;

 private:
  void TrySubmit(std::size_t index);
  absl::StatusOr<RunId> RunSubmittedAs(const wire::PlanNonce& nonce);
  void DrawPlans();
  void DrawDescriptions();
  void DrawTables();
  std::string DrawPlan(SeededRandom& random, int index);
  void Every(double mean_seconds, const std::function<void()>& strike);
  void PlanWeather();
  void ClearWeather();
  void CrashSite();
  void CrashCoordinator();
  void CrashAll();
  void FillDisk();
  void BreakDisk();
  void PauseSite();
  void JumpClock();
  double LongestRun() const;
  bool OnlyWaits() const;
  SiteMachine& AnySite();

  std::vector<std::unique_ptr<SiteMachine>> sites_;
  std::vector<std::string> plans_;
  std::vector<coordinator::PlanSubmission> submissions_;
  std::uint64_t roster_version_ = 1;
  std::vector<SiteId> revoked_;
};

}  // namespace consilium::simulation
