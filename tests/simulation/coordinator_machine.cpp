#include "tests/simulation/coordinator_machine.h"

#include <utility>

#include "common/base/status.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/network.h"
#include "tests/simulation/site_machine.h"

namespace consilium::simulation {
namespace {

constexpr Duration kFederationWatch = std::chrono::seconds(3);

}  // namespace

CoordinatorMachine::CoordinatorMachine(World& world)
    : world_(world),
      clock_(world.events),
      steady_(world.events),
      random_(world.options.seed, "coordinator's machine") {}

CoordinatorMachine::~CoordinatorMachine() {
  uploads.clear();
  conductor_.reset();
}

void CoordinatorMachine::Install() {
  const FederationKeys& keys = FederationKeys::Get();
  const fs::path state = world_.FolderOf(kCoordinatorMachine);
  const auto install = [&]() -> absl::Status {
    RETURN_IF_ERROR(EnsureFolder(state));
    RETURN_IF_ERROR(keys.Install(state));
    ASSIGN_OR_RETURN(coordinator::Ledger ledger, coordinator::Ledger::Open(state / "ledger.db"));
    RETURN_IF_ERROR(ledger.SetFederation(kFederation, kBeginning));
    RETURN_IF_ERROR(ledger.AddMember(keys.MemberNamed(kResearcher, identity::Role::kResearcher)));
    for (std::size_t i = 0; i < world_.sites().size(); ++i) {
      RETURN_IF_ERROR(ledger.AddMember(
          keys.MemberNamed(FederationKeys::SiteNamed(i).value, identity::Role::kSite)));
    }
    return ledger.SetRoster(keys.RosterOf(world_.sites().size(), 1, world_.weight_caps),
                            kBeginning);
  };
  const absl::Status installed = install();
  if (!installed.ok()) std::fprintf(stderr, "%s\n", installed.ToString().c_str());
  CONSILIUM_CHECK(installed.ok());
}

absl::Status CoordinatorMachine::TryBoot() {
  const fs::path state = world_.FolderOf(kCoordinatorMachine);
  ASSIGN_OR_RETURN(coordinator::Authority authority, coordinator::Authority::Load(state));
  authority_ = std::make_unique<coordinator::Authority>(std::move(authority));
  ASSIGN_OR_RETURN(coordinator::Ledger ledger, coordinator::Ledger::Open(state / "ledger.db"));
  ledger_ = std::make_unique<coordinator::SharedLedger>(std::move(ledger));
  ASSIGN_OR_RETURN(coordinator::ModelStore models, coordinator::ModelStore::Open(state / "models"));
  models_ = std::make_unique<coordinator::ModelStore>(std::move(models));
  smooth_.emplace(clock_, steady_);
  ASSIGN_OR_RETURN(conductor_,
                   coordinator::Conductor::Open({.ledger = *ledger_,
                                                 .models = *models_,
                                                 .authority = *authority_,
                                                 .clock = *smooth_,
                                                 .spool = state / "spool",
                                                 .threads = 1,
                                                 .federation_watch = kFederationWatch}));
  return absl::OkStatus();
}

void CoordinatorMachine::Boot() {
  if (alive()) return;
  world_.disk.Restart(kCoordinatorMachine);
  ++life_;
  make_planned_ = false;
  pump_at_.reset();
  const absl::Status booted = TryBoot();
  if (!booted.ok() || world_.disk.crashed(kCoordinatorMachine)) {
    world_.trace.Note(world_.Now(), kCoordinatorMachine, "cannot begin: ", ToStd(booted.message()));
    world_.invariants->OnCannotBegin(kCoordinatorMachine, booted);
    Bury(CrashKind::kKill, kRestartAfter_s);
    return;
  }
  world_.trace.Note(world_.Now(), kCoordinatorMachine, "begins");
  world_.invariants->OnCoordinatorBegins(*this);
  Wake();
}

bool CoordinatorMachine::Alive() {
  if (!alive()) return false;
  if (!world_.disk.crashed(kCoordinatorMachine)) return true;
  Bury(planned_, random_.Uniform(0.2, 15));
  return false;
}

void CoordinatorMachine::Crash(CrashKind kind, double restart_after_s) {
  if (!alive()) {
    if (kind == CrashKind::kPowerLoss) world_.disk.Crash(kCoordinatorMachine, kind);
    return;
  }
  world_.disk.Crash(kCoordinatorMachine, kind);
  Bury(kind, restart_after_s);
}

void CoordinatorMachine::CrashAtOperation(CrashKind kind, std::uint64_t operation) {
  planned_ = kind;
  world_.disk.CrashAtOperation(kCoordinatorMachine, operation, kind);
}

void CoordinatorMachine::Bury(CrashKind kind, double restart_after_s) {
  ++life_;
  world_.trace.Note(world_.Now(), kCoordinatorMachine,
                    kind == CrashKind::kKill ? "is killed" : "loses power");
  world_.network->CoordinatorGone(kind);
  uploads.clear();
  conductor_.reset();
  models_.reset();
  ledger_.reset();
  authority_.reset();
  world_.invariants->OnCoordinatorGone();
  if (restart_after_s < 0) return;
  const std::uint64_t life = life_;
  world_.events.After(FromSeconds(restart_after_s), [this, life] {
    if (life_ == life) Boot();
  });
}

void CoordinatorMachine::Wake() {
  if (!alive()) return;
  const Time at = world_.events.now() + Duration(static_cast<int>(random_.Below(1000)));
  if (pump_at_ && *pump_at_ <= at) return;
  pump_at_ = at;
  const std::uint64_t life = life_;
  world_.events.At(at, [this, life, at] {
    if (life_ == life && pump_at_ == at) Pump();
  });
}

void CoordinatorMachine::Pump() {
  pump_at_.reset();
  constexpr int kMostSteps = 10'000;
  for (int steps = 0; conductor_->StepOnce(); ++steps) {
    CONSILIUM_CHECK(steps < kMostSteps);
    if (!Alive()) return;
    world_.invariants->OnStep(*this);
    world_.network->PumpQueues();
    if (kill_when && kill_when()) {
      Crash(CrashKind::kKill, random_.Uniform(0.2, 15));
      return;
    }
  }
  if (!Alive()) return;
  world_.network->PumpQueues();
  MakeLater();
  const auto next = conductor_->NextStep();
  if (!next) return;
  const Time at =
      std::max(world_.events.now() + (*next - smooth_->Now()), world_.events.now() + Duration(1));
  if (pump_at_ && *pump_at_ <= at) return;
  pump_at_ = at;
  const std::uint64_t life = life_;
  world_.events.At(at, [this, life, at] {
    if (life_ == life && pump_at_ == at) Pump();
  });
}

// Making a candidate takes a while, in which other things happen.
void CoordinatorMachine::MakeLater() {
  if (std::exchange(make_planned_, true)) return;
  const std::uint64_t life = life_;
  world_.events.After(FromSeconds(random_.Uniform(0, 0.05)), [this, life] {
    if (life_ != life) return;
    make_planned_ = false;
    const bool made = conductor_->MakeOnce();
    if (!Alive() || !made) return;
    MakeLater();
    Wake();
  });
}

}  // namespace consilium::simulation
