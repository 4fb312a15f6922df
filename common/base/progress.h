#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace consilium {

// Where long work reports how far it is. Thread-safe.
class Progress {
 public:
  virtual ~Progress() = default;
  // `done` of `total` (0: not known) of what `step` names ("indexing", "epoch 2 of 5").
  virtual void Report(std::string_view step, std::uint64_t done, std::uint64_t total,
                      std::string_view detail = {}) = 0;
  // True when the work should stop as soon as it can (Ctrl-C, run stopped): the worker then returns kCancelled.
  virtual bool Cancelled() const { return false; }
};

class NoProgress final : public Progress {
 public:
  void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
};

// On a terminal: one line rewritten in place, at most ten times a second. Piped: one line when a step ends.
class TerminalProgress final : public Progress {
 public:
  TerminalProgress();   // to standard error
  ~TerminalProgress() override;
  void Report(std::string_view step, std::uint64_t done, std::uint64_t total,
              std::string_view detail = {}) override;
  bool Cancelled() const override;

 private:
  void EndLine();
  std::mutex mutex_;
  const bool terminal_;
  std::string step_;
  std::chrono::steady_clock::time_point started_, drawn_;
  bool open_line_ = false;
};

// After this, SIGINT and SIGTERM set a flag instead of ending the process; a second SIGINT ends it at once.
void CatchInterrupts();
bool Interrupted();
// A descriptor that becomes readable at the first interrupt, for poll(2).
int InterruptDescriptor();

}  // namespace consilium
