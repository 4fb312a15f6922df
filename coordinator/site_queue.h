#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "common/wire/protocol.h"

namespace consilium::coordinator {

// Messages on their way to one connected site. Thread-safe.
class SiteQueue {
 public:
  void Push(wire::ToSite message) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    messages_.push_back(std::move(message));
    changed_.notify_one();
  }
  // Waits for the next message; none when the queue is closed.
  std::optional<wire::ToSite> Next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !messages_.empty(); });
    if (closed_) return std::nullopt;
    wire::ToSite message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  // The next message if one is there; none also when the queue is closed.
  std::optional<wire::ToSite> TryNext() {
    const std::lock_guard lock(mutex_);
    if (closed_ || messages_.empty()) return std::nullopt;
    wire::ToSite message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  bool closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  // What is still queued is dropped: the engine sends it again when the site is back.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::ToSite> messages_;
  bool closed_ = false;
};

}  // namespace consilium::coordinator
