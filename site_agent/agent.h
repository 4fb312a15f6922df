#pragma once

// A site's agent: answers the coordinator's invitations and the steps of secure sessions at once,
// and carries out tasks one after another. It has no threads of its own and never waits: whoever
// drives it (agent_loop.h; a simulation) brings it connections, messages and time.
//
// What is open survives a lost connection, a killed agent and a restarted coordinator: updates in
// the outbox are sent, not trained again; secure sessions go on from the disk; evaluations already
// made are sent again; a task that was not finished begins anew with the same seed. A newer attempt
// of the same run, the end of the attempt or of the run, and Stop cancel what is being done.
//
// While STATE/paused is there nothing is done and nothing is sent: Watch() stops the task and ends
// the connection. What was to be done is gone on with afterwards.
//
// Thread-safe: one thread may be in Begin(), Take() or End(), one in WorkOnce() and one in Watch(),
// at the same time. No lock is held while the channel, its session or the learner is called, so
// that Take() may also be called from inside of such a call.

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
#include "site_agent/consents.h"
#include "site_agent/coordinator_channel.h"
#include "site_agent/learner.h"
#include "site_agent/secure_sessions.h"
#include "site_agent/site_state.h"
#include "site_agent/task_queue.h"
#include "site_agent/task_runner.h"

namespace consilium::site_agent {

struct AgentOptions {
  bool once = false;                       // the agent has finished when one run has ended
  Duration first_wait = FromSeconds(0.1);  // before connecting or a call again; doubles up to
  Duration longest_wait = FromSeconds(30);
  Duration progress_interval = FromSeconds(0.5);
  Duration watch_interval = FromSeconds(0.2);  // between looks at what the operator wants
  std::uint64_t backoff_seed = 0;
  int threads = 1;  // for masking
};

class Agent {
 public:
  // `identity` is who the certificate behind `channel` says we are, and `roster` what it has
  // pinned. `random` makes keys; thread-safe, when
  // the agent is used by several threads. All references must outlive the agent; of
  // `identity` only the certificate may change.
  Agent(const identity::Identity& identity, identity::PinnedRoster roster,
        CoordinatorChannel& channel, SiteState& state, Learner& learner, LocalData& data,
        const Clock& clock, RandomSource& random, AgentOptions options);

  // Called, without a lock, whenever NextWork(), finished() or paused() may have changed. Set it
  // before the agent is used by more than one thread.
  void OnChange(std::function<void()> changed) { changed_ = std::move(changed); }

  // kFailedPrecondition: the agent does nothing before a person has acted (the audit log forked).
  absl::Status MayWork();

  // ---- one connection after another

  // A new connection: says Hello over it.
  absl::Status Begin(std::shared_ptr<Session> session);
  // The coordinator's next message, a Welcome first. An error ends the connection: End() it. With
  // kUnauthenticated, kPermissionDenied or kFailedPrecondition another one would not help: the
  // coordinator does not take this site, or this site does not believe the coordinator, or their
  // versions differ, or a person has to act. Everything else may pass.
  absl::Status Take(const wire::ToSite& message);
  // The connection is gone, or is to be. True: the agent wanted that (ReconnectWhenIdle), and the
  // next one may be made at once.
  bool End();

  // ---- tasks

  // Carries out the next task that is ready, as far as it goes without waiting: for another try,
  // for the other sites' shares. False: none is.
  bool WorkOnce(std::stop_token stop);
  // When WorkOnce() has something to do: not later than now, or at a time to come (another try).
  // None: when something happens.
  std::optional<Time> NextWork() const;

  // ---- the operator

  // Looks at what the operator wants meanwhile: a pause, or that runs are approved or refused.
  void Watch();
  bool paused() const;

  // With options.once: one run has ended and there is nothing left to do.
  bool finished() const;
  // Watch() ends the connection as soon as no task needs it.
  void ReconnectWhenIdle();

 private:
  absl::Status CheckWelcome(const wire::Welcome& welcome) const;
  absl::Status CheckSealingKey(const wire::Welcome& welcome) const;
  absl::Status OnWelcome(const wire::Welcome& welcome);
  // The coordinator's key may have changed: the roster that says so then comes before all else.
  void TrustIfRostered();
  absl::StatusOr<std::vector<RunId>> OpenRuns();
  void SendOutbox();

  absl::Status On(const wire::Welcome& welcome);
  absl::Status On(const wire::Invite& invite);
  absl::Status On(const wire::MakeInitialModel& request);
  absl::Status On(const wire::TrainRequest& request);
  absl::Status On(const wire::EvaluateRequest& request);
  absl::Status On(const wire::DescribeRequest& request);
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
  std::optional<crypto::X25519PublicKey> SealingKey() const;  // the coordinator's, as rostered

  TaskContext RunnerContext(RandomSource& random);
  void Enqueue(Task task);
  void SetPaused(bool paused);
  void TellDecisions();
  bool Tell(const wire::FromSite& message);
  void Changed() const {
    if (changed_) changed_();
  }

  const identity::Identity& identity_;
  const SiteId site_;
  CoordinatorChannel& channel_;
  SiteState& state_;
  LocalData& data_;
  Learner& learner_;
  const Clock& clock_;
  const AgentOptions options_;
  std::function<void()> changed_;

  mutable std::mutex roster_mutex_;  // a leaf: nothing else is locked under it
  identity::PinnedRoster roster_;
  SecureSessions sessions_;

  std::mutex consents_mutex_;
  Consents consents_;

  TaskQueue queue_;
  TaskRunner runner_;  // of the thread in WorkOnce()

  mutable std::mutex mutex_;  // guards what follows
  struct Connection {
    std::shared_ptr<Session> session;  // shared with a Send under way on another thread
    std::optional<wire::Welcome> welcome;
    bool trusted = false;  // its sealing key is the roster's
  };
  Connection connection_;
  bool paused_ = false;
  bool reconnect_ = false;    // when idle
  bool planned_end_ = false;  // of the present connection
  bool run_ended_ = false;
};

}  // namespace consilium::site_agent
