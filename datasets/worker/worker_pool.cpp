#include "datasets/worker/worker_pool.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "datasets/dicom/data_set.h"
#include "datasets/parallel.h"
#include "datasets/worker/child.h"
#include "datasets/worker/protocol.h"

namespace consilium::datasets::worker {
namespace {

constexpr std::string_view kProgram = "consilium-image-worker";
// Calls that go to a worker at once: the way there and back costs as much as reading a header.
constexpr std::size_t kCallsTogether = 32;
// A worker is replaced after so much work; the processor time that its system grants is more by
// what one more call may take.
constexpr std::chrono::seconds kBusiest(300);
constexpr int kStartAttempts = 3;

absl::StatusOr<fs::path> FindProgram() {
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  const fs::path candidates[] = {
      own.parent_path() / kProgram,
      own.parent_path().parent_path() / "libexec" / "consilium" / kProgram};
  for (const fs::path& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::FailedPreconditionError(StrCat(
      "the program ", kProgram, ", which reads images in a sandbox, is not beside this one: ",
      "install it there (it is built with the others)"));
}

// The files, opened; or why one of them cannot be.
OrRefused<std::vector<File>> OpenAll(std::span<const fs::path> paths) {
  std::vector<File> files;
  for (const fs::path& path : paths) {
    auto file = File::OpenForReading(path);
    if (!file.ok()) return dicom::Unreadable(file.status());
    files.push_back(*std::move(file));
  }
  return files;
}

}  // namespace

WorkerPool::Starter::Starter() : thread_([this] { Work(); }) {}

WorkerPool::Starter::~Starter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WorkerPool::Starter::Run(const std::function<void()>& function) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return next_ == nullptr; });
  next_ = &function;
  changed_.notify_all();
  changed_.wait(lock, [&] { return next_ != &function; });
}

void WorkerPool::Starter::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return next_ != nullptr || ending_; });
    if (next_ == nullptr) return;
    const auto* function = next_;
    lock.unlock();
    (*function)();
    lock.lock();
    next_ = nullptr;
    changed_.notify_all();
  }
}

absl::StatusOr<std::unique_ptr<WorkerPool>> WorkerPool::Create(const PoolOptions& options) {
  PoolOptions found = options;
  if (found.program.empty()) {
    ASSIGN_OR_RETURN(found.program, FindProgram());
  }
  std::unique_ptr<WorkerPool> pool(new WorkerPool(std::move(found)));
  ASSIGN_OR_RETURN(auto first, pool->Take());
  pool->sandboxed_ = first->sandboxed();
  pool->GiveBack(std::move(first));
  return pool;
}

WorkerPool::WorkerPool(PoolOptions options)
    : options_(std::move(options)), workers_(ThreadCount(options_.workers)) {}

WorkerPool::~WorkerPool() = default;

OrRefused<Bytes> WorkerPool::Call(std::string_view operation, ByteView arguments,
                                  std::span<const fs::path> files, std::uint64_t largest_result) {
  if (files.size() > kMostDescriptors) {
    return Refused{Refusal::kTooLarge, StrCat(files.size(), " files together")};
  }
  const auto open = OpenAll(files);
  if (!open.ok()) return open.refused();
  Answer answer = Ask({operation, arguments, *open, 1, largest_result});
  if (answer.death) return *std::move(answer.death);
  return std::move(answer.replies.front());
}

std::vector<OrRefused<Bytes>> WorkerPool::CallForEach(std::string_view operation,
                                                      ByteView arguments,
                                                      std::span<const fs::path> files,
                                                      std::uint64_t largest_result) {
  std::vector<OrRefused<Bytes>> results(files.size(), Refused{Refusal::kUnreadable, ""});
  const std::size_t parts = (files.size() + kCallsTogether - 1) / kCallsTogether;
  ParallelFor(parts, workers_, [&](std::size_t part) {
    const std::size_t start = part * kCallsTogether;
    const std::size_t count = std::min(kCallsTogether, files.size() - start);
    CallTogether(operation, arguments, files.subspan(start, count), largest_result,
                 std::span(results).subspan(start, count));
    return true;
  });
  return results;
}

// One request for all of the files. When a worker dies on one of them, nobody knows which it was:
// those without an answer go one by one.
void WorkerPool::CallTogether(std::string_view operation, ByteView arguments,
                              std::span<const fs::path> files, std::uint64_t largest_result,
                              std::span<OrRefused<Bytes>> results) {
  std::vector<File> open;
  std::vector<std::size_t> of;  // which file each of `open` is
  for (std::size_t i = 0; i < files.size(); ++i) {
    auto file = OpenAll(files.subspan(i, 1));
    if (!file.ok()) {
      results[i] = file.refused();
    } else {
      open.push_back(std::move(file->front()));
      of.push_back(i);
    }
  }
  if (open.empty()) return;
  Answer answer = Ask({operation, arguments, open, open.size(), largest_result});
  for (std::size_t i = 0; i < answer.replies.size(); ++i) {
    results[of[i]] = std::move(answer.replies[i]);
  }
  if (!answer.death) return;
  for (std::size_t i = answer.replies.size(); i < of.size(); ++i) {
    results[of[i]] = of.size() == 1
                         ? *answer.death
                         : Call(operation, arguments, files.subspan(of[i], 1), largest_result);
  }
}

Answer WorkerPool::Ask(const Request& request) {
  auto child = Take();
  if (!child.ok()) {
    return {{}, Refused{Refusal::kUnreadable, std::string(ToStd(child.status().message()))}};
  }
  Answer answer = (*child)->Ask(request, options_.time_limit);
  GiveBack(answer.death ? nullptr : *std::move(child));
  return answer;
}

absl::StatusOr<std::unique_ptr<Child>> WorkerPool::Take() {
  std::unique_ptr<Child> child;
  {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return taken_ < workers_; });
    ++taken_;
    if (!idle_.empty()) {
      child = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (child && child->Idle()) return child;
  child.reset();
  auto started = StartChild();
  if (!started.ok()) GiveBack(nullptr);
  return started;
}

absl::StatusOr<std::unique_ptr<Child>> WorkerPool::StartChild() {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options_.time_limit) + kBusiest;
  const SandboxLimits limits{.memory_bytes = options_.memory_bytes,
                             .cpu_seconds = static_cast<std::uint64_t>(seconds.count()) + 60};
  absl::StatusOr<std::unique_ptr<Child>> child = absl::UnknownError("");
  for (int attempt = 0; attempt < kStartAttempts && !child.ok(); ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50) * attempt);
    starter_.Run([&] { child = Child::Start(options_.program, limits); });
  }
  return child;
}

void WorkerPool::GiveBack(std::unique_ptr<Child> child) {
  const bool worn =
      child && (child->calls() >= options_.calls_per_worker || child->busy() >= kBusiest);
  if (worn) child.reset();
  {
    const std::lock_guard lock(mutex_);
    --taken_;
    if (child) idle_.push_back(std::move(child));
  }
  freed_.notify_one();
}

}  // namespace consilium::datasets::worker
