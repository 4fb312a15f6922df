#include "common/base/smooth_clock.h"

#include <algorithm>

namespace consilium {

Time SteadyClock::Now() const {
  return Time(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

SmoothClock::SmoothClock(const Clock& clock, const Clock& steady)
    : clock_(clock), steady_(steady), shown_(clock.Now()), seen_(steady.Now()) {}

Time SmoothClock::Now() const {
  constexpr std::int64_t kTenth = 10;
  const std::lock_guard lock(mutex_);
  const Time seen = steady_.Now();
  const Duration passed = std::max(seen - seen_, Duration{});
  seen_ = seen;
  slack_ += passed.count();
  const Duration most(slack_ / kTenth);
  slack_ %= kTenth;
  shown_ += passed;
  shown_ += std::clamp(clock_.Now() - shown_, -most, most);
  return shown_;
}

}  // namespace consilium
