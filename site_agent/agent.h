#pragma once

// A site's agent: holds the standing connection to the coordinator, answers invitations, and hands
// tasks to one worker thread, so that the connection stays responsive while the site trains.
//
// What is open survives a lost connection, a killed agent and a restarted coordinator: sealed
// updates are sent, not trained again; evaluations already made are sent again; a task that was not
// finished begins anew with the same seed. A newer attempt of the same run, the end of the attempt
// or of the run, and Stop cancel what is being done.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "site_agent/backoff.h"
#include "site_agent/coordinator_channel.h"
#include "site_agent/learner.h"
#include "site_agent/site_state.h"
#include "site_agent/task_runner.h"

namespace consilium::site_agent {

struct AgentOptions {
  bool once = false;                       // Run() returns after one run has ended
  Duration first_wait = FromSeconds(0.1);  // before connecting again; doubles up to
  Duration longest_wait = FromSeconds(30);
  Duration progress_interval = FromSeconds(0.5);
  std::uint64_t backoff_seed = 0;
};

class Agent {
 public:
  // `site` is who the certificate behind `channel` says we are. All references must outlive the
  // agent.
  Agent(SiteId site, CoordinatorChannel& channel, SiteState& state, Learner& learner,
        LocalData& data, const Clock& clock, AgentOptions options);

  // Works until `stop` is requested (OK), one run has ended with options.once (OK), or the
  // coordinator does not take this site (kUnauthenticated, kPermissionDenied, kFailedPrecondition:
  // versions differ). A coordinator that is away is waited for. Call once.
  absl::Status Run(std::stop_token stop);

 private:
  // One connection from Hello to its end.
  absl::Status Attend(std::stop_token stop);
  absl::Status CheckWelcome(const wire::Welcome& welcome) const;
  void OnWelcome(const wire::Welcome& welcome, std::shared_ptr<Session> session);
  void OnDisconnect();

  absl::Status On(const wire::Welcome& welcome);
  absl::Status On(const wire::Invite& invite);
  absl::Status On(const wire::MakeInitialModel& request);
  absl::Status On(const wire::TrainRequest& request);
  absl::Status On(const wire::EvaluateRequest& request);
  absl::Status On(const wire::AttemptClosed& closed);
  absl::Status On(const wire::RunEnded& ended);
  absl::StatusOr<DataOffer> Consider(const wire::Invite& invite);

  void Enqueue(Task task);
  // Drops queued tasks and stops the current one, where `obsolete` says so.
  void Cancel(const std::function<bool(const Task&)>& obsolete);
  void Work(std::stop_token stop);
  bool Tell(const wire::FromSite& message);
  absl::StatusOr<crypto::X25519PublicKey> AwaitSealingKey(std::stop_token stop);
  void WaitToRetry(std::stop_token stop);

  const SiteId site_;
  CoordinatorChannel& channel_;
  SiteState& state_;
  LocalData& data_;
  Learner& learner_;
  const Clock& clock_;
  const AgentOptions options_;
  Backoff backoff_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::shared_ptr<Session> session_;  // shared with a Send under way on another thread
  std::optional<crypto::X25519PublicKey> sealing_key_;
  std::uint64_t connections_ = 0;
  Time connected_{};  // the last time
  std::deque<Task> queue_;
  struct Current {
    Task task;
    std::stop_source stop;
  };
  std::optional<Current> current_;
  bool run_ended_ = false;
  bool finished_ = false;
};

}  // namespace consilium::site_agent
