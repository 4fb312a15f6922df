// What is left when the process or its disk fails in the middle: each case runs a child process.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/storage/database.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::storage {
namespace {

const Migrations kRows = {"CREATE TABLE v (id INTEGER PRIMARY KEY, a BLOB);"};

// Runs `body` in a child and returns how it ended, as waitpid(2) tells it.
template <class Body>
int InChild(Body body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(body());
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  return how;
}

absl::Status InsertRows(Database& database, int rows, std::size_t bytes) {
  for (int i = 0; i < rows; ++i) {
    RETURN_IF_ERROR(database.Execute("INSERT INTO v (a) VALUES (?)", Bytes(bytes)));
  }
  return absl::OkStatus();
}

std::int64_t RowsIn(const fs::path& path) {
  auto database = Database::Open(path, kRows);
  INFO(database.status().ToString());
  REQUIRE(database.ok());
  auto count = database->Prepare("SELECT count(*) FROM v");
  REQUIRE(count.ok());
  REQUIRE(count->Step().value());
  return count->Int(0);
}

TEST_CASE("a process killed inside a transaction loses that transaction and nothing before it") {
  TemporaryFolder folder;
  const fs::path path = folder / "a.db";
  const int how = InChild([&] {
    auto database = Database::Open(path, kRows);
    if (!database.ok() || !InsertRows(*database, 3, 100).ok()) return 1;
    // A cache this small spills to the file, so the file itself is changed when the process goes.
    if (!database->Execute("PRAGMA cache_size = 5").ok()) return 2;
    (void)database->Transact([&]() -> absl::Status {
      RETURN_IF_ERROR(InsertRows(*database, 200, 4000));
      kill(getpid(), SIGKILL);
      return absl::OkStatus();
    });
    return 3;
  });
  REQUIRE(WIFSIGNALED(how));
  REQUIRE(WTERMSIG(how) == SIGKILL);
  CHECK(fs::file_size(path) > 200'000);
  CHECK(fs::exists(path.string() + "-journal"));
  CHECK(RowsIn(path) == 3);
}

TEST_CASE("a process killed at any moment loses no row it was told is committed") {
  const std::uint64_t seed = 20260301;
  CAPTURE(seed);
  SeededRandom random(seed);
  TemporaryFolder folder;
  const fs::path path = folder / "a.db";
  std::int64_t before = 0;
  for (int kill_number = 0; kill_number < 10; ++kill_number) {
    int acknowledged[2];
    REQUIRE(pipe(acknowledged) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto database = Database::Open(path, kRows);
      if (!database.ok()) _exit(1);
      while (InsertRows(*database, 1, 500).ok()) {
        if (write(acknowledged[1], "+", 1) != 1) break;
      }
      _exit(2);
    }
    close(acknowledged[1]);
    char mark;
    REQUIRE(read(acknowledged[0], &mark, 1) == 1);  // it is at work
    usleep(static_cast<useconds_t>(random.Below(15'000)));
    kill(child, SIGKILL);
    int how = 0;
    REQUIRE(waitpid(child, &how, 0) == child);
    REQUIRE(WIFSIGNALED(how));
    std::int64_t told = 1;
    while (read(acknowledged[0], &mark, 1) == 1) ++told;
    close(acknowledged[0]);
    const std::int64_t after = RowsIn(path);
    CHECK(after >= before + told);
    CHECK(after <= before + told + 1);  // committed, and killed before it could say so
    before = after;
  }
}

TEST_CASE("a file system that takes no more bytes is reported as a full disk") {
  TemporaryFolder folder;
  const fs::path path = folder / "a.db";
  const int how = InChild([&] {
    auto database = Database::Open(path, kRows);
    if (!database.ok() || !InsertRows(*database, 3, 100).ok()) return 1;
    signal(SIGXFSZ, SIG_IGN);  // so that write(2) fails with EFBIG
    const rlimit limit{64 << 10, 64 << 10};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const absl::Status status =
        database->Transact([&] { return InsertRows(*database, 200, 4000); });
    return status.code() == absl::StatusCode::kResourceExhausted ? 42 : 3;
  });
  REQUIRE(WIFEXITED(how));
  CHECK(WEXITSTATUS(how) == 42);
  CHECK(RowsIn(path) == 3);
}

}  // namespace
}  // namespace consilium::storage
