#pragma once

// OUT of a quickstart (quickstart.h): whose it is, what is in it, how far the work there came, and
// what a quickstart that was cut off goes on with.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "experiments/baselines.h"
#include "experiments/checkpoint.h"
#include "experiments/quickstart.h"

namespace consilium::experiments {

// Refers to the options, which must outlive it. The checkpoint on the disk is always that of
// checkpoint(), or one step behind.
class QuickstartFolder {
 public:
  explicit QuickstartFolder(const QuickstartOptions& options);

  // OUT is ours, and nobody else works in it while the lock is held. kAlreadyExists: it holds
  // something else; kFailedPrecondition: another quickstart is at work there.
  absl::StatusOr<FolderLock> Take() const;
  // Goes on with what is there, or begins: then what an earlier quickstart left is removed, and
  // nothing else. kFailedPrecondition: it is another request's, saying what differs.
  absl::Status TakeUp(const Request& request, const std::vector<SiteData>& sites);

  // Runs one part of the experiment, says what it is and keeps how long it took. The part is done
  // for good when this returns OK.
  absl::Status Part(const std::string& name, const std::string& heading,
                    const std::function<absl::Status()>& work);
  // Durable, as all that the checkpoint says.
  absl::Status KeepRun(const std::string& run);
  absl::Status Finish();
  // What was written in OUT, in files of other programs too.
  void SyncDisk() const;

  // A line for people: to standard output, or, where results go there as JSON, to standard error.
  void Say(std::string_view text) const;

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const fs::path& out() const { return out_; }
  fs::path Logs() const { return out_ / "federation" / "logs"; }
  fs::path PlanFile() const { return out_ / "plan.toml"; }
  fs::path RunFile() const { return out_ / "federation" / "run.json"; }

 private:
  absl::Status Begin(const Request& request);
  void AddTime(const std::string& name, double seconds);

  const QuickstartOptions& options_;
  const fs::path out_;
  Checkpoint checkpoint_;
};

}  // namespace consilium::experiments
