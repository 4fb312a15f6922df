#pragma once

// Child processes: started in a process group of their own, written to log files, waited for,
// ended, and never left behind. Everything here belongs to the thread that starts the children (the
// kernel ends a child when the thread that started it ends).

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace consilium::experiments {

struct Command {
  std::string program;  // a path, or a name looked up in PATH
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;  // added to ours
  fs::path output;  // standard output goes to this file; empty: to ours
  fs::path errors;  // standard error goes to this file; empty: to ours

  std::string ToString() const;  // as one would type it in a shell
};

struct ExitState {
  int code = 0;    // of exit(3); 128 + signal when a signal ended it
  int signal = 0;  // 0: it exited
  bool ok() const { return code == 0; }
  std::string ToString() const;  // "exited with 3", "was ended by signal 9 (Killed)"
};

// A running child. Move-only; ends the child (SIGTERM to its group, SIGKILL after two seconds) when
// it goes.
class Process {
 public:
  // kNotFound when there is no such program. Standard input is /dev/null.
  static absl::StatusOr<Process> Start(const Command& command);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }

  // The exit state if it has ended, without waiting.
  std::optional<ExitState> Poll();
  // Waits for its end: kDeadlineExceeded after `limit`, kCancelled at Ctrl-C (base/progress.h, when
  // interrupts are caught); the child runs on in both cases.
  absl::StatusOr<ExitState> Wait(std::optional<Duration> limit = std::nullopt);

  void Signal(int signal);  // to the whole group
  // SIGTERM, then after `grace` SIGKILL; returns when it has ended.
  ExitState End(Duration grace = std::chrono::seconds(2));

  // The largest resident memory so far (VmHWM of /proc/PID/status), bytes; 0 when it has ended.
  std::uint64_t PeakMemory() const;

 private:
  explicit Process(pid_t pid, int descriptor) : pid_(pid), descriptor_(descriptor) {}
  pid_t pid_ = -1;
  int descriptor_ = -1;  // pidfd_open(2)
  std::optional<ExitState> ended_;
};

// Starts and waits. Ended by us when Ctrl-C comes or `limit` passes.
absl::StatusOr<ExitState> Run(const Command& command, std::optional<Duration> limit = std::nullopt);

// The last lines of a text file, at most `lines`; empty when it cannot be read.
std::string Tail(const fs::path& file, int lines);

// Processors that this process may use.
int UsableCores();

// The folder of the running program, where its sister programs stand.
fs::path ProgramFolder();

// A TCP port of loopback that nothing listens on now. Below the range from which the kernel gives
// ports to outgoing connections, so that it can only be lost to another server that is started in
// the same moment.
absl::StatusOr<int> FreePort();
// True when something accepts connections on this port of loopback.
bool PortAnswers(int port);

}  // namespace consilium::experiments
