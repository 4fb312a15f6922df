#include "site_agent/agent_loop.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "site_agent/backoff.h"

namespace consilium::site_agent {
namespace {

// Trying again would not help: somebody has to act. Everything else may pass.
bool NotTaken(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
         absl::IsFailedPrecondition(status);
}

class AgentLoop {
 public:
  AgentLoop(Agent& agent, CoordinatorChannel& channel, const Clock& clock,
            const AgentOptions& options, std::stop_token stop)
      : agent_(agent),
        channel_(channel),
        clock_(clock),
        options_(options),
        stop_(std::move(stop)),
        backoff_(options.first_wait, options.longest_wait, options.backoff_seed) {
    agent_.OnChange([this] { Wake(); });
  }
  ~AgentLoop() { agent_.OnChange({}); }

  absl::Status Run() {
    RETURN_IF_ERROR(agent_.MayWork());
    const std::jthread worker([this](std::stop_token stop) { Work(stop); });
    const std::jthread watcher([this](std::stop_token stop) { Watch(stop); });
    while (true) {
      AwaitResumption();
      if (stop_.stop_requested()) return absl::OkStatus();
      bool welcomed = false;
      const absl::Status ended = Attend(&welcomed);
      const bool planned = agent_.End();
      if (agent_.finished() || stop_.stop_requested()) return absl::OkStatus();
      if (planned || agent_.paused()) continue;
      if (NotTaken(ended)) return ended;
      AwaitNext(ended, welcomed);
      if (agent_.finished()) return absl::OkStatus();
    }
  }

 private:
  // One connection from Hello to its end.
  absl::Status Attend(bool* welcomed) {
    std::stop_source line;
    const std::stop_callback forward(stop_, [&line] { line.request_stop(); });
    {
      const std::lock_guard lock(mutex_);
      line_ = line;
    }
    // Asked after the line is known, so that one of the two ends what begins now.
    if (agent_.paused() || agent_.finished()) return absl::CancelledError("not wanted now");
    ASSIGN_OR_RETURN(const std::shared_ptr<Session> session, channel_.Attend(line.get_token()));
    RETURN_IF_ERROR(agent_.Begin(session));
    while (true) {
      ASSIGN_OR_RETURN(const wire::ToSite message, session->Next());
      RETURN_IF_ERROR(agent_.Take(message));
      if (!std::exchange(*welcomed, true)) connected_ = clock_.Now();
    }
  }

  void CutLine() {
    std::stop_source line(std::nostopstate);
    {
      const std::lock_guard lock(mutex_);
      line = line_;
    }
    line.request_stop();  // without the lock: it ends the connection
  }

  void AwaitResumption() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop_, [this] { return !agent_.paused(); });
  }

  // Waits until the connection is to be made again.
  void AwaitNext(const absl::Status& ended, bool was_connected) {
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
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop_, backoff_.Next(), [this] { return agent_.finished(); });
  }

  void Work(std::stop_token stop) {
    while (!stop.stop_requested()) {
      const std::uint64_t seen = Changes();
      if (agent_.WorkOnce(stop)) continue;
      if (agent_.finished()) CutLine();
      const std::optional<Time> next = agent_.NextWork();
      std::unique_lock lock(mutex_);
      const auto changed = [&] { return changes_ != seen; };
      if (next) {
        changed_.wait_for(lock, stop, std::max(*next - clock_.Now(), Duration{}), changed);
      } else {
        changed_.wait(lock, stop, changed);
      }
    }
  }

  void Watch(std::stop_token stop) {
    while (!stop.stop_requested()) {
      agent_.Watch();
      if (agent_.paused()) CutLine();
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, options_.watch_interval, [] { return false; });
    }
  }

  void Wake() {
    const std::lock_guard lock(mutex_);
    ++changes_;
    changed_.notify_all();
  }
  std::uint64_t Changes() {
    const std::lock_guard lock(mutex_);
    return changes_;
  }

  Agent& agent_;
  CoordinatorChannel& channel_;
  const Clock& clock_;
  const AgentOptions options_;
  const std::stop_token stop_;

  // Of the connection's thread.
  Backoff backoff_;
  Time connected_{};      // the last time
  bool waiting_ = false;  // that the coordinator is waited for has been said

  std::mutex mutex_;  // guards what follows; taken before the agent's own
  std::condition_variable_any changed_;
  std::uint64_t changes_ = 0;
  std::stop_source line_{std::nostopstate};  // of the connection, or the try to make one
};

}  // namespace

absl::Status RunAgent(Agent& agent, CoordinatorChannel& channel, const Clock& clock,
                      const AgentOptions& options, std::stop_token stop) {
  return AgentLoop(agent, channel, clock, options, std::move(stop)).Run();
}

}  // namespace consilium::site_agent
