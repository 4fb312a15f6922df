#pragma once

// A site's agent: holds the standing connection to the coordinator, answers invitations and the
// steps of secure sessions at once, and hands tasks to one worker thread, so that the connection
// stays responsive while the site trains.
//
// What is open survives a lost connection, a killed agent and a restarted coordinator: updates in
// the outbox are sent, not trained again; secure sessions go on from the disk; evaluations already
// made are sent again; a task that was not finished begins anew with the same seed. A newer attempt
// of the same run, the end of the attempt or of the run, and Stop cancel what is being done.
//
// While STATE/paused is there nothing is done and nothing is sent: within a second the task stops
// and the connection is closed. What was to be done is gone on with afterwards.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/identity/identity.h"
#include "common/identity/roster.h"
#include "site_agent/backoff.h"
#include "site_agent/consents.h"
#include "site_agent/coordinator_channel.h"
#include "site_agent/learner.h"
#include "site_agent/secure_sessions.h"
#include "site_agent/site_state.h"
#include "site_agent/task_runner.h"

namespace consilium::site_agent {

struct AgentOptions {
  bool once = false;                       // Run() returns after one run has ended
  Duration first_wait = FromSeconds(0.1);  // before connecting again; doubles up to
  Duration longest_wait = FromSeconds(30);
  Duration progress_interval = FromSeconds(0.5);
  Duration watch_interval = FromSeconds(0.2);  // between looks at what the operator wants
  std::uint64_t backoff_seed = 0;
  int threads = 1;  // for masking
};

class Agent {
 public:
  // `identity` is who the certificate behind `channel` says we are, and `roster` what it has
  // pinned. All references must outlive the agent; of `identity` only the certificate may change.
  Agent(const identity::Identity& identity, identity::PinnedRoster roster,
        CoordinatorChannel& channel, SiteState& state, Learner& learner, LocalData& data,
        const Clock& clock, AgentOptions options);

  // Works until `stop` is requested (OK), one run has ended with options.once (OK), or going on
  // needs a person: the coordinator does not take this site, or this site does not believe the
  // coordinator (kUnauthenticated, kPermissionDenied; kFailedPrecondition: versions differ, a fork
  // of the audit log). A coordinator that is away, or has not admitted this site yet, is waited
  // for. Call once.
  absl::Status Run(std::stop_token stop);

  // Ends the connection as soon as no task needs it; Run() makes a new one at once.
  void ReconnectWhenIdle();

 private:
  // One connection from Hello to its end.
  absl::Status Attend(std::stop_token stop);
  absl::Status CheckWelcome(const wire::Welcome& welcome) const;
  absl::Status CheckSealingKey(const wire::Welcome& welcome) const;
  void OnWelcome(std::shared_ptr<Session> session);
  void SendOutbox();
  void OnDisconnect();
  // Waits until the connection is to be made again. `lock` holds mutex_.
  void AwaitNext(const absl::Status& ended, bool was_connected, std::unique_lock<std::mutex>& lock,
                 std::stop_token stop);

  absl::Status On(const wire::Welcome& welcome);
  absl::Status On(const wire::Invite& invite);
  absl::Status On(const wire::MakeInitialModel& request);
  absl::Status On(const wire::TrainRequest& request);
  absl::Status On(const wire::EvaluateRequest& request);
  absl::Status On(const wire::AttemptClosed& closed);
  absl::Status On(const wire::RunEnded& ended);
  absl::Status On(const wire::RosterFile& roster);
  absl::Status On(const wire::SecureNotice& notice);
  absl::Status On(const wire::LogExtension& extension);

  absl::Status Reply(const wire::InviteAnswer& answer);
  absl::Status Reply(const wire::SecureAnswer& answer);
  // Opens the session that a request is for, if it is for one; kPermissionDenied when it ought to
  // be, or ought not.
  absl::Status OpenSession(const std::optional<secagg::SessionConfig>& config,
                           const secagg::SessionKey& key, const ModelId& model);
  // Refuses a request or a session: tells the coordinator, cancels the task, wipes the session.
  absl::Status RefuseSession(const secagg::SessionKey& key, const absl::Status& why);
  absl::StatusOr<secagg::SiteView> ViewFor(const secagg::SessionKey& session) const;
  double WeightFor(const Agreement& agreement) const;
  identity::SignedRoster Roster() const;

  void Enqueue(Task task);
  // Drops queued tasks and stops the current one, where `obsolete` says so.
  void Cancel(const std::function<bool(const Task&)>& obsolete);
  void Work(std::stop_token stop);
  void Watch(std::stop_token stop);
  void SetPaused(bool paused);
  void TellDecisions();
  bool Tell(const wire::FromSite& message);
  void WaitToRetry(std::stop_token stop);

  const identity::Identity& identity_;
  const SiteId site_;
  CoordinatorChannel& channel_;
  SiteState& state_;
  LocalData& data_;
  Learner& learner_;
  const Clock& clock_;
  const AgentOptions options_;
  Backoff backoff_;
  SystemRandom random_;

  mutable std::mutex roster_mutex_;  // a leaf: nothing else is locked under it
  identity::PinnedRoster roster_;
  SecureSessions sessions_;

  std::mutex consents_mutex_;
  Consents consents_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::shared_ptr<Session> session_;  // shared with a Send under way on another thread
  std::stop_source line_;             // of the present connection, or the try to make one
  std::uint64_t connections_ = 0;
  Time connected_{};  // the last time
  bool paused_ = false;
  bool reconnect_ = false;    // when idle
  bool planned_end_ = false;  // of the present connection
  bool waiting_ = false;      // that the coordinator is waited for has been said
  std::deque<Task> queue_;
  struct Current {
    Task task;
    std::stop_source stop;
    bool again = false;  // stopped by a pause only
  };
  std::optional<Current> current_;
  bool run_ended_ = false;
  bool finished_ = false;
};

}  // namespace consilium::site_agent
