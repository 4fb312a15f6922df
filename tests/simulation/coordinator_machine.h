#pragma once

// The coordinator's machine: a disk, a clock, and its process, which is killed and started again.

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "common/base/smooth_clock.h"
#include "coordinator/authority.h"
#include "coordinator/conductor.h"
#include "tests/simulation/events.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {

inline constexpr char kCoordinatorMachine[] = "coordinator";

class CoordinatorMachine {
 public:
  explicit CoordinatorMachine(World& world);
  ~CoordinatorMachine();

  void Install();  // founded, with its members and their roster
  void Boot();     // tries, and tries again
  void Crash(CrashKind kind, double restart_after_s);
  void CrashAtOperation(CrashKind kind, std::uint64_t operation);  // of its disk, from now

  bool alive() const { return conductor_ != nullptr; }
  std::uint64_t life() const { return life_; }
  MachineClock& clock() { return clock_; }
  coordinator::Conductor& conductor() { return *conductor_; }
  coordinator::SharedLedger& ledger() { return *ledger_; }
  coordinator::ModelStore& models() { return *models_; }
  const coordinator::Authority& authority() const { return *authority_; }

  // Calls into the process: after each, what it set going is looked at. False: the process died in
  // the call, and nothing of its answer gets out.
  bool Alive();
  void Wake();  // something came in

  // Uploads under way die with the process.
  std::map<std::uint64_t, coordinator::SiteUpload> uploads;
  // Asked after every step: true, and it is killed there.
  std::function<bool()> kill_when;

 private:
  absl::Status TryBoot();
  void Pump();
  void MakeLater();
  void Bury(CrashKind kind, double restart_after_s);

  World& world_;
  MachineClock clock_;
  MachineClock steady_;
  std::optional<SmoothClock> smooth_;  // the process's
  SeededRandom random_;
  std::uint64_t life_ = 0;
  CrashKind planned_ = CrashKind::kKill;
  std::unique_ptr<coordinator::Authority> authority_;
  std::unique_ptr<coordinator::SharedLedger> ledger_;
  std::unique_ptr<coordinator::ModelStore> models_;
  std::unique_ptr<coordinator::Conductor> conductor_;
  std::optional<Time> pump_at_;
  bool make_planned_ = false;
};

}  // namespace consilium::simulation
