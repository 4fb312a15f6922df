#include "common/base/forward_clock.h"

#include <algorithm>

namespace consilium {

Time ForwardClock::Now() const {
  const std::lock_guard lock(mutex_);
  const Time now = clock_.Now();
  ahead_ = std::max(ahead_, latest_ - now);
  latest_ = now + ahead_;
  return latest_;
}

Duration ForwardClock::Ahead() const {
  Now();
  const std::lock_guard lock(mutex_);
  return ahead_;
}

}  // namespace consilium
