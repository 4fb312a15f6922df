#include "common/base/core_dumps.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium {
namespace {

// What the child found of itself before it aborted.
struct Found {
  int dumpable = -1;
  rlimit limit{1, 1};
};

Found Look() {
  Found found;
  found.dumpable = prctl(PR_GET_DUMPABLE);
  getrlimit(RLIMIT_CORE, &found.limit);
  return found;
}

TEST_CASE("A process that forbids core dumps aborts without one, and cannot be dumped") {
  const TemporaryFolder folder;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    rlimit most{};
    getrlimit(RLIMIT_CORE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_CORE, &most);
    signal(SIGABRT, SIG_DFL);
    if (chdir(folder.path().c_str()) != 0) _exit(1);
    ForbidCoreDumps();
    const Found found = Look();
    if (write(ends[1], &found, sizeof found) != sizeof found) _exit(1);
    abort();
  }
  close(ends[1]);
  Found found;
  REQUIRE(read(ends[0], &found, sizeof found) == sizeof found);
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(found.dumpable == 0);
  CHECK(found.limit.rlim_cur == 0);
  CHECK(found.limit.rlim_max == 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK_FALSE(WCOREDUMP(status));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace consilium
