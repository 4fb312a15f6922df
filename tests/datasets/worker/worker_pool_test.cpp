// The pool and its sandbox, with a worker whose files say in words what a hostile file would do.

#include "datasets/worker/worker_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/datasets/dicom_bytes.h"

namespace consilium::datasets::worker {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kLargest = 1 << 16;

fs::path Program(std::string_view name) { return fs::path(std::getenv("CONSILIUM_BIN")) / name; }

std::unique_ptr<WorkerPool> ObedientPool(PoolOptions options = {}) {
  options.program = Program("consilium-obedient-worker");
  auto pool = WorkerPool::Create(options);
  INFO(pool.status().ToString());
  REQUIRE(pool.ok());
  return *std::move(pool);
}

std::string Words(const OrRefused<Bytes>& result) {
  if (result.ok()) return std::string(AsText(*result));
  return std::string(Name(result.refused().reason));
}

class Orders {
 public:
  fs::path File(const std::string& order) {
    const fs::path path = folder_.path() / std::to_string(++files_);
    std::ofstream(path) << order;
    return path;
  }
  std::vector<fs::path> Files(const std::vector<std::string>& orders) {
    std::vector<fs::path> paths;
    for (const std::string& order : orders) paths.push_back(File(order));
    return paths;
  }

 private:
  TemporaryFolder folder_;
  int files_ = 0;
};

std::string Obey(WorkerPool& pool, const fs::path& file) {
  return Words(pool.Call("obey", {}, {&file, 1}, kLargest));
}

// The processes whose parent is `of`, which are not dead.
std::vector<pid_t> ChildrenOf(pid_t of) {
  std::vector<pid_t> children;
  DIR* processes = opendir("/proc");
  while (const dirent* entry = readdir(processes)) {
    std::ifstream file(std::string("/proc/") + entry->d_name + "/stat");
    std::stringstream text;
    text << file.rdbuf();
    const std::size_t name_end = text.str().rfind(')');
    if (name_end == std::string::npos) continue;
    std::stringstream rest(text.str().substr(name_end + 1));
    char state = 0;
    pid_t parent = 0;
    rest >> state >> parent;
    if (parent == of && state != 'Z') children.push_back(std::atoi(entry->d_name));
  }
  closedir(processes);
  return children;
}

int Children() { return static_cast<int>(ChildrenOf(getpid()).size()); }

// Whether a process is there and not dead.
bool Lives(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") Z") != 0;
}

bool Unconfined(const WorkerPool& pool) {
  if (pool.sandboxed()) return false;
  WARN("skipped: a sanitizer's build has no sandbox");
  return true;
}

}  // namespace

TEST_CASE("A file that crashes its reader is refused, and the pool goes on") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  for (const char* order : {"crash", "abort", "throw", "leave", "recurse"}) {
    INFO(order);
    CHECK(Obey(*pool, orders.File(order)) == "crashed-reader");
    CHECK(Obey(*pool, orders.File("the next")) == "read: the next");
  }
}

TEST_CASE(
    "A file on which the reader hangs is refused after the time limit, and the pool goes on") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1, .time_limit = 200ms});
  const auto start = std::chrono::steady_clock::now();
  CHECK(Obey(*pool, orders.File("hang")) == "reader-took-too-long");
  const auto waited = std::chrono::steady_clock::now() - start;
  CHECK(waited >= 200ms);
  CHECK(waited < 10s);
  CHECK(Obey(*pool, orders.File("the next")) == "read: the next");
}

TEST_CASE("A file for which the reader wants 4 GiB is refused, and the pool goes on") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  if (Unconfined(*pool)) return;
  CHECK(Obey(*pool, orders.File("allocate 4 GiB")) == "reader-needed-too-much-memory");
  CHECK(Obey(*pool, orders.File("the next")) == "read: the next");
}

TEST_CASE("A small DICOM file that makes DCMTK ask for 4 GiB is refused in the sandbox") {
  const TemporaryFolder folder;
  const auto pool = ObedientPool({.workers = 1});
  if (Unconfined(*pool)) return;
  const fs::path bomb = folder.path() / "bomb.dcm", sound = folder.path() / "sound.dcm";
  // A data set without its meta information, whose second element claims 4 GiB.
  const std::string claim(
      "\x08\0\x16\0\2\0\0\0"
      "1.\x29\0\x10\x10\xf0\xff\xff\xff",
      18);
  REQUIRE(WriteFileDurably(bomb, claim + std::string(294, 'x')).ok());
  DicomBytes::Image().Pixels().PixelData().Save(sound);
  CHECK(Words(pool->Call("dcmtk", {}, {&bomb, 1}, kLargest)) == "reader-needed-too-much-memory");
  CHECK(Words(pool->Call("dcmtk", {}, {&sound, 1}, kLargest)) == "good");
}

TEST_CASE("The system ends a worker for whatever reading a file does not need") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  if (Unconfined(*pool)) return;
  for (const char* order :
       {"open a file", "make a file", "look at a file", "open a socket", "execute", "fork",
        "kill its parent", "trace its parent", "read its parent's memory", "map code",
        "get another descriptor", "write to the file"}) {
    INFO(order);
    const fs::path file = orders.File(order);
    const auto result = pool->Call("obey", {}, {&file, 1}, kLargest);
    REQUIRE_FALSE(result.ok());
    CHECK(result.refused().reason == Refusal::kCrashedReader);
    CHECK(result.refused().detail == "it called what the sandbox forbids");
    CHECK(Obey(*pool, orders.File("the next")) == "read: the next");
  }
  CHECK_FALSE(fs::exists("/tmp/made-by-a-worker"));
}

TEST_CASE("Of many files read together only the hostile ones are refused") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 2, .time_limit = 300ms});
  const std::map<int, std::string> hostile = {{0, "crash"},   {17, "hang"},  {31, "leave"},
                                              {32, "babble"}, {40, "crash"}, {99, "throw"}};
  std::vector<std::string> words;
  for (int i = 0; i < 100; ++i) {
    words.push_back(hostile.contains(i) ? hostile.at(i) : "file " + std::to_string(i));
  }
  const auto files = orders.Files(words);
  const auto results = pool->CallForEach("obey", {}, files, kLargest);
  REQUIRE(results.size() == 100);
  for (int i = 0; i < 100; ++i) {
    INFO(i << " " << words[static_cast<std::size_t>(i)]);
    const std::string expected = !hostile.contains(i) ? "read: file " + std::to_string(i)
                                 : i == 17            ? "reader-took-too-long"
                                                      : "crashed-reader";
    CHECK(Words(results[static_cast<std::size_t>(i)]) == expected);
  }
}

TEST_CASE("What a worker says that keeps to no protocol, or is too long, is refused") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  CHECK(Obey(*pool, orders.File("babble")) == "crashed-reader");
  CHECK(Obey(*pool, orders.File("a long answer")) == "crashed-reader");
  const fs::path file = orders.File("a long answer");
  const auto allowed = pool->Call("obey", {}, {&file, 1}, 1 << 20);
  CHECK((allowed.ok() && *allowed == Bytes(1 << 20, 7)));
  const fs::path escape = orders.File("a terminal's escape");
  const auto refused = pool->Call("obey", {}, {&escape, 1}, kLargest);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.refused().reason == Refusal::kDamaged);
  CHECK(refused.refused().detail == "?[2J?");
}

TEST_CASE("A file that cannot be opened is unreadable and the others are read") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  auto files = orders.Files({"one", "two"});
  files.insert(files.begin() + 1, files[0].parent_path() / "absent");
  const auto results = pool->CallForEach("obey", {}, files, kLargest);
  CHECK(Words(results[0]) == "read: one");
  CHECK(Words(results[1]) == "unreadable");
  CHECK(Words(results[2]) == "read: two");
}

TEST_CASE("One call takes hundreds of files and megabytes of arguments") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  const auto files = orders.Files(std::vector<std::string>(600, "ten bytes."));
  const Bytes arguments(5'000'000, 1);
  CHECK(Words(pool->Call("count", arguments, files, kLargest)) ==
        "600 files of 6000 bytes, and 5000000 of arguments");
}

TEST_CASE("An operation that the worker does not know is refused") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 1});
  const fs::path file = orders.File("x");
  CHECK(Words(pool->Call("sing", {}, {&file, 1}, kLargest)) == "unreadable");
}

TEST_CASE("Several threads share a pool, and each gets its own answers") {
  Orders orders;
  const auto pool = ObedientPool({.workers = 2, .calls_per_worker = 7});
  std::vector<std::vector<fs::path>> files(4);
  for (int thread = 0; thread < 4; ++thread) {
    for (int i = 0; i < 50; ++i) {
      files[static_cast<std::size_t>(thread)].push_back(
          orders.File(std::to_string(thread) + "/" + std::to_string(i)));
    }
  }
  std::vector<int> right(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 50; ++i) {
          const std::string expected = "read: " + std::to_string(thread) + "/" + std::to_string(i);
          right[thread] += Obey(*pool, files[thread][static_cast<std::size_t>(i)]) == expected;
        }
      });
    }
  }
  CHECK(right == std::vector<int>(4, 50));
  CHECK(Children() <= 2);
}

TEST_CASE("A worker outlives the thread that asked for it first, and none outlives its pool") {
  Orders orders;
  const int before = Children();
  auto pool = ObedientPool({.workers = 2});
  std::jthread([&] { Obey(*pool, orders.File("first")); }).join();
  CHECK(Obey(*pool, orders.File("second")) == "read: second");
  CHECK(Children() == before + 1);
  pool.reset();
  CHECK(Children() == before);
}

TEST_CASE("Workers end with a parent that is killed, whatever they are at") {
  Orders orders;
  const fs::path hang = orders.File("hang"), sign = orders.File("") += ".started";
  const pid_t parent = fork();
  if (parent == 0) {
    const auto pool =
        WorkerPool::Create({.program = Program("consilium-obedient-worker"), .workers = 1});
    if (!pool.ok()) _exit(1);
    std::ofstream(sign) << "started";
    (void)(*pool)->Call("obey", {}, {&hang, 1}, kLargest);
    _exit(0);
  }
  const auto patience = std::chrono::steady_clock::now() + 20s;
  std::vector<pid_t> workers;
  while (!fs::exists(sign) || workers.empty()) {
    REQUIRE(std::chrono::steady_clock::now() < patience);
    std::this_thread::sleep_for(5ms);
    workers = ChildrenOf(parent);
  }
  std::this_thread::sleep_for(50ms);  // it is at the file
  kill(parent, SIGKILL);
  REQUIRE(waitpid(parent, nullptr, 0) == parent);
  for (const pid_t worker : workers) {
    while (Lives(worker) && std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(5ms);
    }
    CHECK_FALSE(Lives(worker));
  }
}

TEST_CASE("A program that is not there, or is none of ours, says what is to be done") {
  const auto absent = WorkerPool::Create({.program = "/nowhere/consilium-image-worker"});
  CHECK(absent.status().code() == absl::StatusCode::kUnavailable);
  CHECK_THAT(absent.status().ToString(), ContainsText("consilium-image-worker"));
  const auto other = WorkerPool::Create({.program = "/bin/true"});
  CHECK(other.status().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace consilium::datasets::worker
