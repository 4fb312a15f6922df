#include "experiments/quickstart_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "experiments/resumption.h"

namespace consilium::experiments {
namespace {

using std::chrono::steady_clock;

constexpr const char* kMark = ".consilium-experiment";  // in OUT: it is ours to replace

}  // namespace

QuickstartFolder::QuickstartFolder(const QuickstartOptions& options)
    : options_(options), out_(fs::absolute(options.out).lexically_normal()) {}

void QuickstartFolder::Say(std::string_view text) const {
  std::FILE* to = options_.json ? stderr : stdout;
  std::fprintf(to, "%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(to);
}

absl::Status QuickstartFolder::Part(const std::string& name, const std::string& heading,
                                    const std::function<absl::Status()>& work) {
  Say(StrCat("\n== ", heading));
  checkpoint_.doing = heading;
  RETURN_IF_ERROR(SaveCheckpoint(out_, checkpoint_));
  const auto began = steady_clock::now();
  RETURN_IF_ERROR(WithContext(work(), heading));
  const double seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
  Say(StrCat("   took ", ToReadable(FromSeconds(seconds))));
  AddTime(name, seconds);
  SyncDisk();
  return SaveCheckpoint(out_, checkpoint_);
}

void QuickstartFolder::AddTime(const std::string& name, double seconds) {
  for (experiments::Part& part : checkpoint_.parts) {
    if (part.name == name) {
      part.seconds += seconds;
      return;
    }
  }
  checkpoint_.parts.push_back({name, seconds});
}

void QuickstartFolder::SyncDisk() const {
  const int folder = open(out_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  syncfs(folder);
  close(folder);
}

absl::StatusOr<FolderLock> QuickstartFolder::Take() const {
  std::error_code error;
  if (fs::exists(out_, error) && !fs::is_empty(out_, error) && !fs::exists(out_ / kMark, error)) {
    return absl::AlreadyExistsError(
        StrCat(out_.string(), " holds something else; give another --out"));
  }
  RETURN_IF_ERROR(EnsureFolder(out_));
  RETURN_IF_ERROR(
      WriteFileDurably(out_ / kMark, "made by consilium-experiment quickstart, which owns it\n"));
  auto lock = FolderLock::Acquire(out_);
  if (!lock.ok()) {
    return absl::FailedPreconditionError(StrCat("another quickstart is at work in ", out_.string(),
                                                " (", std::string(lock.status().message()),
                                                "); wait for it, or give another --out"));
  }
  return lock;
}

absl::Status QuickstartFolder::TakeUp(const Request& request, const std::vector<SiteData>& sites) {
  if (options_.fresh) return Begin(request);
  ASSIGN_OR_RETURN(const auto found, LoadCheckpoint(out_));
  if (!found) {
    if (!Exists(out_ / "federation")) return Begin(request);
    return absl::FailedPreconditionError(
        StrCat(out_.string(),
               " holds an experiment that an older version made and this one cannot go on with; "
               "--fresh replaces it, another --out keeps it"));
  }
  const std::vector<std::string> differences = Differences(found->request, request);
  if (!differences.empty()) {
    std::string text = StrCat(out_.string(), " holds a quickstart of something else:");
    for (const std::string& difference : differences) StrAppend(&text, "\n  ", difference);
    return absl::FailedPreconditionError(
        StrCat(text,
               "\ngive the same options to go on with it, another --out to keep it, or "
               "--fresh to replace it"));
  }
  checkpoint_ = *found;
  if (checkpoint_.doing.empty()) return Begin(request);  // it was being begun
  const bool has_all = (checkpoint_.baselines || !options_.baselines) &&
                       (checkpoint_.examples || !options_.example_images);
  if (checkpoint_.finished && has_all) return absl::OkStatus();
  checkpoint_.finished = false;
  ++checkpoint_.resumed;
  Say(WhatIsThere(out_, checkpoint_, sites));
  return SaveCheckpoint(out_, checkpoint_);
}

// The checkpoint comes first: cut off here, the next one begins again.
absl::Status QuickstartFolder::Begin(const Request& request) {
  checkpoint_ = {.request = request, .begun = SystemClock().Now()};
  RETURN_IF_ERROR(SaveCheckpoint(out_, checkpoint_));
  bool said = false;
  for (const char* name :
       {"data", "federation", "models", "plan.toml", "results.json", "report.html"}) {
    if (std::string_view(name) == "data" && options_.keep_images) continue;
    if (!Exists(out_ / name)) continue;
    if (!std::exchange(said, true)) Say(StrCat("Removing what is in ", out_.string()));
    RETURN_IF_ERROR(WithContext(RemoveTree(out_ / name), "the earlier quickstart's files"));
  }
  RETURN_IF_ERROR(EnsureFolder(Logs()));
  RETURN_IF_ERROR(EnsureFolder(out_ / "models"));
  return WriteFileDurably(PlanFile(), request.plan_toml, 0644);
}

absl::Status QuickstartFolder::KeepRun(const std::string& run) {
  checkpoint_.run = run;
  return SaveCheckpoint(out_, checkpoint_);
}

absl::Status QuickstartFolder::Finish() {
  checkpoint_.finished = true;
  checkpoint_.baselines = options_.baselines;
  checkpoint_.examples = options_.example_images;
  return SaveCheckpoint(out_, checkpoint_);
}

}  // namespace consilium::experiments
