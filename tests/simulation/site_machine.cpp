#include "tests/simulation/site_machine.h"

#include <utility>

#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/sha256.h"
#include "site_agent/approvals.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/network.h"

namespace consilium::simulation {
namespace {

constexpr Duration kWatch = std::chrono::seconds(5);
constexpr char kPolicy[] = "sealed_updates = true\nminimum_cohort = 2\n";

// The agent's end of a line.
class LineSession final : public site_agent::Session {
 public:
  LineSession(Network& network, std::shared_ptr<Line> line)
      : network_(network), line_(std::move(line)) {}
  absl::StatusOr<wire::ToSite> Next() override {
    return absl::UnimplementedError("messages are handed to the agent");
  }
  absl::Status Send(const wire::FromSite& message) override {
    return network_.SendUp(line_, message);
  }
  void Close() override { network_.CloseBySite(line_); }

 private:
  Network& network_;
  const std::shared_ptr<Line> line_;  // shared: with the network's messages
};

bool NeedsAPerson(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
         absl::IsFailedPrecondition(status);
}

}  // namespace

SiteMachine::SiteMachine(World& world, SiteId name)
    : world_(world),
      name_(std::move(name)),
      clock_(world.events),
      steady_(world.events),
      random_(world.options.seed, StrCat("machine of ", name_.value)),
      identity_(FederationKeys::Get().IdentityOf(name_)),
      data_(name_, 20 + random_.Below(40), 60 + random_.Below(100)) {}

SiteMachine::~SiteMachine() {
  if (alive()) {
    world_.disk.Crash(machine(), CrashKind::kKill);
    Bury(CrashKind::kKill, -1);
  }
}

void SiteMachine::Install() {
  const fs::path root = world_.FolderOf(machine());
  CONSILIUM_CHECK(EnsureFolder(root / "keys").ok());
  CONSILIUM_CHECK(identity::PinRoster(root, FederationKeys::Get().RosterOf(world_.sites().size(), 1,
                                                                           world_.weight_caps))
                      .ok());
  CONSILIUM_CHECK(WriteFileDurably(root / "policy.toml", std::string_view(kPolicy)).ok());
}

absl::Status SiteMachine::TryBoot() {
  const fs::path root = world_.FolderOf(machine());
  ASSIGN_OR_RETURN(state_, site_agent::SiteState::Open(root, site_agent::SiteState::Access::kOwn));
  ASSIGN_OR_RETURN(identity::PinnedRoster roster,
                   identity::PinnedRoster::Load(root, identity_.root));
  const std::uint64_t life = life_;
  learner_ = std::make_unique<FakeLearner>(
      name_, data_, world_.parameters,
      FakeLearner::Hooks{[this] {
                           world_.trace.Note(world_.Now(), machine(), "trains");
                           return Sleep(FromSeconds(random_.Uniform(0.2, 4)), stop_.get_token());
                         },
                         [this, life](std::span<const float> base, std::uint64_t seed) {
                           if (life == life_) world_.invariants->OnTrained(name_, base, seed);
                         }});
  keys_random_ = std::make_unique<SeededRandom>(random_());
  site_agent::AgentOptions options;
  options.backoff_seed = random_();
  options.threads = 1;
  stop_ = std::stop_source();
  smooth_.emplace(clock_, steady_);
  agent_ = std::make_unique<site_agent::Agent>(identity_, std::move(roster), *this, *state_,
                                               *learner_, data_, *smooth_, *keys_random_, options);
  backoff_.emplace(options.first_wait, options.longest_wait, options.backoff_seed);
  welcomed_.reset();
  return agent_->MayWork();
}

void SiteMachine::Boot() {
  if (alive()) return;
  world_.disk.Restart(machine());
  ++life_;
  pump_at_.reset();
  const absl::Status booted = TryBoot();
  if (!booted.ok() || world_.disk.crashed(machine())) {
    world_.trace.Note(world_.Now(), machine(), "cannot begin: ", ToStd(booted.message()));
    world_.invariants->OnCannotBegin(machine(), booted);
    Bury(CrashKind::kKill, kRestartAfter_s);
    return;
  }
  world_.trace.Note(world_.Now(), machine(), "begins");
  world_.invariants->OnSiteBegins(*this);
  Connect();
  WatchLater();
}

bool SiteMachine::Dead() const { return !alive() || world_.disk.crashed(machine()); }

bool SiteMachine::Notice() {
  if (!alive()) return true;
  if (!world_.disk.crashed(machine())) return false;
  Bury(planned_, random_.Uniform(0.2, 15));
  return true;
}

void SiteMachine::Crash(CrashKind kind, double restart_after_s) {
  if (!alive()) {
    if (kind == CrashKind::kPowerLoss) world_.disk.Crash(machine(), kind);
    return;
  }
  world_.disk.Crash(machine(), kind);
  Bury(kind, restart_after_s);
}

void SiteMachine::CrashAtOperation(CrashKind kind, std::uint64_t operation) {
  planned_ = kind;
  world_.disk.CrashAtOperation(machine(), operation, kind);
}

void SiteMachine::Bury(CrashKind kind, double restart_after_s) {
  world_.trace.Note(world_.Now(), machine(),
                    kind == CrashKind::kKill ? "process ends" : "loses power");
  if (!world_.disk.crashed(machine())) world_.disk.Crash(machine(), CrashKind::kKill);
  stop_.request_stop();
  // What it was doing comes to nothing: its disk and its network answer no more.
  while (worker_ != nullptr && !worker_->done()) worker_->Resume();
  worker_.reset();
  ++life_;
  if (line_ != nullptr) world_.network->SiteGone(line_, kind);
  line_.reset();
  agent_.reset();
  learner_.reset();
  state_.reset();
  if (restart_after_s < 0) return;
  const std::uint64_t life = life_;
  world_.events.After(FromSeconds(restart_after_s), [this, life] {
    if (life_ == life) Boot();
  });
}

// ---- the connection

void SiteMachine::Connect() {
  if (!alive() || line_ != nullptr || paused_) return;
  line_ = world_.network->Dial(*this);
  const absl::Status begun = agent_->Begin(std::make_shared<LineSession>(*world_.network, line_));
  if (Notice()) return;
  if (!begun.ok()) {
    LineBroke(line_, begun);
    return;
  }
  Pump();
}

void SiteMachine::ConnectLater() {
  const std::uint64_t life = life_;
  world_.events.After(backoff_->Next(), [this, life] {
    if (life_ == life) Connect();
  });
}

void SiteMachine::Arrive(const std::shared_ptr<Line>& line, const wire::ToSite& message) {
  if (!alive() || line != line_) return;
  if (std::holds_alternative<wire::Welcome>(message)) welcomed_ = world_.events.now();
  world_.invariants->OnHeard(name_, message);
  const absl::Status taken = agent_->Take(message);
  if (Notice()) return;
  if (!taken.ok()) {
    world_.trace.Note(world_.Now(), machine(), "ends the connection: ", ToStd(taken.message()));
    world_.network->CloseBySite(line);
    LineBroke(line, taken);
    return;
  }
  Pump();
}

void SiteMachine::LineBroke(const std::shared_ptr<Line>& line, const absl::Status& why) {
  if (!alive() || line != line_) return;
  EndLine();
  if (Notice()) return;
  if (NeedsAPerson(why)) {
    world_.trace.Note(world_.Now(), machine(), "gives up: ", ToStd(why.message()));
    world_.invariants->OnSiteGivesUp(*this, why);
    Bury(CrashKind::kKill, -1);
    return;
  }
  Pump();
  ConnectLater();
}

// As site_agent/agent_loop.cpp.
void SiteMachine::EndLine() {
  line_->site_open = false;
  line_.reset();
  agent_->End();
  const bool lasted =
      welcomed_ && world_.events.now() - *welcomed_ >= site_agent::AgentOptions().longest_wait;
  if (lasted) backoff_->Reset();
  welcomed_.reset();
}

// ---- the worker

void SiteMachine::Pump() {
  if (!alive()) return;
  // The agent itself may have closed it.
  if (line_ != nullptr && !line_->site_open) {
    EndLine();
    if (Notice()) return;
    ConnectLater();
  }
  if (worker_ != nullptr) return;
  const auto next = agent_->NextWork();
  if (!next) return;
  const Time at = std::max(world_.events.now() + (*next - smooth_->Now()), world_.events.now()) +
                  Duration(1 + static_cast<int>(random_.Below(2000)));
  if (pump_at_ && *pump_at_ <= at) return;
  pump_at_ = at;
  const std::uint64_t life = life_;
  world_.events.At(at, [this, life, at] {
    if (life_ == life && pump_at_ == at) Work();
  });
}

void SiteMachine::Work() {
  pump_at_.reset();
  if (worker_ != nullptr) return;
  worker_ = std::make_unique<Fiber>([this] { agent_->WorkOnce(stop_.get_token()); });
  WakeWorker();
}

void SiteMachine::WakeWorker() {
  worker_->Resume();
  if (!worker_->done()) {
    Notice();
    return;
  }
  worker_.reset();
  if (Notice()) return;
  Pump();
}

bool SiteMachine::Sleep(Duration wait, const std::stop_token& stop) {
  CONSILIUM_CHECK(Fiber::current() != nullptr);
  if (Dead() || stop.stop_requested() || stop_.stop_requested()) return false;
  const std::uint64_t sleep = ++sleep_;
  const auto wake = [this, sleep] {
    if (worker_ != nullptr && sleep_ == sleep) WakeWorker();
  };
  world_.events.After(wait, wake);
  {
    const std::stop_callback on_stop(stop, [&] { world_.events.After(Duration(1), wake); });
    Fiber::Wait();
  }
  ++sleep_;
  return !Dead() && !stop.stop_requested() && !stop_.stop_requested();
}

// ---- the operator

void SiteMachine::WatchLater() {
  const std::uint64_t life = life_;
  world_.events.After(kWatch, [this, life] {
    if (life_ != life) return;
    agent_->Watch();
    if (Notice()) return;
    Pump();
    WatchLater();
  });
}

void SiteMachine::SetPaused(bool paused) {
  const fs::path file = world_.FolderOf(machine()) / "paused";
  if (paused) {
    MakeEmptyFile(file).IgnoreError();
  } else {
    Remove(file).IgnoreError();
  }
  paused_ = paused;
  world_.trace.Note(world_.Now(), machine(), paused ? "is paused" : "is resumed");
  if (!alive() || Notice()) return;
  agent_->Watch();
  if (Notice()) return;
  Pump();
  if (!paused && line_ == nullptr) Connect();
}

bool SiteMachine::RefuseRun(const RunId& run) {
  if (!alive()) return false;
  const auto known = state_->FindRun(run);
  if (Notice() || !known.ok() || !*known) return false;
  const absl::Status written = site_agent::WriteApproval(
      state_->folder().Approvals(), run, crypto::Sha256((*known)->plan_toml), /*approved=*/false);
  if (Notice() || !written.ok()) return false;
  world_.trace.Note(world_.Now(), machine(), "refuses ", run.value);
  world_.invariants->OnRefused(name_, run);
  return true;
}

// ---- CoordinatorChannel

absl::StatusOr<std::unique_ptr<site_agent::Session>> SiteMachine::Attend(std::stop_token) {
  return absl::UnimplementedError("the simulation hands the agent its sessions");
}

absl::Status SiteMachine::DownloadModel(const ModelId& model,
                                        std::span<const wire::ByteRange> ranges,
                                        std::uint64_t offset, const site_agent::ModelSink& sink,
                                        std::stop_token stop) {
  return world_.network->Download(*this, model, ranges, offset, sink, stop);
}

absl::StatusOr<site_agent::UploadOutcome> SiteMachine::Upload(const site_agent::OutboxFile& update,
                                                              std::uint32_t first_segment,
                                                              std::stop_token stop) {
  return world_.network->Upload(*this, update, first_segment, stop);
}

}  // namespace consilium::simulation
