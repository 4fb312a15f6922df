#include "site_agent/agent.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/sha256.h"
#include "site_agent/log_follower.h"

namespace consilium::site_agent {
namespace {

// Before a call is repeated while the standing connection is up.
constexpr Duration kRetryPause = std::chrono::seconds(1);

// Trying again would not help: somebody has to act. Everything else may pass.
bool NotTaken(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
         absl::IsFailedPrecondition(status);
}

secagg::Purpose PurposeOf(wire::EvaluationSplit split) {
  return split == wire::EvaluationSplit::kTest ? secagg::Purpose::kTest
                                               : secagg::Purpose::kValidation;
}

// How the coordinator knows the work of a session: an evaluation is one whatever its attempts.
AttemptKey TaskKeyOf(const secagg::SessionKey& session) {
  AttemptKey key = session.attempt;
  if (session.purpose != secagg::Purpose::kTraining) key.attempt = 0;
  return key;
}

}  // namespace

Agent::Agent(const identity::Identity& identity, identity::PinnedRoster roster,
             CoordinatorChannel& channel, SiteState& state, Learner& learner, LocalData& data,
             const Clock& clock, AgentOptions options)
    : identity_(identity),
      site_(identity.name),
      channel_(channel),
      state_(state),
      data_(data),
      learner_(learner),
      clock_(clock),
      options_(options),
      backoff_(options.first_wait, options.longest_wait, options.backoff_seed),
      roster_(std::move(roster)),
      sessions_(identity, state, clock, random_,
                [this](const secagg::SessionKey& session) { return ViewFor(session); }),
      consents_(state, data, clock) {}

identity::SignedRoster Agent::Roster() const {
  const std::lock_guard lock(roster_mutex_);
  return roster_.current();
}

// ---- the connection

absl::Status Agent::Run(std::stop_token stop) {
  RETURN_IF_ERROR(CheckNoFork(state_));
  std::error_code ignored;
  paused_ = fs::exists(state_.folder().Paused(), ignored);
  if (paused_) Log(LogLevel::kWarning, "paused", {{"next", "consilium-site resume"}});
  const std::jthread worker([this](std::stop_token worker_stop) { Work(worker_stop); });
  const std::jthread watcher([this](std::stop_token watch_stop) { Watch(watch_stop); });
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return !paused_; });
    if (stop.stop_requested()) return absl::OkStatus();
    const std::uint64_t before = connections_;
    lock.unlock();
    const absl::Status ended = Attend(stop);
    OnDisconnect();
    lock.lock();
    if (finished_ || stop.stop_requested()) return absl::OkStatus();
    if (std::exchange(planned_end_, false) || paused_) continue;
    if (NotTaken(ended)) return ended;
    AwaitNext(ended, connections_ != before, lock, stop);
    if (finished_) return absl::OkStatus();
  }
}

void Agent::AwaitNext(const absl::Status& ended, bool was_connected,
                      std::unique_lock<std::mutex>& lock, std::stop_token stop) {
  if (was_connected) {
    waiting_ = false;
    // One that broke at once counts as another failure: nobody should connect in a tight loop.
    if (clock_.Now() - connected_ >= options_.longest_wait) backoff_.Reset();
  }
  if (!std::exchange(waiting_, true)) {
    Log(LogLevel::kWarning, "waiting_for_coordinator",
        {{"address", channel_.Address()},
         {"reason", ToStd(ended.message())},
         {"next",
          StrCat("tries again by itself, at least every ", ToReadable(options_.longest_wait))}});
  }
  const Duration wait = backoff_.Next();
  changed_.wait_for(lock, stop, wait, [this] { return finished_; });
}

absl::Status Agent::Attend(std::stop_token stop) {
  std::stop_source line;
  const std::stop_callback forward(stop, [&line] { line.request_stop(); });
  {
    const std::lock_guard lock(mutex_);
    if (paused_) return absl::CancelledError("paused");
    line_ = line;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<Session> session, channel_.Attend(line.get_token()));
  RETURN_IF_ERROR(session->Send(wire::Hello{kVersion, kProtocolVersion}));
  ASSIGN_OR_RETURN(const wire::ToSite first, session->Next());
  const auto* welcome = std::get_if<wire::Welcome>(&first);
  if (welcome == nullptr) {
    return absl::InternalError("the coordinator did not begin with a welcome");
  }
  RETURN_IF_ERROR(CheckWelcome(*welcome));
  OnWelcome(session);
  // The coordinator's key may have changed: the roster that says so then comes before all else.
  bool trusted = false;
  while (true) {
    if (!trusted && CheckSealingKey(*welcome).ok()) {
      trusted = true;
      SendOutbox();
    }
    ASSIGN_OR_RETURN(const wire::ToSite message, session->Next());
    if (!std::holds_alternative<wire::RosterFile>(message)) {
      RETURN_IF_ERROR(CheckSealingKey(*welcome));
    }
    RETURN_IF_ERROR(std::visit([this](const auto& m) { return On(m); }, message));
  }
}

absl::Status Agent::CheckWelcome(const wire::Welcome& welcome) const {
  if (welcome.protocol_version != kProtocolVersion) {
    const bool site_is_older = welcome.protocol_version > kProtocolVersion;
    return absl::FailedPreconditionError(
        StrCat("the coordinator (program ", welcome.program_version, ") speaks protocol ",
               welcome.protocol_version, " and this site (program ", kVersion, ") speaks ",
               kProtocolVersion, "; upgrade ", site_is_older ? "this site" : "the coordinator"));
  }
  if (welcome.site != site_) {
    return absl::UnauthenticatedError(StrCat("the coordinator takes this certificate for site \"",
                                             welcome.site.value, "\", but this state folder is \"",
                                             site_.value, "\"; enrol again"));
  }
  if (welcome.federation != identity_.federation) {
    return absl::UnauthenticatedError(StrCat("the coordinator is of federation \"",
                                             welcome.federation, "\", this site was enrolled in \"",
                                             identity_.federation, "\""));
  }
  return absl::OkStatus();
}

absl::Status Agent::CheckSealingKey(const wire::Welcome& welcome) const {
  const identity::SignedRoster roster = Roster();
  const identity::RosterEntry* coordinator = roster.roster.Coordinator();
  if (coordinator != nullptr && coordinator->sealing_key == welcome.sealing_key) {
    return absl::OkStatus();
  }
  return absl::UnauthenticatedError(
      StrCat("the coordinator's sealing key is not the one in the roster this site has pinned "
             "(version ",
             roster.roster.version,
             "): it is not the federation's coordinator, or a newer roster must be signed for it"));
}

void Agent::OnWelcome(std::shared_ptr<Session> session) {
  Log(LogLevel::kInfo, "connected",
      {{"federation", identity_.federation},
       {"site", site_.value},
       {"address", channel_.Address()}});
  const std::lock_guard lock(mutex_);
  session_ = std::move(session);
  ++connections_;
  connected_ = clock_.Now();
  changed_.notify_all();
}

void Agent::SendOutbox() {
  const auto tasks = state_.Tasks();
  if (!tasks.ok()) return;
  for (const TaskRecord& task : *tasks) {
    if (task.state == TaskState::kSealed) Enqueue(SendSealed{task.header.key});
  }
}

void Agent::OnDisconnect() {
  const std::lock_guard lock(mutex_);
  if (session_ != nullptr) session_->Close();
  session_.reset();
}

void Agent::ReconnectWhenIdle() {
  const std::lock_guard lock(mutex_);
  reconnect_ = true;
}

bool Agent::Tell(const wire::FromSite& message) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    if (!paused_) session = session_;
  }
  return session != nullptr && session->Send(message).ok();
}

// ---- trust

absl::Status Agent::On(const wire::Welcome&) {
  return absl::InternalError("the coordinator sent a second welcome");
}

absl::Status Agent::On(const wire::RosterFile& file) {
  const std::lock_guard lock(roster_mutex_);
  const std::uint64_t before = roster_.current().roster.version;
  if (const absl::Status advanced = roster_.Advance(file.file); !advanced.ok()) {
    Log(LogLevel::kError, "roster_refused", {{"reason", ToStd(advanced.message())}});
    return absl::UnauthenticatedError(
        StrCat("the coordinator's roster is refused: ", advanced.message()));
  }
  const std::uint64_t version = roster_.current().roster.version;
  if (version != before) Log(LogLevel::kInfo, "roster_pinned", {{"version", version}});
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::LogExtension& extension) {
  ASSIGN_OR_RETURN(const wire::LogSignature signature,
                   Countersign(state_, extension, identity_.federation, identity_.signing));
  const Departure departure{
      clock_.Now(), channel_.Address(),         "signature over the audit log's head",
      AttemptKey{}, signature.signature.size(), crypto::Sha256(ByteView(signature.signature))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(signature);
  return absl::OkStatus();
}

// ---- invitations

absl::Status Agent::On(const wire::Invite& invite) {
  const std::lock_guard lock(consents_mutex_);
  ASSIGN_OR_RETURN(const auto answer, consents_.Answer(invite, Roster().roster));
  if (answer) return Reply(*answer);
  Log(LogLevel::kWarning, "operator_asked",
      {{"run", invite.run.value}, {"next", StrCat("consilium-site approve ", invite.run.value)}});
  return absl::OkStatus();
}

absl::Status Agent::Reply(const wire::InviteAnswer& answer) {
  Log(LogLevel::kInfo, answer.accepted ? "invitation_accepted" : "invitation_declined",
      {{"run", answer.run.value},
       {"patients", answer.train_patients},
       {"examples", answer.train_examples},
       {"reason", answer.reason}});
  const std::string sent =
      StrCat(answer.accepted ? "accepted " : "declined ", answer.reason, " ", answer.train_patients,
             " ", answer.train_examples, " ", answer.refused_files);
  const Departure departure{clock_.Now(),
                            channel_.Address(),
                            "answer to an invitation",
                            AttemptKey{answer.run, 0, 0},
                            sent.size(),
                            crypto::Sha256(std::string_view(sent))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(answer);
  return absl::OkStatus();
}

// ---- secure sessions

absl::StatusOr<secagg::SiteView> Agent::ViewFor(const secagg::SessionKey& session) const {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(state_, session.attempt.run));
  const plan::Plan& plan = agreement.plan;
  const std::uint32_t minimum = session.purpose == secagg::Purpose::kTest
                                    ? plan.gate.minimum_sites
                                    : plan.cohort.minimum_sites;
  const identity::SignedRoster roster = Roster();
  return secagg::SiteView{.self = site_,
                          .sites = roster.roster.SiteKeys(),
                          .roster = roster.hash,
                          .minimum_cohort = std::max({agreement.policy.minimum_cohort, minimum,
                                                      std::uint32_t{secagg::kFewestSites}})};
}

double Agent::WeightFor(const Agreement& agreement) const {
  double weight = 1;
  if (agreement.plan.aggregation.weight == plan::WeightRule::kExamples) {
    weight = static_cast<double>(agreement.run.train_examples);
  } else if (agreement.plan.aggregation.weight == plan::WeightRule::kPatients) {
    weight = static_cast<double>(agreement.run.train_patients);
  }
  const identity::SignedRoster roster = Roster();
  const identity::RosterEntry* self = roster.roster.Find(site_.value);
  const double cap = self == nullptr ? 0 : self->weight_cap;
  return cap > 0 ? std::min(weight, cap) : weight;
}

absl::Status Agent::OpenSession(const std::optional<secagg::SessionConfig>& config,
                                const secagg::SessionKey& key, const ModelId& model) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(state_, key.attempt.run));
  const bool masked = agreement.plan.aggregation.updates == plan::Updates::kMasked;
  if (masked != config.has_value()) {
    return absl::PermissionDeniedError(
        masked ? "the plan says masked updates, and the coordinator asks for one that it could read"
               : "the plan says sealed updates, and the coordinator asks for a masked one");
  }
  if (!masked) return absl::OkStatus();
  ASSIGN_OR_RETURN(const wire::SecureAnswer advertisement,
                   sessions_.Open(*config, {key, model, agreement.plan, WeightFor(agreement)}));
  return Reply(advertisement);
}

absl::Status Agent::Reply(const wire::SecureAnswer& answer) {
  const AnswerText text = Describe(answer);
  const Departure departure{clock_.Now(),      channel_.Address(),
                            text.what,         answer.session.attempt,
                            text.bytes.size(), crypto::Sha256(ByteView(text.bytes))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(answer);
  return absl::OkStatus();
}

absl::Status Agent::RefuseSession(const secagg::SessionKey& key, const absl::Status& why) {
  const std::string reason(ToStd(why.message()));
  Log(LogLevel::kWarning, "secure_session_refused",
      {{"session", key.ToString()}, {"reason", reason}});
  Cancel([&](const Task& task) { return SessionOf(task) == key; });
  sessions_.Refuse(key, reason);
  if (key.purpose == secagg::Purpose::kTraining) {
    RETURN_IF_ERROR(state_.CloseTask(key.attempt, TaskState::kFailed, reason, clock_.Now()));
  }
  Tell(wire::TaskFailed{TaskKeyOf(key), reason});
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::SecureNotice& notice) {
  const secagg::SessionKey& key = notice.session;
  // The operator's word holds until the last moment.
  const absl::Status agreed = FindAgreement(state_, key.attempt.run).status();
  if (!agreed.ok()) return RefuseSession(key, agreed);
  const auto answer = sessions_.On(notice);
  if (absl::IsCancelled(answer.status())) {
    Log(LogLevel::kInfo, "secure_notice_late", {{"session", key.ToString()}});
    return absl::OkStatus();
  }
  if (!answer.ok()) return RefuseSession(key, answer.status());
  return *answer ? Reply(**answer) : absl::OkStatus();
}

// ---- tasks

absl::Status Agent::On(const wire::MakeInitialModel& request) {
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::TrainRequest& request) {
  const secagg::SessionKey session{request.key, secagg::Purpose::kTraining};
  // A newer attempt makes the older ones of its run pointless, and so it does their sessions.
  Cancel([&](const Task& task) {
    const auto key = AttemptOf(task);
    if (key) return key->run == request.key.run && *key < request.key;
    return SessionOf(task) && RunOf(task) == request.key.run;
  });
  const absl::Status opened = OpenSession(request.secure, session, request.base_model);
  if (absl::IsCancelled(opened)) return absl::OkStatus();  // a request that came late
  if (!opened.ok()) return RefuseSession(session, opened);
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::EvaluateRequest& request) {
  secagg::SessionKey session{{request.run, request.round, 0}, PurposeOf(request.split)};
  if (request.secure) session.attempt.attempt = request.secure->key.attempt.attempt;
  if (request.secure) {
    Cancel([&](const Task& task) {
      const auto key = SessionOf(task);
      return key && key->attempt.run == request.run && key != session;
    });
  }
  const absl::Status opened = OpenSession(request.secure, session, request.model);
  if (absl::IsCancelled(opened)) return absl::OkStatus();
  if (!opened.ok()) return RefuseSession(session, opened);
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::AttemptClosed& closed) {
  Cancel([&](const Task& task) { return AttemptOf(task) == closed.key; });
  sessions_.Close({closed.key, secagg::Purpose::kTraining}, "the attempt is closed");
  Log(LogLevel::kInfo, closed.counted ? "contribution_counted" : "contribution_not_counted",
      {{"attempt", closed.key.ToString()}, {"reason", closed.reason}});
  return state_.CloseTask(closed.key, closed.counted ? TaskState::kCounted : TaskState::kNotCounted,
                          closed.reason, clock_.Now());
}

absl::Status Agent::On(const wire::RunEnded& ended) {
  Cancel([&](const Task& task) {
    return RunOf(task) == ended.run && !std::holds_alternative<FetchPublished>(task);
  });
  sessions_.CloseRun(ended.run);
  RETURN_IF_ERROR(state_.RecordRunEnded(ended, clock_.Now()));
  Log(LogLevel::kInfo, "run_ended", {{"run", ended.run.value}, {"outcome", ended.outcome}});
  if (ended.published_model) Enqueue(FetchPublished{ended.run, *ended.published_model});
  const std::lock_guard lock(mutex_);
  run_ended_ = true;
  changed_.notify_all();
  return absl::OkStatus();
}

void Agent::Enqueue(Task task) {
  const std::lock_guard lock(mutex_);
  const auto same = [&](const Task& other) {
    const auto key = AttemptOf(task);
    return SameWork(task, other) || (key && key == AttemptOf(other));
  };
  // An evaluation is repeated: the answer of the one being made may be lost with its connection,
  // and the second time it is only read from the state.
  const bool repeat = std::holds_alternative<wire::EvaluateRequest>(task);
  // Nor is a request dropped for the update in the outbox that it is about, which may turn out to
  // be of no use.
  const bool other_way = current_ && std::holds_alternative<SendSealed>(current_->task) &&
                         !std::holds_alternative<SendSealed>(task);
  if (current_ && !repeat && !other_way && !current_->stop.stop_requested() &&
      same(current_->task)) {
    return;
  }
  if (const auto queued = std::find_if(queue_.begin(), queue_.end(), same);
      queued != queue_.end()) {
    // The request itself also covers what was sealed before.
    if (std::holds_alternative<SendSealed>(*queued)) *queued = std::move(task);
    return;
  }
  queue_.push_back(std::move(task));
  changed_.notify_all();
}

void Agent::Cancel(const std::function<bool(const Task&)>& obsolete) {
  const std::lock_guard lock(mutex_);
  std::erase_if(queue_, obsolete);
  if (!current_ || !obsolete(current_->task)) return;
  current_->again = false;
  current_->stop.request_stop();
}

void Agent::Work(std::stop_token stop) {
  TaskRunner runner({channel_, state_, learner_, data_, clock_, site_, sessions_,
                     [this](const wire::FromSite& message) { return Tell(message); },
                     [this] {
                       const identity::SignedRoster roster = Roster();
                       const identity::RosterEntry* coordinator = roster.roster.Coordinator();
                       return coordinator == nullptr ? std::nullopt : coordinator->sealing_key;
                     },
                     [this](const Agreement& agreement) { return WeightFor(agreement); },
                     [this](std::stop_token s) { WaitToRetry(std::move(s)); },
                     options_.progress_interval, options_.threads});
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] {
      return !paused_ && (!queue_.empty() || (run_ended_ && options_.once));
    });
    if (stop.stop_requested()) return;
    if (queue_.empty()) {
      finished_ = true;
      if (session_ != nullptr) session_->Close();
      changed_.notify_all();
      return;
    }
    current_.emplace(std::move(queue_.front()));
    queue_.pop_front();
    const Task task = current_->task;
    std::stop_source task_stop = current_->stop;
    lock.unlock();
    {
      const std::stop_callback forward(stop, [&task_stop] { task_stop.request_stop(); });
      runner.Run(task, task_stop.get_token()).IgnoreError();  // logged and told already
    }
    lock.lock();
    if (current_->again) queue_.push_front(task);
    current_.reset();
  }
}

void Agent::WaitToRetry(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const std::uint64_t before = connections_;
  const Duration pause =
      session_ == nullptr ? options_.longest_wait : std::min(kRetryPause, options_.longest_wait);
  changed_.wait_for(lock, stop, pause, [&] { return connections_ != before; });
}

// ---- what the operator wants meanwhile

void Agent::Watch(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::error_code ignored;
    SetPaused(fs::exists(state_.folder().Paused(), ignored));
    TellDecisions();
    std::unique_lock lock(mutex_);
    if (reconnect_ && !current_ && queue_.empty() && session_ != nullptr) {
      reconnect_ = false;
      planned_end_ = true;
      session_->Close();
    }
    changed_.wait_for(lock, stop, options_.watch_interval, [] { return false; });
  }
}

void Agent::SetPaused(bool paused) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(paused_, paused) == paused) return;
  Log(LogLevel::kWarning, paused ? "paused" : "resumed",
      {{"next", paused ? "consilium-site resume" : "connects again"}});
  if (paused) {
    if (current_ && !current_->stop.stop_requested()) {
      current_->again = true;
      current_->stop.request_stop();
    }
    line_.request_stop();
    if (session_ != nullptr) session_->Close();
  }
  changed_.notify_all();
}

void Agent::TellDecisions() {
  {
    const std::lock_guard lock(mutex_);
    if (session_ == nullptr || paused_) return;  // the decision stays where it is
  }
  const std::lock_guard lock(consents_mutex_);
  const auto answers = consents_.Decided();
  if (!answers.ok()) {
    Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(answers.status().message())}});
    return;
  }
  for (const wire::InviteAnswer& answer : *answers) {
    if (const absl::Status told = Reply(answer); !told.ok()) {
      Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(told.message())}});
    }
  }
}

}  // namespace consilium::site_agent
