#pragma once

// A site with a learner and images that a test controls.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/model/model_state.h"
#include "site_agent/agent.h"
#include "site_agent/agent_loop.h"
#include "tests/common/temporary_folder.h"
#include "tests/site_agent/memory_coordinator.h"
#include "tests/site_agent/test_federation.h"

namespace consilium::site_agent {

inline constexpr char kPlan[] = R"(
[plan]
name = "small"
[target]
name = "opacity"
[data]
modalities = ["DX"]
minimum_patients = 20
)";
inline constexpr char kSealedPlan[] = R"(
[plan]
name = "small"
[target]
name = "opacity"
[data]
modalities = ["DX"]
minimum_patients = 20
[aggregation]
updates = "sealed"
)";

// Two tensors that need two envelope segments.
inline ModelState SmallModel(float value) {
  const Layout layout = {{"features.weight", {300, 300}}, {"head.bias", {7}}};
  return *ModelState::Create(layout, std::vector<float>(TotalElements(layout), value));
}

class FixedDataset final : public datasets::Dataset {
 public:
  std::size_t size() const override { return 40; }
  std::uint32_t image_size() const override { return 1; }
  Label Get(std::size_t index, std::span<float>) const override { return GetLabel(index); }
  Label GetLabel(std::size_t index) const override { return {index % 2 == 0 ? 1 : 0, index}; }
};

class FixedData final : public LocalData {
 public:
  absl::StatusOr<DataOffer> Count(const plan::Plan&) override { return offer; }
  absl::StatusOr<metrics::Description> Describe(const plan::Plan&, Progress&) override {
    ++descriptions;
    return description;
  }
  absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan&, datasets::Split,
                                                                Progress&) override {
    return std::make_shared<FixedDataset>();
  }
  absl::StatusOr<metrics::PreparationSums> Prepare(const plan::Plan&, Progress&) override {
    ++preparations;
    return preparation;
  }
  DataOffer offer{{40, 40, 20}, 3};
  metrics::Description description;
  metrics::PreparationSums preparation;
  int preparations = 0;  // that were asked for
  int descriptions = 0;  // that were asked for
};

// Adds `step` to every weight.
class AddingLearner final : public Learner {
 public:
  absl::StatusOr<ModelState> InitialModel(const plan::Plan&) override { return SmallModel(0.25f); }

  absl::StatusOr<learning::TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                              const learning::TrainTask& task,
                                              Progress& progress) override {
    ++trainings;
    seed = task.seed;
    progress.Report("epoch 1 of 1", 1, 2, "loss 0.5000");
    while (hold && !progress.Cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (progress.Cancelled()) {
      ++cancellations;
      return absl::CancelledError("cancelled");
    }
    if (!failure.ok()) return failure;
    std::vector<float> values(base.values().begin(), base.values().end());
    for (float& value : values) value = constant ? *constant : value + step;
    learning::TrainResult result{*ModelState::Create(base.layout(), std::move(values)), 0.7, 0.5,
                                 data.size(), data.size()};
    if (task.plan.training.keep_optimizer) {
      steps_before.push_back(task.moments ? task.moments->steps : 0);
      result.moments = {steps_before.back() + 1, {1, 2}, {3, 4}};
    }
    return result;
  }

  // A model of negative weights takes each target for the other.
  absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan&,
                                             const datasets::Dataset& data, Progress&) override {
    ++evaluations;
    metrics::BinarySums sums;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const bool target = data.GetLabel(i).target == 1;
      sums.Add(target == (model.values()[0] >= 0) ? 0.8 : 0.3, target);
    }
    sums.patients = data.size();
    return sums;
  }

  std::atomic<bool> hold = false;  // training does not end by itself
  std::atomic<int> trainings = 0, cancellations = 0, evaluations = 0;
  std::atomic<std::uint64_t> seed = 0;
  float step = 0.5f;
  std::optional<float> constant;  // instead: every weight becomes this
  absl::Status failure;
  std::vector<std::uint64_t> steps_before;  // of each training whose optimizer is kept
};

// The process is gone.
struct Killed {};

// Moves on a little at each look, and at one of them kills whoever looks. An agent looks at the
// clock before all that it writes.
class KillingClock final : public Clock {
 public:
  Time Now() const override {
    if (looks_left > 0 && --looks_left == 0) throw Killed();
    return now += std::chrono::milliseconds(1);
  }
  mutable int looks_left = 0;  // 0: it kills nobody
  mutable Time now{std::chrono::hours(24 * 365 * 55)};
};

// An agent on a thread of its own, over a state folder that outlives it. Its policy consents to
// sealed updates until a test writes another.
class TestSite {
 public:
  explicit TestSite(std::string name = "north")
      : own_federation_(std::make_unique<TestFederation>()),
        federation(*own_federation_),
        site(std::move(name)),
        coordinator(site, federation.sealing),
        identity(federation.IdentityOf(site)) {
    Enrol();
  }
  TestSite(TestFederation& of, std::string name)
      : federation(of),
        site(std::move(name)),
        coordinator(site, federation.sealing),
        identity(federation.IdentityOf(site)) {
    Enrol();
  }
  ~TestSite() { Stop().IgnoreError(); }

  void Start(bool once = false) {
    state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
    AgentOptions options;
    options.once = once;
    options.first_wait = options.longest_wait = std::chrono::milliseconds(5);
    options.watch_interval = std::chrono::milliseconds(5);
    agent = std::make_unique<Agent>(
        identity, *identity::PinnedRoster::Load(folder.path(), federation.root.public_key),
        coordinator, *state, learner, data, clock, random, options);
    stop = std::stop_source();
    thread = std::thread([this, options] {
      result = RunAgent(*agent, coordinator, clock, options, stop.get_token());
    });
  }
  // Without threads instead: the test's own thread carries out everything there is to do whenever
  // it waits for something from this site. A process that `killing` kills is followed by another,
  // which the coordinator asks again (`ask_again`).
  void StartStepped() {
    Connect();
    coordinator.drive = [this] { Drive(); };
  }
  void Drive() {
    while (true) {
      try {
        if (agent == nullptr) {
          Connect();
          if (ask_again) ask_again();
        }
        if (!Step()) return;
      } catch (const Killed&) {
        coordinator.Disconnect();
        session.reset();
        agent.reset();
        state.reset();
        if (killed) killed();
      }
    }
  }

  // A new process over the same folder; returns once it is connected.
  void Restart() {
    const int before = coordinator.connections;
    Stop().IgnoreError();
    Start();
    coordinator.AwaitConnections(before + 1);
  }
  absl::Status Join() {
    if (thread.joinable()) thread.join();
    agent.reset();
    state.reset();
    return result;
  }
  absl::Status Stop() {
    stop.request_stop();
    return Join();
  }
  // Invites and waits for the acceptance.
  wire::InviteAnswer Accept(const RunId& run, const std::string& plan = kSealedPlan) {
    coordinator.AwaitConnections(1);
    coordinator.Send(federation.Invite(run, plan));
    return coordinator.Await<wire::InviteAnswer>();
  }
  // Until training has begun.
  wire::TaskProgress AwaitTraining() {
    while (true) {
      const auto progress = coordinator.Await<wire::TaskProgress>();
      if (progress.step == "epoch 1 of 1") return progress;
    }
  }
  TaskState AwaitState(const AttemptKey& key, TaskState wanted) {
    for (int i = 0; i < 5000; ++i) {
      const auto task = state->FindTask(key);
      if (task.ok() && *task && (*task)->state == wanted) return wanted;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto task = state->FindTask(key);
    return task.ok() && *task ? (*task)->state : TaskState::kFailed;
  }

  void WritePolicy(std::string_view text) {
    if (!WriteFileDurably(folder / "policy.toml", text).ok()) throw std::runtime_error("policy");
  }

 private:
  void Connect() {
    state = *SiteState::Open(folder.path(), SiteState::Access::kOwn);
    agent = std::make_unique<Agent>(
        identity, *identity::PinnedRoster::Load(folder.path(), federation.root.public_key),
        coordinator, *state, learner, data, killing, random, AgentOptions{});
    session = *coordinator.Attend({});
    if (!agent->Begin(session).ok()) throw std::runtime_error("no connection");
  }
  // Whether there was something to do.
  bool Step() {
    if (coordinator.HasMessage()) {
      const absl::Status taken = agent->Take(*session->Next());
      if (!taken.ok()) throw std::runtime_error(taken.ToString());
      return true;
    }
    if (agent->WorkOnce({})) return true;
    const auto next = agent->NextWork();
    if (next) killing.now = std::max(killing.now, *next);
    return next.has_value();
  }
  void Enrol() {
    EnsureFolder(folder / "keys").IgnoreError();
    if (!identity::PinRoster(folder.path(), federation.current()).ok()) {
      throw std::runtime_error("roster");
    }
    WritePolicy("sealed_updates = true\n");
  }
  std::unique_ptr<TestFederation> own_federation_;

 public:
  TestFederation& federation;
  const SiteId site;
  TemporaryFolder folder;
  MemoryCoordinator coordinator;
  const identity::Identity identity;
  AddingLearner learner;
  FixedData data;
  SystemClock clock;
  KillingClock killing;  // of a stepped agent
  SystemRandom random;
  std::unique_ptr<SiteState> state;
  std::unique_ptr<Agent> agent;
  std::shared_ptr<Session> session;         // of a stepped agent
  std::function<void()> ask_again, killed;  // may be none
  std::stop_source stop;
  std::thread thread;
  absl::Status result;
};

}  // namespace consilium::site_agent
