#include "site_agent/agent.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "site_agent/log_follower.h"

namespace consilium::site_agent {

Agent::Agent(const identity::Identity& identity, identity::PinnedRoster roster,
             CoordinatorChannel& channel, SiteState& state, Learner& learner, LocalData& data,
             const Clock& clock, RandomSource& random, AgentOptions options)
    : identity_(identity),
      site_(identity.name),
      channel_(channel),
      state_(state),
      data_(data),
      learner_(learner),
      clock_(clock),
      options_(options),
      roster_(std::move(roster)),
      sessions_(identity, state, clock, random,
                [this](const secagg::SessionKey& session) { return ViewFor(session); }),
      consents_(state, data, clock),
      queue_(options.first_wait, options.longest_wait, options.backoff_seed),
      runner_(RunnerContext(random)) {
  if (Exists(state_.folder().Paused())) SetPaused(true);
}

TaskContext Agent::RunnerContext(RandomSource& random) {
  return {.channel = channel_,
          .state = state_,
          .learner = learner_,
          .data = data_,
          .clock = clock_,
          .site = site_,
          .sessions = sessions_,
          .state_key = identity_.state_key,
          .random = random,
          .tell = [this](const wire::FromSite& message) { return Tell(message); },
          .sealing_key = [this] { return SealingKey(); },
          .weight = [this](const Agreement& agreement) { return WeightFor(agreement); },
          .progress_interval = options_.progress_interval,
          .threads = options_.threads};
}

identity::SignedRoster Agent::Roster() const {
  const std::lock_guard lock(roster_mutex_);
  return roster_.current();
}

std::optional<crypto::X25519PublicKey> Agent::SealingKey() const {
  const identity::SignedRoster roster = Roster();
  const identity::RosterEntry* coordinator = roster.roster.Coordinator();
  return coordinator == nullptr ? std::nullopt : coordinator->sealing_key;
}

absl::Status Agent::MayWork() { return CheckNoFork(state_); }

// ---- the connection

absl::Status Agent::Begin(std::shared_ptr<Session> session) {
  RETURN_IF_ERROR(MayWork());
  {
    const std::lock_guard lock(mutex_);
    if (paused_) return absl::CancelledError("paused");
    connection_ = {.session = session};
    planned_end_ = false;
  }
  ASSIGN_OR_RETURN(std::vector<RunId> open, OpenRuns());
  return session->Send(wire::Hello{kVersion, kProtocolVersion, std::move(open)});
}

// That this site accepted and has not heard the end of.
absl::StatusOr<std::vector<RunId>> Agent::OpenRuns() {
  ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, state_.Runs());
  std::vector<RunId> open;
  for (auto run = runs.rbegin(); run != runs.rend() && open.size() < wire::kMostOpenRuns; ++run) {
    if (run->consent == Consent::kAccepted && run->outcome.empty()) open.push_back(run->run);
  }
  return open;
}

absl::Status Agent::Take(const wire::ToSite& message) {
  std::optional<wire::Welcome> welcome;
  {
    const std::lock_guard lock(mutex_);
    welcome = connection_.welcome;
  }
  if (!welcome) {
    const auto* first = std::get_if<wire::Welcome>(&message);
    if (first != nullptr) return OnWelcome(*first);
    return absl::InternalError("the coordinator did not begin with a welcome");
  }
  if (!std::holds_alternative<wire::RosterFile>(message)) {
    RETURN_IF_ERROR(CheckSealingKey(*welcome));
  }
  RETURN_IF_ERROR(std::visit([this](const auto& m) { return On(m); }, message));
  TrustIfRostered();
  return absl::OkStatus();
}

bool Agent::End() {
  std::shared_ptr<Session> session;
  bool planned = false;
  {
    const std::lock_guard lock(mutex_);
    session = std::exchange(connection_, {}).session;
    planned = std::exchange(planned_end_, false);
  }
  if (session != nullptr) session->Close();
  return planned;
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

absl::Status Agent::OnWelcome(const wire::Welcome& welcome) {
  RETURN_IF_ERROR(CheckWelcome(welcome));
  Log(LogLevel::kInfo, "connected",
      {{"federation", identity_.federation},
       {"site", site_.value},
       {"address", channel_.Address()}});
  {
    const std::lock_guard lock(mutex_);
    connection_.welcome = welcome;
  }
  queue_.TryAgain(clock_.Now());
  Changed();
  TrustIfRostered();
  return absl::OkStatus();
}

void Agent::TrustIfRostered() {
  {
    const std::lock_guard lock(mutex_);
    if (connection_.trusted || !connection_.welcome) return;
    connection_.trusted = CheckSealingKey(*connection_.welcome).ok();
    if (!connection_.trusted) return;
  }
  SendOutbox();
}

// What an earlier process did not come to.
void Agent::SendOutbox() {
  const auto runs = state_.Runs();
  if (runs.ok() && !runs->empty() && runs->back().published_model) {
    Enqueue(FetchPublished{runs->back().run, *runs->back().published_model});  // or it is there
  }
  const auto tasks = state_.Tasks();
  if (!tasks.ok()) return;
  for (const TaskRecord& task : *tasks) {
    if (task.state == TaskState::kSealed) Enqueue(SendSealed{task.header.key});
  }
}

bool Agent::Tell(const wire::FromSite& message) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    if (!paused_ && connection_.welcome) session = connection_.session;
  }
  return session != nullptr && session->Send(message).ok();
}

// ---- tasks

void Agent::Enqueue(Task task) {
  queue_.Add(std::move(task), clock_.Now());
  Changed();
}

bool Agent::WorkOnce(std::stop_token stop) {
  std::optional<TaskQueue::Work> work = queue_.Take(clock_.Now());
  if (!work) return false;
  TaskOutcome outcome = TaskOutcome::kEnded;
  {
    const std::stop_callback forward(stop, [&work] { work->stop.request_stop(); });
    outcome = runner_.Run(work->task, work->resumed, work->stop.get_token());
  }
  if (outcome == TaskOutcome::kEnded && !work->stop.stop_requested()) {
    if (auto next = runner_.Afterwards(work->task)) queue_.Add(*std::move(next), clock_.Now());
  }
  queue_.Finish(outcome, clock_.Now());
  Changed();
  return true;
}

std::optional<Time> Agent::NextWork() const { return queue_.Next(); }

bool Agent::finished() const {
  const std::lock_guard lock(mutex_);
  return options_.once && run_ended_ && queue_.empty();
}

// ---- what the operator wants meanwhile

void Agent::Watch() {
  SetPaused(Exists(state_.folder().Paused()));
  TellDecisions();
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    if (!reconnect_ || !connection_.welcome || !queue_.idle()) return;
    reconnect_ = false;
    planned_end_ = true;
    session = connection_.session;
  }
  session->Close();
}

bool Agent::paused() const {
  const std::lock_guard lock(mutex_);
  return paused_;
}

void Agent::ReconnectWhenIdle() {
  const std::lock_guard lock(mutex_);
  reconnect_ = true;
}

void Agent::SetPaused(bool paused) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(paused_, paused) == paused) return;
    if (paused) session = connection_.session;
  }
  Log(LogLevel::kWarning, paused ? "paused" : "resumed",
      {{"next", paused ? "consilium-site resume" : "connects again"}});
  queue_.Pause(paused);
  if (session != nullptr) session->Close();
  Changed();
}

void Agent::TellDecisions() {
  {
    const std::lock_guard lock(mutex_);
    // Without a connection the decision stays where it is.
    if (!connection_.welcome || paused_) return;
  }
  absl::StatusOr<std::vector<wire::InviteAnswer>> answers;
  {
    const std::lock_guard lock(consents_mutex_);
    answers = consents_.Decided();
  }
  absl::Status told = answers.status();
  for (std::size_t i = 0; told.ok() && i < answers->size(); ++i) told = Reply((*answers)[i]);
  if (!told.ok()) Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(told.message())}});
}

}  // namespace consilium::site_agent
