// storage_kills KILLS [--seed N] [--folder DIR] [--processes N]: processes that write to a database
// and to files of the real disk, each killed (SIGKILL) at a random moment, also while it recovers
// from the kill before. After each, all that was acknowledged must be there, and nothing half.
// Exits with 1 when something is lost, and leaves the folder as it is then. The seed decides what
// is written and how long each process lives, but not where in its work the kill meets it.

#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "tests/common/storage/storage_steps.h"

namespace consilium::storage {
namespace {

using Steady = std::chrono::steady_clock;

// What outlives a killed process: memory shared with who killed it.
struct Shared {
  std::atomic<std::uint64_t> acknowledged{0};  // steps
};

// What a worker found, in memory shared with the program.
struct Report {
  std::uint64_t kills = 0;
  std::uint64_t in_recovery = 0;
  std::uint64_t transactions = 0;
  std::uint64_t files = 0;
  std::uint64_t kept_unacknowledged = 0;
  bool failed = false;
  char failure[256] = {};
};

template <class T>
T* NewShared(std::size_t count) {
  void* memory =
      mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CONSILIUM_CHECK(memory != MAP_FAILED);
  return new (memory) T[count];
}

class Worker {
 public:
  Worker(fs::path folder, std::uint64_t seed, Report& report)
      : folder_(std::move(folder)), seed_(seed), random_(seed, "kills"), report_(report) {}

  void Run(std::uint64_t kills) {
    if (!Verify()) return;
    const double step_us = TypicalStep();
    if (report_.failed) return;
    while (report_.kills < kills) {
      KillOne(step_us, /*writes=*/true);
      while (report_.kills < kills && random_.Chance(0.25)) KillOne(step_us, /*writes=*/false);
      if (!Verify()) return;
    }
  }

 private:
  // Of this disk, in microseconds: lives of processes are measured in it. The median, since the
  // machine may be at work on other things.
  double TypicalStep() {
    absl::StatusOr<OpenStorage> storage = OpenStorage::Open(folder_);
    if (!storage.ok()) return Fail("opening", storage.status()), 0;
    std::vector<double> took_us(21);
    for (double& us : took_us) {
      const StorageStep step(seed_, steps_);
      const auto start = Steady::now();
      if (const absl::Status status = storage->Perform(step); !status.ok()) {
        return Fail("a step", status), 0;
      }
      us = std::chrono::duration<double, std::micro>(Steady::now() - start).count();
      Acknowledge(step);
    }
    shared_->acknowledged = steps_;
    const auto middle = took_us.begin() + static_cast<std::ptrdiff_t>(took_us.size() / 2);
    std::nth_element(took_us.begin(), middle, took_us.end());
    return *middle;
  }

  // A process of its own opens the folder and writes until it is killed. One that only opens it
  // dies in its recovery, or idle.
  void KillOne(double step_us, bool writes) {
    const pid_t child = fork();
    CONSILIUM_CHECK(child >= 0);
    if (child == 0) Live(writes);
    // From a tenth of a step to a dozen steps (to open takes some), as often short as long.
    const double shortest = std::log(step_us / 10), longest = std::log(step_us * (writes ? 12 : 4));
    const double life_us = std::exp(random_.Uniform(shortest, longest));
    std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(life_us));
    kill(child, SIGKILL);
    int how = 0;
    CONSILIUM_CHECK(waitpid(child, &how, 0) == child);
    if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL) {
      return Fail("a process", absl::InternalError("ended by itself"));
    }
    ++report_.kills;
    report_.in_recovery += !writes;
  }

  [[noreturn]] void Live(bool writes) {
    absl::StatusOr<OpenStorage> storage = OpenStorage::Open(folder_);
    if (!storage.ok()) {
      std::fprintf(stderr, "opening: %s\n", storage.status().ToString().c_str());
      _exit(1);
    }
    while (!writes) pause();
    for (std::uint64_t number = shared_->acknowledged; true; ++number) {
      const absl::Status status = storage->Perform(StorageStep(seed_, number));
      if (!status.ok()) {
        std::fprintf(stderr, "a step: %s\n", status.ToString().c_str());
        _exit(1);
      }
      shared_->acknowledged = number + 1;
    }
  }

  // Compares what is there with what was acknowledged, or with one step more.
  bool Verify() {
    if (report_.failed) return false;
    while (steps_ < shared_->acknowledged) Acknowledge(StorageStep(seed_, steps_));
    absl::StatusOr<OpenStorage> storage = OpenStorage::Open(folder_);
    if (!storage.ok()) return Fail("opening", storage.status()), false;
    const absl::StatusOr<StoredState> found = storage->Read();
    if (!found.ok()) return Fail("reading", found.status()), false;
    if (*found == expected_) return true;
    StoredState attempted = expected_;
    const StorageStep step(seed_, steps_);
    step.ApplyTo(&attempted);
    if (*found != attempted) {
      return Fail("lost", absl::DataLossError(Difference(*found, expected_, attempted))), false;
    }
    ++report_.kept_unacknowledged;
    expected_ = std::move(attempted);
    shared_->acknowledged = ++steps_;
    return true;
  }

  void Acknowledge(const StorageStep& step) {
    step.ApplyTo(&expected_);
    ++steps_;
    ++(step.is_transaction() ? report_.transactions : report_.files);
  }

  void Fail(std::string_view doing, const absl::Status& status) {
    report_.failed = true;
    std::snprintf(report_.failure, sizeof report_.failure, "%s",
                  StrCat("seed ", seed_, ", kill ", report_.kills, ", step ", steps_, ": ", doing,
                         ": ", ToStd(status.message()))
                      .c_str());
  }

  const fs::path folder_;
  const std::uint64_t seed_;
  SeededRandom random_;
  Report& report_;
  Shared* const shared_ = NewShared<Shared>(1);
  std::uint64_t steps_ = 0;  // that must be there
  StoredState expected_;
};

std::string FileSystemOf(const fs::path& folder) {
  struct statfs about {};
  if (statfs(folder.c_str(), &about) != 0) return "an unknown file system";
  switch (static_cast<std::uint32_t>(about.f_type)) {
    case 0xEF53:
      return "ext4";
    case 0x01021994:
      return "tmpfs";
    case 0x58465342:
      return "xfs";
    case 0x9123683E:
      return "btrfs";
    case 0x794C7630:
      return "overlayfs";
    default:
      return StrCat("a file system of type 0x", absl::Hex(about.f_type));
  }
}

// Each worker in a process of its own, in a folder and on a seed of its own.
std::vector<Report> RunWorkers(const fs::path& folder, std::uint64_t kills, std::uint64_t seed,
                               unsigned processes) {
  Report* reports = NewShared<Report>(processes);
  std::vector<pid_t> workers;
  for (unsigned i = 0; i < processes; ++i) {
    const pid_t worker = fork();
    CONSILIUM_CHECK(worker >= 0);
    if (worker == 0) {
      const std::uint64_t share = kills / processes + (i < kills % processes ? 1 : 0);
      Worker(folder / StrCat("worker-", i), seed + i, reports[i]).Run(share);
      _exit(0);
    }
    workers.push_back(worker);
  }
  for (unsigned i = 0; i < processes; ++i) {
    int how = 0;
    waitpid(workers[i], &how, 0);
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
      reports[i].failed = true;
      std::snprintf(reports[i].failure, sizeof reports[i].failure,
                    "a worker ended before its time");
    }
  }
  return {reports, reports + processes};
}

int Main(int argc, char** argv) {
  std::uint64_t kills = 0;
  std::uint64_t seed = 1;
  unsigned processes = 2;
  std::string where = fs::temp_directory_path().string();
  CLI::App app("Kills processes that write to the storage layer, and looks for what they lost");
  app.add_option("KILLS", kills)->required()->check(CLI::PositiveNumber);
  app.add_option("--seed", seed, "of the first worker");
  app.add_option("--folder", where, "on the file system to try")->check(CLI::ExistingDirectory);
  app.add_option("--processes", processes)->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);

  std::string folder = (fs::path(where) / "consilium-kills-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return ReportAndExitCode(absl::InternalError("no folder can be made there"));
  }
  const auto start = Steady::now();
  Report sum;
  for (const Report& report : RunWorkers(folder, kills, seed, processes)) {
    sum.kills += report.kills;
    sum.in_recovery += report.in_recovery;
    sum.transactions += report.transactions;
    sum.files += report.files;
    sum.kept_unacknowledged += report.kept_unacknowledged;
    if (report.failed) std::printf("FAILED: %s\n", report.failure);
    sum.failed |= report.failed;
  }
  const double took_s = std::chrono::duration<double>(Steady::now() - start).count();
  std::printf("%s\n",
              StrCat(sum.kills, " kills (", sum.in_recovery, " of a process that recovers) on ",
                     FileSystemOf(folder), " in ", std::lround(took_s), " s, ",
                     std::lround(static_cast<double>(sum.kills) / took_s), "/s: ", sum.transactions,
                     " transactions and ", sum.files, " files acknowledged, ",
                     sum.failed ? "NOT ALL WELL" : "0 lost", "; ", sum.kept_unacknowledged,
                     " more were there whole")
                  .c_str());
  if (sum.failed) {
    std::printf("what is left is in %s\n", folder.c_str());
    return 1;
  }
  return ReportAndExitCode(RemoveTree(folder));
}

}  // namespace
}  // namespace consilium::storage

int main(int argc, char** argv) { return consilium::storage::Main(argc, argv); }
