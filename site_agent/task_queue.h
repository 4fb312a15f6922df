#pragma once

// What an agent has to do and in which order: tasks that are ready, those that wait for another
// try, those that wait for the other sites' shares, and the one being carried out. Thread-safe.

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "common/base/clock.h"
#include "site_agent/backoff.h"
#include "site_agent/task.h"

namespace consilium::site_agent {

class TaskQueue {
 public:
  // Before another try a task waits `first_wait`, then longer, up to `longest_wait`.
  TaskQueue(Duration first_wait, Duration longest_wait, std::uint64_t seed)
      : first_wait_(first_wait), longest_wait_(longest_wait), seed_(seed) {}

  // Unless the same work is waiting or being done. One that waited for shares is ready again. What
  // is done for the site alone (Personalise) gives way: it is stopped, and done again afterwards;
  // of one run only the newest is done.
  void Add(Task task, Time now);
  // Drops what is waiting, and stops what is being done, where `obsolete` says so.
  void Cancel(const std::function<bool(const Task&)>& obsolete);
  // A new connection: what waited for another try is ready, and waits as at first from then on.
  void TryAgain(Time now);
  // The other sites' shares of this session have come.
  void TakeMasks(const secagg::SessionKey& session, Time now);
  // While paused nothing is taken. What is being done is stopped, and done again afterwards.
  void Pause(bool paused);

  struct Work {
    Task task;
    std::stop_source stop;
    bool resumed = false;  // nobody has asked for it again since it was Finish()ed last
  };
  // The first that is ready, to be carried out; one at a time. Finish() says what became of it.
  std::optional<Work> Take(Time now);
  void Finish(TaskOutcome outcome, Time now);

  // When Take() has something; none: nothing is queued, all wait for shares, or it is paused.
  std::optional<Time> Next() const;
  bool empty() const;  // nothing is waiting, but perhaps for shares, and nothing being done
  bool idle() const;   // nor is anything waiting for shares

 private:
  struct Entry {
    Task task;
    Time ready{};
    Backoff backoff;
    bool resumed = false;
  };
  struct Current {
    Entry entry;
    std::stop_source stop;
    bool again = false;      // stopped by a pause only
    bool gives_way = false;  // stopped for other work only
    bool try_again = false;  // there was a new connection since
    bool masks_came = false;
  };
  Entry MakeEntry(Task task, Time now) const {
    return {std::move(task), now, Backoff(first_wait_, longest_wait_, seed_)};
  }
  bool Queued(const Task& task) const;
  void AddQuietly(Task task, Time now);  // mutex_ is held

  const Duration first_wait_, longest_wait_;
  const std::uint64_t seed_;
  mutable std::mutex mutex_;  // guards what follows
  std::deque<Entry> queue_;
  std::vector<Entry> await_masks_;
  std::optional<Current> current_;
  bool paused_ = false;
};

}  // namespace consilium::site_agent
