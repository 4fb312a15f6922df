#pragma once

// One hospital's machine: a disk, a clock that may be off, and the agent's process on it, which is
// killed and started again. Its worker runs on a fiber, so that a training or an upload lasts
// while others go on.

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/base/smooth_clock.h"
#include "common/identity/identity.h"
#include "site_agent/agent.h"
#include "site_agent/coordinator_channel.h"
#include "tests/simulation/events.h"
#include "tests/simulation/fake_hospital.h"
#include "tests/simulation/fiber.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {

struct Line;

class SiteMachine final : public site_agent::CoordinatorChannel {
 public:
  SiteMachine(World& world, SiteId name);
  ~SiteMachine() override;

  const SiteId& name() const { return name_; }
  const std::string& machine() const { return name_.value; }
  bool alive() const { return agent_ != nullptr; }
  bool revoked = false;
  const FakeData& data() const { return data_; }
  MachineClock& clock() { return clock_; }
  site_agent::SiteState* state() { return state_.get(); }  // null: not alive

  void Install();  // an enrolled site that never ran
  void Boot();     // tries; a machine without its disk tries again
  void Crash(CrashKind kind, double restart_after_s);
  void CrashAtOperation(CrashKind kind, std::uint64_t operation);  // of its disk, from now
  void SetPaused(bool paused);
  // As `consilium-site refuse RUN`. False: the site does not know the run, or the word was lost.
  bool RefuseRun(const RunId& run);

  // ---- the network's
  void Arrive(const std::shared_ptr<Line>& line, const wire::ToSite& message);
  void LineBroke(const std::shared_ptr<Line>& line, const absl::Status& why);
  const std::shared_ptr<Line>& line() const { return line_; }
  // On the worker's fiber: lets the time pass. False: the process was killed or told to stop.
  bool Sleep(Duration wait, const std::stop_token& stop);
  bool Dead() const;  // the process is gone, or its disk is

  // ---- CoordinatorChannel
  std::string Address() const override { return "simulated:1"; }
  absl::StatusOr<std::unique_ptr<site_agent::Session>> Attend(std::stop_token stop) override;
  absl::Status DownloadModel(const ModelId& model, std::span<const wire::ByteRange> ranges,
                             std::uint64_t offset, const site_agent::ModelSink& sink,
                             std::stop_token stop) override;
  absl::StatusOr<site_agent::UploadOutcome> Upload(const site_agent::OutboxFile& update,
                                                   std::uint32_t first_segment,
                                                   std::stop_token stop) override;

 private:
  absl::Status TryBoot();
  void Connect();
  void ConnectLater();
  void EndLine();
  void Pump();
  void Work();
  void WakeWorker();
  void WatchLater();
  bool Notice();  // a crash inside the last call: true, and the process is gone
  void Bury(CrashKind kind, double restart_after_s);

  World& world_;
  const SiteId name_;
  MachineClock clock_;
  MachineClock steady_;
  std::optional<SmoothClock> smooth_;  // the process's
  SeededRandom random_;
  const identity::Identity identity_;
  FakeData data_;
  std::uint64_t life_ = 0;  // raised by each start and each end of the process

  std::unique_ptr<site_agent::SiteState> state_;
  std::unique_ptr<FakeLearner> learner_;
  std::unique_ptr<RandomSource> keys_random_;
  std::unique_ptr<site_agent::Agent> agent_;
  std::unique_ptr<Fiber> worker_;
  std::stop_source stop_;
  std::uint64_t sleep_ = 0;  // the sleep under way
  std::shared_ptr<Line> line_;
  std::optional<site_agent::Backoff> backoff_;
  std::optional<Time> welcomed_;  // on the present connection
  std::optional<Time> pump_at_;
  bool paused_ = false;
  CrashKind planned_ = CrashKind::kKill;
};

}  // namespace consilium::simulation
