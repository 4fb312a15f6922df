#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "common/wire/protocol.h"

namespace consilium::coordinator {

// The events of one run on their way to one who watches it: each once and in order, first those
// that the ledger holds, then those that come. Thread-safe.
class RunWatch {
 public:
  explicit RunWatch(std::uint64_t after) : last_(after) {}

  // An event out of the ledger or from the conductor. One that was pushed before is left out.
  // Progress (which has no sequence) is left out when nobody keeps up with it.
  void Push(const wire::RunEvent& event) {
    std::lock_guard lock(mutex_);
    const bool progress = event.sequence == 0;
    if (ended_ || (progress ? events_.size() >= kManyEvents : event.sequence <= last_)) return;
    if (!progress) last_ = event.sequence;
    ended_ = event.kind == wire::RunEventKind::kEnded;
    events_.push_back(event);
    changed_.notify_all();
  }

  // Waits at most `patience` for events. False when all were given and none will come.
  bool Next(Duration patience, std::vector<wire::RunEvent>* events) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [this] { return ended_ || !events_.empty(); });
    events->assign(events_.begin(), events_.end());
    events_.clear();
    return !events->empty() || !ended_;
  }

  void Close() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

 private:
  static constexpr std::size_t kManyEvents = 256;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::RunEvent> events_;
  std::uint64_t last_;
  bool ended_ = false;
};

}  // namespace consilium::coordinator
