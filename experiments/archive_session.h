#pragma once

// What the experiments with an archive share: a folder that is theirs, what they say, and how they
// call Consilium's programs.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"

namespace consilium::experiments {

// A line on standard output, at once.
void Say(const std::string& text);

class ArchiveSession {
 public:
  // `command`: of consilium-experiment, "follow-up". Programs that take longer than `limit` are
  // ended. Logs of programs go to OUT/`logs`.
  ArchiveSession(std::string command, const fs::path& out, fs::path logs, Duration limit);

  // Makes OUT, or with `fresh` replaces what the same command left there. kAlreadyExists: something
  // else is in it, or an earlier run without `fresh`.
  absl::Status TakeFolder(bool fresh) const;

  // What the program printed. Its errors are in the log `log_name`, of which a failure tells.
  absl::StatusOr<std::string> Call(const std::string& program, std::vector<std::string> arguments,
                                   const std::string& log_name,
                                   std::map<std::string, std::string> environment = {}) const;

  const fs::path& out() const { return out_; }            // absolute
  const fs::path& programs() const { return programs_; }  // where consilium's are

 private:
  const std::string command_;
  const fs::path out_, logs_, programs_;
  const Duration limit_;
};

}  // namespace consilium::experiments
