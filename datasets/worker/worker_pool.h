#pragma once

// A pool of sandboxed processes in which files are parsed and decoded (operations.h, sandbox.h). A
// file that crashes its worker, hangs it, or makes it ask for too much memory is refused with that
// reason; another worker takes the place, and the pool goes on.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"
#include "datasets/worker/sandbox.h"

namespace consilium::datasets::worker {

class Child;
struct Answer;
struct Request;

struct PoolOptions {
  // Empty: consilium-image-worker beside the running program, else in ../libexec/consilium.
  fs::path program;
  unsigned workers = 0;                          // 0: one for each processor
  std::chrono::milliseconds time_limit{30'000};  // of a call
  std::uint64_t memory_bytes = 1ull << 30;       // of a worker
  std::size_t calls_per_worker = 4096;           // then another takes its place
};

// Thread-safe: a call takes one worker, and waits while all are taken.
class WorkerPool {
 public:
  // Starts a first worker, to see that it can be done; the others start when they are needed.
  // kFailedPrecondition when the program is not installed or the system has no such sandbox.
  static absl::StatusOr<std::unique_ptr<WorkerPool>> Create(const PoolOptions& options);
  ~WorkerPool();  // ends the workers

  // The operation on these files, which are opened here, to be read only. The result's bytes are at
  // most `largest_result` and may be an attacker's. kUnreadable: a file cannot be opened, or no
  // worker can be started, which may pass.
  OrRefused<Bytes> Call(std::string_view operation, ByteView arguments,
                        std::span<const fs::path> files, std::uint64_t largest_result);
  // The operation on each of the files, on all workers; in their order.
  std::vector<OrRefused<Bytes>> CallForEach(std::string_view operation, ByteView arguments,
                                            std::span<const fs::path> files,
                                            std::uint64_t largest_result);

  unsigned workers() const { return workers_; }
  // False only in builds for AddressSanitizer and ThreadSanitizer.
  bool sandboxed() const { return sandboxed_; }

 private:
  // Runs functions one after the other in one thread that lives as long as the pool: the system
  // ends a worker when the thread that started it ends.
  class Starter {
   public:
    Starter();
    ~Starter();
    void Run(const std::function<void()>& function);  // waits until it is done

   private:
    void Work();
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<void()>* next_ = nullptr;  // of Run, which waits
    bool ending_ = false;
    std::thread thread_;
  };

  explicit WorkerPool(PoolOptions options);
  absl::StatusOr<std::unique_ptr<Child>> StartChild();
  absl::StatusOr<std::unique_ptr<Child>> Take();
  void GiveBack(std::unique_ptr<Child> child);
  Answer Ask(const Request& request);
  void CallTogether(std::string_view operation, ByteView arguments, std::span<const fs::path> files,
                    std::uint64_t largest_result, std::span<OrRefused<Bytes>> results);

  const PoolOptions options_;
  const unsigned workers_;
  bool sandboxed_ = false;
  Starter starter_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable freed_;
  unsigned taken_ = 0;
  std::vector<std::unique_ptr<Child>> idle_;
};

}  // namespace consilium::datasets::worker
