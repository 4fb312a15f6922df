#pragma once

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace consilium::site_agent {

// How long to wait before trying again: doubles from `first` to `longest`, each wait drawn
// uniformly from its upper half, so that a hundred sites do not come back in step.
class Backoff {
 public:
  Backoff(Duration first, Duration longest, std::uint64_t seed)
      : first_(first), longest_(longest), next_(first), random_(seed) {}

  Duration Next() {
    const Duration wait = FromSeconds(Seconds(next_) * random_.Uniform(0.5, 1.0));
    next_ = std::min(2 * next_, longest_);
    return wait;
  }
  void Reset() { next_ = first_; }

 private:
  Duration first_, longest_;
  Duration next_;
  SeededRandom random_;
};

}  // namespace consilium::site_agent
