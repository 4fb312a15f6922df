#pragma once

#include <cstdint>
#include <mutex>

#include "common/base/clock.h"

namespace consilium {

// Counts up from the machine's start, and nobody can set it. Its times are good for differences.
class SteadyClock final : public Clock {
 public:
  Time Now() const override;
};

// The time of day without jumps. It begins with what `clock` shows and goes by `steady`; when
// somebody sets `clock`, forward or back, it follows by a tenth of the time that passes. So what
// waits for a time is off by a tenth at most and neither hangs nor is over at once, and a time that
// passed is never negative. Not for what others compare with their own clocks (certificates).
// Thread-safe. Both clocks must outlive it.
class SmoothClock final : public Clock {
 public:
  SmoothClock(const Clock& clock, const Clock& steady);
  Time Now() const override;

 private:
  const Clock& clock_;
  const Clock& steady_;
  mutable std::mutex mutex_;
  mutable Time shown_;
  mutable Time seen_;             // on `steady`, when it showed that
  mutable std::int64_t slack_{};  // tenths of microseconds by which it may follow
};

}  // namespace consilium
