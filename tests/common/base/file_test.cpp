#include "common/base/file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium {
namespace {

unsigned ModeOf(const fs::path& path) {
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

long FilesIn(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST_CASE("a durably written file has its content and mode, and nothing stands beside it") {
  TemporaryFolder folder;
  const fs::path path = folder / "a";
  REQUIRE(WriteFileDurably(path, "old").ok());
  CHECK(ModeOf(path) == 0600);
  REQUIRE(WriteFileDurably(path, "new", 0644).ok());
  CHECK(ModeOf(path) == 0644);
  CHECK(*ReadTextFile(path) == "new");
  CHECK(FilesIn(folder.path()) == 1);
}

TEST_CASE("a durable write that fails leaves the old file and no temporary") {
  TemporaryFolder folder;
  fs::create_directory(folder / "taken");
  CHECK_FALSE(WriteFileDurably(folder / "taken", "text").ok());
  CHECK(FilesIn(folder.path()) == 1);
  CHECK(WriteFileDurably(folder.path() / "none" / "a", "text").code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("a disk that takes no more is kResourceExhausted and the old content stays") {
  TemporaryFolder folder;
  const fs::path path = folder / "a";
  REQUIRE(WriteFileDurably(path, "old").ok());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const absl::Status status = WriteFileDurably(path, std::string(5000, 'x'));
    _exit(status.code() == absl::StatusCode::kResourceExhausted ? 42 : 1);
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  REQUIRE(WIFEXITED(how));
  CHECK(WEXITSTATUS(how) == 42);
  CHECK(*ReadTextFile(path) == "old");
  CHECK(FilesIn(folder.path()) == 1);
}

TEST_CASE("reading and writing at an offset is exact") {
  TemporaryFolder folder;
  auto file = File::OpenForWriting(folder / "a", /*truncate=*/true);
  REQUIRE(file.ok());
  CHECK(ModeOf(folder / "a") == 0600);
  REQUIRE(file->WriteAt(5, AsBytes("world")).ok());
  REQUIRE(file->WriteAt(0, AsBytes("hello")).ok());
  CHECK(*file->Size() == 10);
  Bytes middle(4);
  REQUIRE(file->ReadAt(3, middle).ok());
  CHECK(AsText(middle) == "lowo");
  const absl::Status beyond = file->ReadAt(8, middle);
  CHECK(beyond.code() == absl::StatusCode::kDataLoss);
  CHECK(Says(beyond, "ends at byte 10, 2 more"));
  REQUIRE(file->Truncate(3).ok());
  REQUIRE(file->Sync().ok());
  auto again = File::OpenForWriting(folder / "a", /*truncate=*/false);
  CHECK(*again->Size() == 3);
}

TEST_CASE("a file that is not there or too large says so, without its folder") {
  TemporaryFolder folder;
  const auto none = ReadFile(folder / "none");
  CHECK(none.status().code() == absl::StatusCode::kNotFound);
  CHECK(ToStd(none.status().message()).find('/') == std::string_view::npos);
  REQUIRE(WriteFileDurably(folder / "a", "12345").ok());
  CHECK(Says(ReadTextFile(folder / "a", 4).status(), "5 bytes, at most 4"));
  CHECK(ReadFile(folder / "a", 5)->size() == 5);
}

TEST_CASE("a file moves with its descriptor") {
  TemporaryFolder folder;
  auto opened = File::OpenForWriting(folder / "a", true);
  REQUIRE(opened.ok());
  File first = std::move(*opened);
  const int descriptor = first.descriptor();
  File second;
  second = std::move(first);
  CHECK(second.descriptor() == descriptor);
  CHECK(first.descriptor() == -1);
  CHECK(second.WriteAt(0, AsBytes("x")).ok());
}

TEST_CASE("missing folders are made with mode 0700, and a file in their place is refused") {
  TemporaryFolder folder;
  REQUIRE(EnsureFolder(folder.path() / "a" / "b" / "c").ok());
  CHECK(ModeOf(folder.path() / "a" / "b" / "c") == 0700);
  CHECK(EnsureFolder(folder.path() / "a" / "b").ok());
  REQUIRE(WriteFileDurably(folder / "file", "").ok());
  CHECK(Says(EnsureFolder(folder / "file"), "is not a folder"));
}

TEST_CASE("a locked folder is refused to a second process until the first lets go") {
  TemporaryFolder folder;
  const auto code_in_child = [&] {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(static_cast<int>(FolderLock::Acquire(folder.path()).status().code()));
    int how = 0;
    REQUIRE(waitpid(child, &how, 0) == child);
    REQUIRE(WIFEXITED(how));
    return static_cast<absl::StatusCode>(WEXITSTATUS(how));
  };
  {
    const auto lock = FolderLock::Acquire(folder.path());
    REQUIRE(lock.ok());
    CHECK(code_in_child() == absl::StatusCode::kFailedPrecondition);
    CHECK(Says(FolderLock::Acquire(folder.path()).status(), "in use by another process"));
  }
  CHECK(code_in_child() == absl::StatusCode::kOk);
}

TEST_CASE("a mapped file shows the file's bytes, and an empty one none") {
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "a", "mapped").ok());
  auto mapped = MappedFile::Open(folder / "a");
  REQUIRE(mapped.ok());
  const MappedFile moved = std::move(*mapped);
  CHECK(AsText(moved.bytes()) == "mapped");
  REQUIRE(WriteFileDurably(folder / "empty", "").ok());
  CHECK(MappedFile::Open(folder / "empty")->bytes().empty());
  CHECK(MappedFile::Open(folder / "none").status().code() == absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace consilium
