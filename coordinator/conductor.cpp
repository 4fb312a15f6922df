#include "coordinator/conductor.h"

#include <algorithm>
#include <utility>

#include "common/base/allocator.h"
#include "common/base/log.h"
#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "coordinator/publication.h"
#include "coordinator/run_log.h"

namespace consilium::coordinator {
namespace {

constexpr Duration kLedgerRetry = std::chrono::seconds(5);

// Of one site, that the engine is told of.
constexpr Duration kBetweenProgress = std::chrono::seconds(1);

// A clock that was set back makes it due, too.
bool IsDue(Time now, Time since, Duration after) { return now < since || now >= since + after; }

std::optional<Time> Earlier(std::optional<Time> a, std::optional<Time> b) {
  return a && b ? std::min(a, b) : a ? a : b;
}

// See KeepWork: what a site gave, and gives again when it is asked again.
bool NeedsTheLedger(const Action& action) {
  if (std::holds_alternative<WakeAt>(action)) return false;
  const auto* keep = std::get_if<KeepWork>(&action);
  return keep == nullptr || !(std::holds_alternative<WorkAnswered>(keep->record) ||
                              std::holds_alternative<WorkUploaded>(keep->record));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Conductor>> Conductor::Open(Parts parts) {
  RETURN_IF_ERROR(EnsureFolder(parts.spool));
  std::unique_ptr<Conductor> conductor(new Conductor(std::move(parts)));
  conductor->TakeUpRoster();
  conductor->Post(LookForRun{});
  return conductor;
}

absl::StatusOr<std::unique_ptr<Conductor>> Conductor::Start(Parts parts) {
  ASSIGN_OR_RETURN(std::unique_ptr<Conductor> conductor, Open(std::move(parts)));
  conductor->stepping_ = std::thread([c = conductor.get()] { c->KeepStepping(); });
  conductor->making_ = std::thread([c = conductor.get()] { c->KeepMaking(); });
  return conductor;
}

Conductor::Conductor(Parts parts)
    : parts_(std::move(parts)), rosters_(parts_.ledger, parts_.authority.root_key()) {}

Conductor::~Conductor() { Stop(); }

void Conductor::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    input_came_.notify_all();
    job_came_.notify_all();
    for (const auto& [site, connection] : connections_) connection.queue->Close();
    for (const auto& [run, watch] : watches_) {
      if (const auto open = watch.lock()) open->Close();
    }
  }
  if (stepping_.joinable()) stepping_.join();
  if (making_.joinable()) making_.join();
}

// ---- what comes in

void Conductor::Post(Input input) {
  std::lock_guard lock(mutex_);
  inbox_.push_back(std::move(input));
  input_came_.notify_all();
}

std::shared_ptr<SiteQueue> Conductor::Connect(const SiteId& site, const Digest& tls_key) {
  auto queue = std::make_shared<SiteQueue>();
  const auto signatures =
      parts_.ledger.With([](Ledger& ledger) { return ledger.Countersignatures(); });
  Connection next{.queue = queue, .tls_key = tls_key};
  if (signatures.ok()) {
    for (const Countersignature& signature : *signatures) {
      if (signature.site == site) next.log_signed = signature.signature.number;
    }
  }
  // The newest: the stepping thread may have slept since an operator admitted this very site.
  const auto roster = rosters_.Get();
  std::lock_guard lock(mutex_);
  if (stopping_) queue->Close();
  if (roster.ok()) {
    queue->Push(wire::RosterFile{(*roster)->file});
    next.roster_version = (*roster)->roster.version;
  }
  Connection& connection = connections_[site];
  if (connection.queue) {
    connection.queue->Close();
    inbox_.push_back(SiteDisconnected{site});
  }
  connection = std::move(next);
  inbox_.push_back(SiteConnected{site});
  input_came_.notify_all();
  return queue;
}

void Conductor::Disconnect(const SiteId& site, const std::shared_ptr<SiteQueue>& queue) {
  queue->Close();
  std::lock_guard lock(mutex_);
  const auto found = connections_.find(site);
  if (found == connections_.end() || found->second.queue != queue) return;
  connections_.erase(found);
  inbox_.push_back(SiteDisconnected{site});
  input_came_.notify_all();
}

void Conductor::Receive(const SiteId& site, const wire::FromSite& message) {
  std::visit(Overloaded{
                 [&](const wire::Hello& m) { TellEnds(site, m.open_runs); },
                 [&](const wire::InviteAnswer& m) {
                   Post(InviteAnswered{site, m});
                 },
                 [&](const wire::TaskFailed& m) {
                   Post(SiteTaskFailed{site, m.key, m.reason});
                 },
                 [&](const wire::EvaluationReport& m) {
                   Post(EvaluationArrived{site, m});
                 },
                 [&](const wire::SecureAnswer& m) {
                   Post(SecureAnswered{site, m});
                 },
                 [&](const wire::LogSignature& m) { KeepSignature(site, m); },
                 [&](const wire::Trained& m) {
                   Post(SiteTrained{site, m});
                 },
                 [&](const wire::TaskProgress& m) {
                   Announce(m.key.run, {{0,
                                         parts_.clock.Now(),
                                         wire::RunEventKind::kProgress,
                                         m.key.round,
                                         m.key.attempt,
                                         site,
                                         m.step,
                                         {{"done", static_cast<double>(m.done)},
                                          {"total", static_cast<double>(m.total)},
                                          {"loss", m.loss}}}});
                   NoteProgress(site, m.key);
                 },
             },
             message);
}

// What a site has missed while it was away. (The run under way is the engine's business.)
void Conductor::TellEnds(const SiteId& site, const std::vector<RunId>& open) {
  for (const RunId& run : open) {
    const auto end = parts_.ledger.With([&](Ledger& ledger) { return ledger.EndOf(run, site); });
    if (!end.ok() || !*end) continue;
    // First what became of its last contributions: with the end it would hold them for not counted.
    const auto state = parts_.ledger.With([&](Ledger& ledger) { return ledger.LoadRunState(run); });
    if (!state.ok()) continue;
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(site);
    if (found == connections_.end()) continue;
    for (const wire::AttemptClosed& closed : state->closings.Of(site)) {
      found->second.queue->Push(closed);
    }
    found->second.queue->Push(**end);
  }
}

absl::StatusOr<RunId> Conductor::Submit(const PlanSubmission& submission,
                                        const std::string& researcher) {
  RETURN_IF_ERROR(CheckPlanSignature(submission, researcher));
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(submission.toml));
  if (plan.model.initial) RETURN_IF_ERROR(CheckInitial(plan.model));
  const SubmittedPlan submitted{.name = plan.name,
                                .hash = crypto::Sha256(submission.toml),
                                .toml = submission.toml,
                                .researcher = researcher,
                                .nonce = submission.nonce,
                                .signature = submission.signature};
  ASSIGN_OR_RETURN(const RunId run, parts_.ledger.With([&](Ledger& ledger) {
    return ledger.SubmitRun(plan, submitted, parts_.clock.Now());
  }));
  Log(LogLevel::kInfo, "run_submitted", {{"run", run.value}, {"by", researcher}});
  Post(LookForRun{});
  return run;
}

absl::Status Conductor::StopRun(const RunId& run, const std::string& by) {
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& ledger) -> absl::Status {
    RETURN_IF_ERROR(ledger.PlanOf(run).status());
    ASSIGN_OR_RETURN(std::vector<RunId> open, ledger.ActiveRuns());
    ASSIGN_OR_RETURN(const std::vector<RunId> queued, ledger.QueuedRuns());
    open.insert(open.end(), queued.begin(), queued.end());
    if (std::find(open.begin(), open.end(), run) == open.end()) {
      return absl::FailedPreconditionError(StrCat("run ", run.value, " has ended already"));
    }
    return ledger.AddLogEntry(parts_.clock.Now(), by, "stop", run.value);
  }));
  Post(StopOrder{run, by});
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<RunWatch>> Conductor::Watch(const RunId& run, std::uint64_t after) {
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& l) { return l.PlanOf(run).status(); }));
  auto watch = std::make_shared<RunWatch>(after);
  // Under the ledger's lock, so that what is committed meanwhile is announced after what is read.
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& ledger) -> absl::Status {
    for (std::uint64_t last = after;;) {
      ASSIGN_OR_RETURN(const std::vector<wire::RunEvent> events, ledger.Events(run, last));
      if (events.empty()) break;
      for (const wire::RunEvent& event : events) watch->Push(event);
      last = events.back().sequence;
    }
    std::lock_guard lock(mutex_);
    if (stopping_) watch->Close();
    std::erase_if(watches_, [](const auto& entry) { return entry.second.expired(); });
    watches_.emplace(run, watch);
    return absl::OkStatus();
  }));
  return watch;
}

void Conductor::NoteProgress(const SiteId& site, const AttemptKey& key) {
  const Time now = parts_.clock.Now();
  const std::lock_guard lock(mutex_);
  const auto [told, first] = progressed_.try_emplace(site, now);
  if (!first && !IsDue(now, told->second, kBetweenProgress)) return;
  told->second = now;
  inbox_.emplace_back(Event(SiteProgressed{site, key}));
  input_came_.notify_all();
}

// ---- steps

void Conductor::KeepStepping() {
  while (WaitForStep()) {
    StepOnce();
    // A server of months: what the run's uploads left in pieces goes back.
    if (std::exchange(run_is_over_, false)) ReturnFreedMemory();
  }
}

bool Conductor::WaitForStep() {
  const std::optional<Time> next = NextStep();
  const bool takes_inputs = !uncommitted_;
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return stopping_ || (takes_inputs && !inbox_.empty()); };
  if (next) {
    input_came_.wait_for(lock, *next - parts_.clock.Now(), ready);
  } else {
    input_came_.wait(lock, ready);
  }
  return !stopping_;
}

std::optional<Time> Conductor::NextStep() const {
  const Time now = parts_.clock.Now();
  std::optional<Time> next;
  if (ledger_failed_)
    next = IsDue(now, *ledger_failed_, kLedgerRetry) ? now : *ledger_failed_ + kLedgerRetry;
  if (uncommitted_) return next;
  const std::lock_guard lock(mutex_);
  if (!inbox_.empty() || FederationWatchIsDue(now)) return now;
  if (!connections_.empty()) next = Earlier(next, federation_watched_ + parts_.federation_watch);
  return Earlier(next, wake_);
}

bool Conductor::FederationWatchIsDue(Time now) const {
  return !connections_.empty() && IsDue(now, federation_watched_, parts_.federation_watch);
}

bool Conductor::StepOnce() {
  const Time now = parts_.clock.Now();
  const bool try_again = ledger_failed_ && IsDue(now, *ledger_failed_, kLedgerRetry);
  if (uncommitted_) {
    if (!try_again) return false;
    TryToCommit();
    return true;
  }
  std::vector<Input> came;
  {
    const std::lock_guard lock(mutex_);
    if (wake_ && now >= *wake_) {
      wake_.reset();
      inbox_.emplace_back(Event(TimeCame{}));
    }
    if (try_again) inbox_.emplace_back(LookForRun{});
    if (inbox_.empty() && !FederationWatchIsDue(now)) return false;
    came = std::exchange(inbox_, {});
  }
  if (try_again) ledger_failed_.reset();
  Step(WithRosterFirst(std::move(came)));
  ExtendLogs();
  return true;
}

void Conductor::Step(const std::vector<Input>& inputs) {
  const bool idle = !run_ || run_->engine->ended();
  const bool look = std::any_of(inputs.begin(), inputs.end(), [](const Input& input) {
    return std::holds_alternative<LookForRun>(input);
  });
  if (idle && look && TakeUpNextRun()) {
    // It was told who is connected, and what came before its start is none of its business; but
    // a stop may be meant for it.
    for (const Input& input : inputs) {
      if (const auto* order = std::get_if<StopOrder>(&input)) Post(*order);
    }
    return;
  }
  StepRun(inputs);
  for (const Input& input : inputs) {
    const auto* order = std::get_if<StopOrder>(&input);
    if (order == nullptr || (run_ && order->run == run_->engine->state().run)) continue;
    if (uncommitted_) {
      Post(*order);
    } else {
      EndQueuedRun(*order);
    }
  }
}

void Conductor::StepRun(const std::vector<Input>& inputs) {
  if (!run_) return;
  RoundEngine& engine = *run_->engine;
  std::vector<Action> actions = std::exchange(kept_back_, {});
  const std::size_t kept_back = actions.size();
  for (const Input& input : inputs) {
    std::vector<Action> step;
    if (const auto* event = std::get_if<Event>(&input)) {
      step = engine.On(*event, parts_.clock.Now());
    } else if (const auto* order = std::get_if<StopOrder>(&input);
               order && order->run == engine.state().run) {
      step = engine.On(StopRequested{order->by}, parts_.clock.Now());
    }
    std::move(step.begin(), step.end(), std::back_inserter(actions));
  }
  if (std::any_of(actions.begin() + kept_back, actions.end(), NeedsTheLedger)) {
    Complete({std::move(actions), std::nullopt});
    return;
  }
  for (Action& action : actions) {
    if (const auto* wake = std::get_if<WakeAt>(&action)) {
      Do(*wake);
    } else {
      kept_back_.push_back(std::move(action));
    }
  }
}

absl::StatusOr<Conductor::ActiveRun> Conductor::Prepare(const RunId& run) {
  return parts_.ledger.With([&](Ledger& ledger) -> absl::StatusOr<ActiveRun> {
    ActiveRun active;
    ASSIGN_OR_RETURN(active.submitted, ledger.PlanOf(run));
    ASSIGN_OR_RETURN(active.plan, plan::ParsePlan(active.submitted.toml));
    ASSIGN_OR_RETURN(RunState state, ledger.LoadRunState(run));
    ASSIGN_OR_RETURN(LastPublished last, ledger.LastPublishedOf(active.plan.name));
    // A base whose file is gone is no reason not to begin: the attempt fails and says so.
    if (!state.base && active.plan.model.initial && active.plan.model.adapter_rank > 0) {
      const auto adapted = MakeAdapted(ledger, run, active.plan);
      if (adapted.ok()) {
        active.plan.model.initial = *adapted;
      } else if (!absl::IsNotFound(adapted.status()) &&
                 !absl::IsInvalidArgument(adapted.status())) {
        return adapted.status();  // a full disk: tried again
      }
    }
    if (const auto base = state.base ? state.base : active.plan.model.initial) {
      const auto shape = ShapeOf(*base, active.plan.model.frozen);
      if (shape.ok()) {
        state.parameters = shape->parameters;
        state.frozen = shape->frozen;
        state.layout = shape->layout;
      }
    }
    active.engine = std::make_unique<RoundEngine>(active.plan, std::move(state), std::move(last));
    return active;
  });
}

// True when a run began, or goes on. One that cannot be read stays where it is, and is tried again.
bool Conductor::TakeUpNextRun() {
  const absl::StatusOr<std::optional<RunId>> next =
      parts_.ledger.With([](Ledger& ledger) -> absl::StatusOr<std::optional<RunId>> {
        ASSIGN_OR_RETURN(std::vector<RunId> runs, ledger.ActiveRuns());
        if (runs.empty()) {
          ASSIGN_OR_RETURN(runs, ledger.QueuedRuns());
        }
        if (runs.empty()) return std::nullopt;
        return runs.front();
      });
  if (next.ok() && !next->has_value()) return false;
  absl::StatusOr<ActiveRun> prepared =
      next.ok() ? Prepare(**next) : absl::StatusOr<ActiveRun>(next.status());
  if (!prepared.ok()) {
    Log(LogLevel::kError, "run_not_started", {{"why", ToStd(prepared.status().message())}});
    ledger_failed_ = parts_.clock.Now();
    return false;
  }
  run_ = *std::move(prepared);
  kept_back_.clear();
  std::set<SiteId> connected;
  {
    std::lock_guard lock(mutex_);
    wake_.reset();
    for (const auto& [site, connection] : connections_) connected.insert(site);
  }
  if (run_->engine->state().started == Time{}) EmptySpool();  // nothing of a new run is in it
  Complete({run_->engine->Start(view_, connected, parts_.clock.Now()), std::nullopt});
  return true;
}

// A run that waits for its turn is begun without sites, and ended.
void Conductor::EndQueuedRun(const StopOrder& order) {
  absl::StatusOr<ActiveRun> prepared = Prepare(order.run);
  if (!prepared.ok()) {
    Log(LogLevel::kError, "run_not_stopped",
        {{"run", order.run.value}, {"why", ToStd(prepared.status().message())}});
    return;
  }
  RoundEngine& engine = *prepared->engine;
  const Time now = parts_.clock.Now();
  std::vector<Action> actions = engine.Start({}, {}, now);
  std::vector<Action> stop = engine.On(StopRequested{order.by}, now);
  std::move(stop.begin(), stop.end(), std::back_inserter(actions));
  if (actions.empty()) return;  // it ended meanwhile
  Complete({std::move(actions), *std::move(prepared)});
}

// Until the ledger has the step nothing of it may happen: a full disk makes the run wait.
void Conductor::Complete(UncommittedStep step) {
  uncommitted_ = std::move(step);
  TryToCommit();
}

void Conductor::TryToCommit() {
  const ActiveRun& active = uncommitted_->queued ? *uncommitted_->queued : *run_;
  const RunState& state = active.engine->state();
  const RunId run = state.run;
  const auto events = Commit(state, uncommitted_->actions);
  if (!events.ok()) {
    Log(LogLevel::kError, "ledger_not_written",
        {{"run", run.value}, {"why", ToStd(events.status().message())}});
    ledger_failed_ = parts_.clock.Now();
    return;
  }
  ledger_failed_.reset();
  const UncommittedStep step = *std::exchange(uncommitted_, std::nullopt);
  if (!step.queued) CarryOut(step.actions);
  Announce(run, *events);
}

absl::StatusOr<std::vector<wire::RunEvent>> Conductor::Commit(const RunState& state,
                                                              const std::vector<Action>& actions) {
  return parts_.ledger.With([&](Ledger& ledger) -> absl::StatusOr<std::vector<wire::RunEvent>> {
    std::optional<Publication> publication;
    for (const Action& action : actions) {
      if (const auto* publish = std::get_if<Publish>(&action)) {
        ASSIGN_OR_RETURN(publication,
                         MakePublication(ledger, state, actions, *publish,
                                         parts_.authority.signing_key(), parts_.clock.Now()));
      }
    }
    return ledger.Commit(state, actions, publication);
  });
}

void Conductor::Announce(const RunId& run, const std::vector<wire::RunEvent>& events) {
  std::vector<std::shared_ptr<RunWatch>> watches;
  {
    std::lock_guard lock(mutex_);
    const auto [first, last] = watches_.equal_range(run);
    for (auto i = first; i != last; ++i) {
      if (auto watch = i->second.lock()) watches.push_back(std::move(watch));
    }
  }
  for (const wire::RunEvent& event : events) {
    if (event.kind != wire::RunEventKind::kProgress) LogEvent(run, event);
    for (const auto& watch : watches) watch->Push(event);
  }
}

}  // namespace consilium::coordinator
