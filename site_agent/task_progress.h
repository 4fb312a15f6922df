#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/progress.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

// Passes a task's progress on to the coordinator, at most once an interval and at each new step.
// The last number in the detail that follows the word "loss" is sent as the loss; no other text of
// the detail leaves the site. Thread-safe.
class TaskProgress final : public Progress {
 public:
  using Tell = std::function<bool(const wire::FromSite&)>;
  TaskProgress(AttemptKey key, Tell tell, const Clock& clock, Duration interval,
               std::stop_token stop);

  void Report(std::string_view step, std::uint64_t done, std::uint64_t total,
              std::string_view detail = {}) override;
  bool Cancelled() const override { return stop_.stop_requested(); }

 private:
  const AttemptKey key_;
  const Tell tell_;
  const Clock& clock_;
  const Duration interval_;
  const std::stop_token stop_;
  std::mutex mutex_;
  std::string step_;
  Time told_{};
};

}  // namespace consilium::site_agent
