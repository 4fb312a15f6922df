// Status, exit codes, log lines and progress lines: what a process shows of itself.

#include <unistd.h>

#include <algorithm>

#include "common/base/log.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium {
namespace {

// What `body` writes to standard error.
template <class Body>
std::string StandardErrorOf(Body body) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int kept = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  body();
  dup2(kept, STDERR_FILENO);
  close(kept);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
  close(ends[0]);
  return text;
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError(StrCat(value, " is odd"));
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST_CASE("the macros hand on values and errors") {
  CHECK(*Quarter(8) == 2);
  CHECK(Quarter(7).status().message() == "7 is odd");
  CHECK(Quarter(6).status().message() == "3 is odd");
}

TEST_CASE("context stands before an error and never makes one") {
  const absl::Status status = WithContext(absl::NotFoundError("no file"), "site north");
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(status.message() == "site north: no file");
  CHECK(WithContext(absl::OkStatus(), "site north").ok());
}

TEST_CASE("each kind of error has its exit code") {
  CHECK(ExitCodeFor(absl::OkStatus()) == 0);
  CHECK(ExitCodeFor(absl::InternalError("")) == 1);
  CHECK(ExitCodeFor(absl::InvalidArgumentError("")) == 2);
  CHECK(ExitCodeFor(absl::UnavailableError("")) == 3);
  CHECK(ExitCodeFor(absl::PermissionDeniedError("")) == 4);
  CHECK(ExitCodeFor(absl::CancelledError("")) == 130);
  int code = 0;
  CHECK(StandardErrorOf([&] { code = ReportAndExitCode(absl::NotFoundError("no plan")); }) ==
        "error: no plan\n");
  CHECK(code == 2);
}

TEST_CASE("a log line is one line, whatever its values hold") {
  const std::string line = StandardErrorOf([] {
    Log(LogLevel::kWarning, "site_lost",
        {{"site", "north"}, {"round", 3}, {"why", "said \"no\"\nlevel=info"}, {"empty", ""}});
    Log(LogLevel::kDebug, "not_shown");
  });
  CHECK(line.substr(0, 5) == "time=");
  CHECK(line.find(" level=warning event=site_lost site=north round=3 "
                  "why=\"said \\\"no\\\"\\nlevel=info\" empty=\"\"\n") != std::string::npos);
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
}

TEST_CASE("progress that is piped is one line a finished step") {
  const std::string text = StandardErrorOf([] {
    TerminalProgress progress;
    for (int i = 1; i <= 3; ++i) progress.Report("indexing", i, 3, "3 accepted");
    progress.Report("training", 1, 2);
  });
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.substr(0, 15) == "indexing  3/3  ");
  CHECK(text.find("3 accepted\n") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
}

}  // namespace
}  // namespace consilium
