#pragma once

#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace consilium {

// Calls work() on `threads` threads (one or more), this one among them, and returns when all have
// ended: the first error, or OK.
template <class Work>
absl::Status OnThreads(int threads, const Work& work) {
  std::mutex mutex;
  absl::Status first;
  const auto run = [&] {
    const absl::Status status = work();
    const std::lock_guard lock(mutex);
    first.Update(status);
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(run);
    run();
  }
  return first;
}

}  // namespace consilium
