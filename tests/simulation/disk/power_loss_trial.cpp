#include "tests/simulation/disk/power_loss_trial.h"

#include <optional>

#include "common/base/file.h"
#include "common/base/status.h"
#include "tests/common/storage/storage_steps.h"
#include "tests/simulation/disk/simulated_vfs.h"

namespace consilium::simulation {
namespace {

const std::string kMachine = "north";
const fs::path kState = "/sim/north/state";

class Trial {
 public:
  explicit Trial(const PowerLossTrial& trial)
      : seed_(trial.seed), disk_(trial.seed), use_(disk_), random_(trial.seed, "power loss trial") {
    RegisterSimulatedVfs();
    disk_.IgnoreSyncs(kMachine, trial.ignored);
    faulty_ = trial.faults;
  }

  PowerLossReport Run(std::uint64_t crashes) {
    while (report_.crashes < crashes && report_.failure.empty()) {
      PlanCrash();
      if (!Recover()) continue;
      disk_.SetFaults(kMachine, faulty_);
      while (Step()) {
      }
      disk_.SetFaults(kMachine, {});
      storage_.reset();
    }
    return report_;
  }

 private:
  void PlanCrash() {
    const std::uint64_t longest = random_.Chance(0.25) ? 12 : 200;  // often in the recovery
    disk_.CrashAtOperation(kMachine, 1 + random_.Below(longest),
                           random_.Chance(1. / 3) ? CrashKind::kKill : CrashKind::kPowerLoss);
  }

  // Whether the planned crash has come; then the machine starts again.
  bool Crashed() {
    if (!disk_.crashed(kMachine)) return false;
    ++report_.crashes;
    disk_.Restart(kMachine);
    return true;
  }

  void Fail(std::string_view what) {
    report_.failure = StrCat("after ", report_.crashes, " crashes, ", report_.transactions,
                             " transactions and ", report_.files, " files: ", what);
  }

  // Opens what the last crash left, and compares it. False: it crashed again, or something is lost.
  bool Recover() {
    absl::StatusOr<storage::OpenStorage> opened = storage::OpenStorage::Open(kState);
    if (!opened.ok()) {
      if (Crashed()) {
        ++report_.in_recovery;
      } else {
        Fail(StrCat("opening: ", ToStd(opened.status().message())));
      }
      return false;
    }
    storage_.emplace(std::move(opened).value());
    Compare();
    return report_.failure.empty();
  }

  void Compare() {
    const absl::StatusOr<storage::StoredState> found = storage_->Read();
    if (!found.ok()) return Fail(StrCat("reading back: ", ToStd(found.status().message())));
    if (*found == acknowledged_) return;
    if (*found != attempted_) return Fail(Difference(*found, acknowledged_, attempted_));
    ++report_.kept_unacknowledged;
    acknowledged_ = attempted_;
  }

  // One durable step. False: the machine crashed in it, or it failed.
  bool Step() {
    const storage::StorageStep step(seed_, next_step_++);
    attempted_ = acknowledged_;
    step.ApplyTo(&attempted_);
    const absl::Status status = storage_->Perform(step);
    // A machine that is down acknowledges nothing, even when the program saw no error.
    if (Crashed()) return false;
    if (!status.ok()) {
      ++report_.errors;
      return false;
    }
    acknowledged_ = attempted_;
    ++(step.is_transaction() ? report_.transactions : report_.files);
    return true;
  }

  const std::uint64_t seed_;
  SimulatedDisk disk_;
  UseDisk use_;
  SeededRandom random_;
  DiskFaults faulty_;
  std::optional<storage::OpenStorage> storage_;
  std::uint64_t next_step_ = 0;
  storage::StoredState acknowledged_;
  storage::StoredState attempted_;
  PowerLossReport report_;
};

}  // namespace

PowerLossReport Run(const PowerLossTrial& trial) { return Trial(trial).Run(trial.crashes); }

}  // namespace consilium::simulation
