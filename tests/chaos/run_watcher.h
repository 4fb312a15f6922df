#pragma once

// Follows a run's events from the coordinator, whatever happens to it, on a thread of its own.

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/wire/protocol.h"

namespace consilium::chaos {

class RunWatcher {
 public:
  // `researcher`: the state folder of one with bare keys.
  RunWatcher(fs::path researcher, RunId run);
  // The run has ended, or the coordinator is gone: a call under way is not broken off.
  ~RunWatcher();

  bool ended() const { return ended_; }
  bool failed() const { return failed_; }
  std::uint64_t seen() const { return seen_; }  // sequence of the last event
  // What the run was doing, in one or two words: "enlisting", "training" ...
  std::string Doing() const;
  // The last event that has a text, for a person who wonders what it waits for.
  std::string LastWords() const;

 private:
  void Follow();
  void On(const wire::RunEvent& event);

  const fs::path researcher_;
  const RunId run_;
  std::atomic<bool> ended_ = false, failed_ = false, stopping_ = false;
  std::atomic<std::uint64_t> seen_ = 0;
  mutable std::mutex mutex_;
  std::string doing_ = "enlisting", last_words_;
  std::thread thread_;
};

}  // namespace consilium::chaos
