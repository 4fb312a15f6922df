// What the weather does to machines and links.

#include <algorithm>
#include <cmath>

#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/network.h"
#include "tests/simulation/site_machine.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {

SiteMachine& World::AnySite() { return *sites_[random.Below(sites_.size())]; }

void World::Every(double mean_seconds, const std::function<void()>& strike) {
  if (mean_seconds <= 0) return;
  const double wait = -mean_seconds * std::log(1 - random.Uniform());
  if (Now() + wait >= weather.clear_after_s) return;
  events.After(FromSeconds(wait), [this, mean_seconds, strike] {
    strike();
    Every(mean_seconds, strike);
  });
}

void World::PlanWeather() {
  const auto storm = [&](double every, void (World::*strike)()) {
    Every(every, [this, strike] { (this->*strike)(); });
  };
  storm(weather.site_crash_every, &World::CrashSite);
  storm(weather.coordinator_crash_every, &World::CrashCoordinator);
  storm(weather.all_crash_every, &World::CrashAll);
  storm(weather.disk_full_every, &World::FillDisk);
  storm(weather.disk_errors_every, &World::BreakDisk);
  storm(weather.pause_every, &World::PauseSite);
  storm(weather.clock_jump_every, &World::JumpClock);
  Every(weather.black_hole_every, [this] {
    faults.Count(Fault::kBlackHole);
    network->Silence(AnySite(), FromSeconds(random.Uniform(1, 90)));
  });
  Every(weather.partition_every, [this] {
    faults.Count(Fault::kPartition);
    const Duration how_long = FromSeconds(random.Uniform(1, 90));
    for (const auto& machine : sites_) {
      if (random.Chance(0.5)) network->Silence(*machine, how_long);
    }
  });
  const auto once = [&](double chance, Fault fault, const std::function<void()>& strike) {
    if (!Strikes(chance, fault)) return;
    events.After(FromSeconds(random.Uniform(0, weather.clear_after_s)), strike);
  };
  once(weather.stop_request, Fault::kStopRequested, [this] { StopRuns(); });
  once(weather.revocation, Fault::kRevoked, [this] { Revoke(AnySite().name()); });
  if (weather.clear_after_s > 0) {
    events.At(kBeginning + FromSeconds(weather.clear_after_s), [this] { ClearWeather(); });
  }
}

void World::CrashSite() {
  SiteMachine& machine = AnySite();
  if (!machine.alive()) return;
  const bool power = random.Chance(weather.power_loss);
  const CrashKind kind = power ? CrashKind::kPowerLoss : CrashKind::kKill;
  if (random.Chance(weather.at_operation)) {
    faults.Count(Fault::kSiteCrashedAtOperation);
    machine.CrashAtOperation(kind, 1 + random.Below(60));
    return;
  }
  faults.Count(power ? Fault::kSiteLostPower : Fault::kSiteKilled);
  machine.Crash(kind, random.Uniform(0.2, 20));
}

void World::CrashCoordinator() {
  if (!coordinator->alive()) return;
  const bool power = random.Chance(weather.power_loss);
  const CrashKind kind = power ? CrashKind::kPowerLoss : CrashKind::kKill;
  if (random.Chance(weather.at_operation)) {
    faults.Count(Fault::kCoordinatorCrashedAtOperation);
    coordinator->CrashAtOperation(kind, 1 + random.Below(80));
    return;
  }
  faults.Count(power ? Fault::kCoordinatorLostPower : Fault::kCoordinatorKilled);
  coordinator->Crash(kind, random.Uniform(0.2, 20));
}

void World::CrashAll() {
  faults.Count(Fault::kAllLostPower);
  coordinator->Crash(CrashKind::kPowerLoss, random.Uniform(0.2, 20));
  for (const auto& machine : sites_) {
    machine->Crash(CrashKind::kPowerLoss, random.Uniform(0.2, 20));
  }
}

void World::FillDisk() {
  faults.Count(Fault::kDiskFull);
  const std::string machine =
      random.Chance(0.5) ? std::string(kCoordinatorMachine) : AnySite().machine();
  disk.SetQuota(machine, disk.UsedBytes(machine) + random.Below(20'000));
  trace.Note(Now(), machine, "disk is full");
  events.After(FromSeconds(random.Uniform(1, 40)), [this, machine] {
    disk.SetQuota(machine, std::nullopt);
    trace.Note(Now(), machine, "disk has room again");
  });
}

void World::BreakDisk() {
  faults.Count(Fault::kDiskErrors);
  const std::string machine =
      random.Chance(0.5) ? std::string(kCoordinatorMachine) : AnySite().machine();
  DiskFaults errors;
  const double rate = random.Uniform(0, 0.1);
  (random.Chance(0.3)   ? errors.read_error
   : random.Chance(0.5) ? errors.write_error
                        : errors.sync_error) = rate;
  errors.short_read = errors.short_write = random.Uniform(0, 0.2);
  disk.SetFaults(machine, errors);
  invariants->OnDiskErrors(machine);
  trace.Note(Now(), machine, "disk gives errors");
  events.After(FromSeconds(random.Uniform(1, 20)), [this, machine] {
    disk.SetFaults(machine, {});
    trace.Note(Now(), machine, "disk is well again");
  });
}

void World::PauseSite() {
  faults.Count(Fault::kPause);
  SiteMachine& machine = AnySite();
  machine.SetPaused(true);
  events.After(FromSeconds(random.Uniform(1, 60)), [&machine] { machine.SetPaused(false); });
}

// Mostly while the run is about to describe, or to prepare its tables.
void World::MayRefuse(SiteMachine& site, const RunId& run) {
  constexpr double kChance = 0.03;
  if (!Stormy() || !refusals.Chance(kChance)) return;
  const double wait = refusals.Chance(0.7) ? refusals.Uniform(0, 10) : refusals.Uniform(0, 200);
  events.After(FromSeconds(wait), [this, &site, run] {
    if (site.RefuseRun(run)) faults.Count(Fault::kRunRefused);
  });
}

void World::JumpClock() {
  faults.Count(Fault::kClockJumped);
  const Duration by =
      FromSeconds(random.Chance(0.3) ? random.Uniform(-4000, 4000) : random.Uniform(-30, 30));
  if (random.Chance(0.5)) {
    coordinator->clock().Jump(by);
    trace.Note(Now(), kCoordinatorMachine, "clock jumps by ", Seconds(by), " s");
    coordinator->Wake();
  } else {
    SiteMachine& machine = AnySite();
    machine.clock().Jump(by);
    trace.Note(Now(), machine.machine(), "clock jumps by ", Seconds(by), " s");
  }
}

void World::ClearWeather() {
  trace.Note(Now(), "weather", "clears");
  const auto mend = [&](std::string_view machine) {
    disk.CancelCrash(machine);
    disk.SetQuota(machine, std::nullopt);
    disk.SetFaults(machine, {});
  };
  mend(kCoordinatorMachine);
  coordinator->Boot();
  for (const auto& machine : sites_) {
    mend(machine->machine());
    machine->SetPaused(false);
    if (!machine->revoked) machine->Boot();
  }
}

}  // namespace consilium::simulation
