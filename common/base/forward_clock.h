#pragma once

#include <mutex>

#include "common/base/clock.h"

namespace consilium {

// Another clock that never goes back: when that one is set back, this one goes on from where it
// was. What waits for a time, or counts the time since something, then neither hangs for as long
// as the clock was set back nor sees a negative time. Set forward, it follows. It stays ahead until
// the process ends, so it is not for what others compare with their own clocks (certificates).
// Thread-safe. The other clock must outlive it.
class ForwardClock final : public Clock {
 public:
  explicit ForwardClock(const Clock& clock) : clock_(clock) {}
  Time Now() const override;
  // Of the other clock.
  Duration Ahead() const;

 private:
  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable Time latest_{};
  mutable Duration ahead_{};
};

}  // namespace consilium
