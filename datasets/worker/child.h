#pragma once

// One worker process, as its pool sees it.

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"
#include "datasets/worker/sandbox.h"

namespace consilium::datasets::worker {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Request {
  std::string_view operation;
  ByteView arguments;
  std::span<const File> files;  // of all calls, one after the other
  std::size_t calls = 1;
  std::uint64_t largest_result = 0;
};

struct Answer {
  std::vector<OrRefused<Bytes>> replies;  // of the first calls, in order
  std::optional<Refused> death;           // why there are no more; the child is gone
};

// One thread at a time.
class Child {
 public:
  // Started and ready, in its sandbox. The thread that calls this must live as long as the child:
  // the system ends the child with it. Errors say what is wrong with the program or the sandbox.
  static absl::StatusOr<std::unique_ptr<Child>> Start(const fs::path& program,
                                                      const SandboxLimits& limits);
  ~Child();  // ends it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Answer Ask(const Request& request, std::chrono::milliseconds time_limit);

  // Whether it waits for a request: it may have died, or speak unasked.
  bool Idle() const;
  std::size_t calls() const { return calls_; }
  std::chrono::steady_clock::duration busy() const { return busy_; }
  bool sandboxed() const { return sandboxed_; }

 private:
  explicit Child(pid_t process, File socket) : process_(process), socket_(std::move(socket)) {}
  absl::Status WaitUntilReady();
  std::optional<Refused> Send(const Request& request, SteadyTime deadline);
  std::optional<Refused> SendDescriptors(ByteView bytes, std::span<const File> files,
                                         SteadyTime deadline);
  std::optional<Refused> SendBytes(ByteView bytes, SteadyTime deadline);
  Answer Receive(std::size_t replies, std::uint64_t largest, SteadyTime deadline);
  // Whether the socket can be read or written (poll(2)'s words) before the deadline.
  bool Await(short events, SteadyTime deadline) const;
  Refused Overdue();
  Refused Gone();  // it hung up: why
  void End();

  pid_t process_;  // -1: it is gone
  File socket_;
  Bytes buffer_;  // of what is received
  std::size_t calls_ = 0;
  std::chrono::steady_clock::duration busy_{};
  bool sandboxed_ = false;
};

}  // namespace consilium::datasets::worker
