#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "common/wire/protocol.h"

namespace consilium::coordinator {

// Messages on their way to one connected site. Thread-safe.
class SiteQueue {
 public:
  // More than these wait only for a site that takes nothing: its queue is closed.
  static constexpr std::size_t kMostMessages = 1000;

  void Push(wire::ToSite message) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      if (messages_.size() < kMostMessages) {
        messages_.push_back(std::move(message));
      } else {
        closed_ = true;
        messages_.clear();
      }
    }
    Tell();
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
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    Tell();
  }
  // `changed` is called now, and after each Push and Close from whatever thread they come. It must
  // not wait for anything.
  void OnChange(std::function<void()> changed) {
    {
      const std::lock_guard lock(mutex_);
      on_change_ = std::make_shared<const std::function<void()>>(std::move(changed));
    }
    Tell();
  }

 private:
  void Tell() {
    std::shared_ptr<const std::function<void()>> tell;
    {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
      tell = on_change_;
    }
    if (tell) (*tell)();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::ToSite> messages_;
  bool closed_ = false;
  std::shared_ptr<const std::function<void()>> on_change_;  // shared: called without the lock
};

}  // namespace consilium::coordinator
