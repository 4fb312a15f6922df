#include "experiments/archive_session.h"

#include <cstdio>

#include "common/base/status.h"
#include "experiments/federation.h"

namespace consilium::experiments {
namespace {

constexpr char kMark[] = ".consilium-experiment";  // in OUT: it is ours to replace

}  // namespace

void Say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

ArchiveSession::ArchiveSession(std::string command, const fs::path& out, fs::path logs,
                               Duration limit)
    : command_(std::move(command)),
      out_(fs::absolute(out).lexically_normal()),
      logs_(out_ / logs),
      programs_(ProgramFolder()),
      limit_(limit) {}

absl::Status ArchiveSession::TakeFolder(bool fresh) const {
  std::error_code error;
  if (fs::exists(out_, error) && !fs::is_empty(out_, error)) {
    const bool ours = Exists(out_ / kMark);
    if (!ours || !fresh) {
      return absl::AlreadyExistsError(StrCat(out_.string(),
                                             " holds something already; give another --out",
                                             ours ? ", or --fresh to replace an earlier run" : ""));
    }
    RETURN_IF_ERROR(RemoveTree(out_));
  }
  RETURN_IF_ERROR(EnsureFolder(logs_));
  return WriteFileDurably(out_ / kMark,
                          StrCat("made by consilium-experiment ", command_, ", which owns it\n"));
}

absl::StatusOr<std::string> ArchiveSession::Call(
    const std::string& program, std::vector<std::string> arguments, const std::string& log_name,
    std::map<std::string, std::string> environment) const {
  return RunProgram({.program = programs_ / program,
                     .arguments = std::move(arguments),
                     .logs = logs_,
                     .name = log_name,
                     .environment = std::move(environment)},
                    limit_);
}

}  // namespace consilium::experiments
