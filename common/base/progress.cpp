#include "common/base/progress.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "common/base/text.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"

namespace consilium {
namespace {

std::atomic<int> interrupts{0};
int interrupt_pipe[2] = {-1, -1};

void OnInterrupt(int) {
  if (interrupts.fetch_add(1) >= 1) _exit(130);
  const int saved_errno = errno;
  [[maybe_unused]] const ssize_t n = write(interrupt_pipe[1], "i", 1);
  errno = saved_errno;
}

}  // namespace

void CatchInterrupts() {
  if (interrupt_pipe[0] >= 0) return;
  if (pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;
  struct sigaction action{};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupts.load() > 0; }
int InterruptDescriptor() { return interrupt_pipe[0]; }

TerminalProgress::TerminalProgress() : terminal_(isatty(STDERR_FILENO)) {}

TerminalProgress::~TerminalProgress() { EndLine(); }

void TerminalProgress::EndLine() {
  if (open_line_) std::fputc('\n', stderr);
  open_line_ = false;
}

bool TerminalProgress::Cancelled() const { return Interrupted(); }

void TerminalProgress::Report(std::string_view step, std::uint64_t done, std::uint64_t total,
                              std::string_view detail) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (step != step_) {
    EndLine();
    step_ = step;
    started_ = now;
    drawn_ = {};
  }
  const bool finished = total != 0 && done >= total;
  if (!finished && (!terminal_ || now - drawn_ < std::chrono::milliseconds(100))) return;
  drawn_ = now;
  const auto elapsed = std::chrono::duration_cast<Duration>(now - started_);
  std::string line(step_);
  if (total != 0) {
    StrAppend(&line, "  ", done, "/", total);
    if (terminal_) {
      const int filled = static_cast<int>(20 * done / total);
      StrAppend(&line, " [", std::string(filled, '#'), std::string(20 - filled, '.'), "]");
    }
  } else {
    StrAppend(&line, "  ", done);
  }
  StrAppend(&line, "  ", ToReadable(elapsed));
  if (!detail.empty()) StrAppend(&line, "  ", detail);
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    open_line_ = true;
    if (finished) EndLine();
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  if (finished) step_.clear();
  std::fflush(stderr);
}

}  // namespace consilium
