#include "site_agent/agent.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/sha256.h"
#include "site_agent/policy.h"

namespace consilium::site_agent {
namespace {

// Before a call is repeated while the standing connection is up.
constexpr Duration kRetryPause = std::chrono::seconds(1);

// Trying again would not help: somebody has to act. Everything else may pass.
bool NotTaken(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
         absl::IsFailedPrecondition(status);
}

absl::Status CheckData(const plan::Plan& plan, const datasets::SplitCounts& train) {
  if (train.patients < plan.data.minimum_patients) {
    return absl::FailedPreconditionError(StrCat("fewer training patients (", train.patients,
                                                ") than the plan asks (",
                                                plan.data.minimum_patients, ")"));
  }
  if (train.examples == 0) {
    return absl::FailedPreconditionError("no training example fits the plan");
  }
  if (train.positives == 0 || train.positives == train.examples) {
    return absl::FailedPreconditionError(StrCat("only one class of \"", plan.target.name,
                                                "\" among the training examples (",
                                                train.positives == 0 ? "no 1" : "no 0", ")"));
  }
  return absl::OkStatus();
}

}  // namespace

Agent::Agent(SiteId site, CoordinatorChannel& channel, SiteState& state, Learner& learner,
             LocalData& data, const Clock& clock, AgentOptions options)
    : site_(std::move(site)),
      channel_(channel),
      state_(state),
      data_(data),
      learner_(learner),
      clock_(clock),
      options_(options),
      backoff_(options.first_wait, options.longest_wait, options.backoff_seed) {}

absl::Status Agent::Run(std::stop_token stop) {
  const std::jthread worker([this](std::stop_token worker_stop) { Work(worker_stop); });
  bool waiting = false;
  while (true) {
    const std::uint64_t before = connections_;
    const absl::Status ended = Attend(stop);
    OnDisconnect();
    std::unique_lock lock(mutex_);
    if (finished_ || stop.stop_requested()) return absl::OkStatus();
    if (NotTaken(ended)) return ended;
    if (connections_ != before) {
      waiting = false;
      // One that broke at once counts as another failure: nobody should connect in a tight loop.
      if (clock_.Now() - connected_ >= options_.longest_wait) backoff_.Reset();
    }
    if (!std::exchange(waiting, true)) {
      Log(LogLevel::kWarning, "waiting_for_coordinator",
          {{"address", channel_.Address()},
           {"reason", ToStd(ended.message())},
           {"next",
            StrCat("tries again by itself, at least every ", ToReadable(options_.longest_wait))}});
    }
    const Duration wait = backoff_.Next();
    changed_.wait_for(lock, stop, wait, [this] { return finished_; });
  }
}

absl::Status Agent::Attend(std::stop_token stop) {
  ASSIGN_OR_RETURN(std::shared_ptr<Session> session, channel_.Attend(stop));
  RETURN_IF_ERROR(session->Send(wire::Hello{kVersion, kProtocolVersion}));
  ASSIGN_OR_RETURN(const wire::ToSite first, session->Next());
  const auto* welcome = std::get_if<wire::Welcome>(&first);
  if (welcome == nullptr) {
    return absl::InternalError("the coordinator did not begin with a welcome");
  }
  RETURN_IF_ERROR(CheckWelcome(*welcome));
  OnWelcome(*welcome, session);
  while (true) {
    ASSIGN_OR_RETURN(const wire::ToSite message, session->Next());
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
  return absl::OkStatus();
}

void Agent::OnWelcome(const wire::Welcome& welcome, std::shared_ptr<Session> session) {
  Log(LogLevel::kInfo, "connected",
      {{"federation", welcome.federation}, {"site", site_.value}, {"address", channel_.Address()}});
  {
    const std::lock_guard lock(mutex_);
    session_ = std::move(session);
    sealing_key_ = welcome.sealing_key;
    ++connections_;
    connected_ = clock_.Now();
    changed_.notify_all();
  }
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

absl::Status Agent::On(const wire::Welcome&) {
  return absl::InternalError("the coordinator sent a second welcome");
}

absl::StatusOr<DataOffer> Agent::Consider(const wire::Invite& invite) {
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(invite.plan_toml));
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(state_.folder().Policy()));
  RETURN_IF_ERROR(policy.Check(plan));
  ASSIGN_OR_RETURN(const DataOffer offer, data_.Count(plan));
  RETURN_IF_ERROR(CheckData(plan, offer.train));
  return offer;
}

absl::Status Agent::On(const wire::Invite& invite) {
  const absl::StatusOr<DataOffer> offer = Consider(invite);
  wire::InviteAnswer answer{invite.run, offer.ok()};
  if (offer.ok()) {
    answer.train_patients = offer->train.patients;
    answer.train_examples = offer->train.examples;
    answer.refused_files = offer->refused_files;
  } else {
    answer.reason = ToStd(offer.status().message());
  }
  RETURN_IF_ERROR(state_.RecordInvite(invite, answer.accepted, answer.reason, clock_.Now()));
  Log(LogLevel::kInfo, answer.accepted ? "invitation_accepted" : "invitation_declined",
      {{"run", invite.run.value},
       {"patients", answer.train_patients},
       {"examples", answer.train_examples},
       {"reason", answer.reason}});
  const std::string sent =
      StrCat(answer.accepted ? "accepted " : "declined ", answer.reason, " ", answer.train_patients,
             " ", answer.train_examples, " ", answer.refused_files);
  const Departure departure{clock_.Now(),
                            channel_.Address(),
                            "answer to an invitation",
                            AttemptKey{invite.run, 0, 0},
                            sent.size(),
                            crypto::Sha256(std::string_view(sent))};
  RETURN_IF_ERROR(state_.RecordDeparture(departure));
  Tell(answer);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::MakeInitialModel& request) {
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::TrainRequest& request) {
  // A newer attempt makes the older ones of its run pointless.
  Cancel([&](const Task& task) {
    const auto key = AttemptOf(task);
    return key && key->run == request.key.run && *key < request.key;
  });
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::EvaluateRequest& request) {
  Enqueue(request);
  return absl::OkStatus();
}

absl::Status Agent::On(const wire::AttemptClosed& closed) {
  Cancel([&](const Task& task) { return AttemptOf(task) == closed.key; });
  Log(LogLevel::kInfo, closed.counted ? "contribution_counted" : "contribution_not_counted",
      {{"attempt", closed.key.ToString()}, {"reason", closed.reason}});
  return state_.CloseTask(closed.key, closed.counted ? TaskState::kCounted : TaskState::kNotCounted,
                          closed.reason, clock_.Now());
}

absl::Status Agent::On(const wire::RunEnded& ended) {
  Cancel([&](const Task& task) {
    return RunOf(task) == ended.run && !std::holds_alternative<FetchPublished>(task);
  });
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
  if (current_ && !repeat && !current_->stop.stop_requested() && same(current_->task)) return;
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
  if (current_ && obsolete(current_->task)) current_->stop.request_stop();
}

void Agent::Work(std::stop_token stop) {
  TaskRunner runner({channel_, state_, learner_, data_, clock_, site_,
                     [this](const wire::FromSite& message) { return Tell(message); },
                     [this](std::stop_token s) { return AwaitSealingKey(std::move(s)); },
                     [this](std::stop_token s) { WaitToRetry(std::move(s)); },
                     options_.progress_interval});
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return !queue_.empty() || (run_ended_ && options_.once); });
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
    current_.reset();
  }
}

bool Agent::Tell(const wire::FromSite& message) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    session = session_;
  }
  return session != nullptr && session->Send(message).ok();
}

absl::StatusOr<crypto::X25519PublicKey> Agent::AwaitSealingKey(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return sealing_key_.has_value(); })) {
    return absl::CancelledError("stopped before the coordinator was connected");
  }
  return *sealing_key_;
}

void Agent::WaitToRetry(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const std::uint64_t before = connections_;
  const Duration pause =
      session_ == nullptr ? options_.longest_wait : std::min(kRetryPause, options_.longest_wait);
  changed_.wait_for(lock, stop, pause, [&] { return connections_ != before; });
}

}  // namespace consilium::site_agent
