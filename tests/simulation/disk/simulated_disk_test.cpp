#include "tests/simulation/disk/simulated_disk.h"

#include <set>
#include <string>

#include "common/base/file.h"
#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::simulation {
namespace {

const fs::path kState = "/sim/north/state";
constexpr int kSeeds = 200;

// A disk in use on which kState is there.
struct Scene {
  explicit Scene(std::uint64_t seed, const Clock* clock = nullptr) : disk(seed, clock), use(disk) {
    REQUIRE(EnsureFolder(kState).ok());
  }
  void PowerCycle() {
    disk.Crash("north", CrashKind::kPowerLoss);
    disk.Restart("north");
  }

  SimulatedDisk disk;
  UseDisk use;
};

File OpenOrFail(const fs::path& path) {
  auto file = File::OpenForWriting(path, /*truncate=*/false);
  INFO(file.status().ToString());
  REQUIRE(file.ok());
  return std::move(file).value();
}

std::string TextOf(const fs::path& path) {
  const auto text = ReadTextFile(path);
  return text.ok() ? *text : "none: " + std::string(text.status().message());
}

// What `after(scene)` tells, over many seeds.
template <class After>
std::set<std::string> Outcomes(const After& after, std::uint64_t seeds = kSeeds) {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Scene scene(seed);
    outcomes.insert(after(scene));
  }
  return outcomes;
}

TEST_CASE("a program sees on the simulated disk what it would see on a real one") {
  ManualClock clock(Time(std::chrono::seconds(1'700'000'000)));
  Scene scene(1, &clock);
  REQUIRE(WriteFileDurably(kState / "a", "hello").ok());
  CHECK(TextOf(kState / "a") == "hello");
  CHECK(*FileSize(kState / "a") == 5);
  CHECK(File::OpenForReading(kState / "a")->Info()->mode == 0600);
  CHECK(Exists(kState));
  CHECK_FALSE(Exists(kState / "b"));
  CHECK(ReadFile(kState / "b").status().code() == absl::StatusCode::kNotFound);
  CHECK(Says(EnsureFolder(kState / "a"), "is not a folder"));
  CHECK(*MakeEmptyFile(kState / "b"));
  CHECK_FALSE(*MakeEmptyFile(kState / "b"));
  REQUIRE(EnsureFolder(kState / "c" / "d").ok());
  const auto entries = ListFolder(kState);
  REQUIRE(entries->size() == 3);
  CHECK(entries->at(0).path == kState / "a");
  CHECK(entries->at(0).modified == clock.Now());
  CHECK(entries->at(2).folder);
  CHECK_FALSE(Remove(kState / "c").ok());
  CHECK(RemoveTree(kState / "c").ok());
  CHECK(Remove(kState / "c").ok());
  CHECK(Rename(kState / "a", kState / "b").ok());
  CHECK(TextOf(kState / "b") == "hello");
  CHECK(AsText(MappedFile::Open(kState / "b")->bytes()) == "hello");
  CHECK(ReadFile("/etc/passwd").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a file's bytes are read, written over and cut on the simulated disk") {
  Scene scene(1);
  File file = OpenOrFail(kState / "a");
  REQUIRE(file.WriteAt(5, AsBytes("world")).ok());
  REQUIRE(file.WriteAt(0, AsBytes("hello")).ok());
  REQUIRE(file.Truncate(8).ok());
  CHECK(TextOf(kState / "a") == "hellowor");
  Bytes four(4);
  CHECK(file.ReadAt(6, four).code() == absl::StatusCode::kDataLoss);
  CHECK(File::OpenForWriting(kState / "a", /*truncate=*/true)->Size().value() == 0);
}

TEST_CASE("what an fsync covered survives every power loss") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    Scene scene(seed);
    REQUIRE(WriteFileDurably(kState / "a", std::string(3000, 'x')).ok());
    File file = OpenOrFail(kState / "a");
    REQUIRE(file.WriteAt(1000, Bytes(1000, 'y')).ok());
    REQUIRE(file.Sync().ok());
    scene.PowerCycle();
    REQUIRE(TextOf(kState / "a") ==
            std::string(1000, 'x') + std::string(1000, 'y') + std::string(1000, 'x'));
  }
}

TEST_CASE("what no fsync covered is kept, lost or torn between sectors, never within one") {
  const auto outcomes = Outcomes(
      [](Scene& scene) {
        REQUIRE(WriteFileDurably(kState / "a", std::string(4 * 512, '-')).ok());
        File file = OpenOrFail(kState / "a");
        REQUIRE(file.WriteAt(0, Bytes(1024, 'a')).ok());
        REQUIRE(file.WriteAt(512, Bytes(1024, 'b')).ok());
        scene.PowerCycle();
        const std::string text = TextOf(kState / "a");
        REQUIRE(text.size() == 4 * 512);
        std::string sectors;
        for (std::size_t at = 0; at < text.size(); at += 512) {
          REQUIRE(text.substr(at, 512) == std::string(512, text[at]));
          sectors += text[at];
        }
        return sectors;
      },
      5000);
  CHECK(outcomes == std::set<std::string>{"----", "a---", "-a--", "aa--", "-b--", "--b-", "-bb-",
                                          "ab--", "a-b-", "-ab-", "aab-", "abb-"});
}

TEST_CASE("a file that grew may be short, hold zeros or be whole after a power loss") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "").ok());
    REQUIRE(OpenOrFail(kState / "a").WriteAt(0, AsBytes("new")).ok());
    scene.PowerCycle();
    return TextOf(kState / "a");
  });
  CHECK(outcomes == std::set<std::string>{"", std::string(3, '\0'), "new"});
}

TEST_CASE("a cut that is lost takes with it what was written behind it") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    auto file = File::OpenForWriting(kState / "a", /*truncate=*/true);
    REQUIRE(file->WriteAt(0, AsBytes("newer")).ok());
    scene.PowerCycle();
    return TextOf(kState / "a");
  });
  CHECK(outcomes == std::set<std::string>{"", "old", "newer", std::string(5, '\0')});
}

TEST_CASE("a rename that no sync of the folder covered may have happened or not") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    REQUIRE(WriteFileDurably(kState / "b", "new").ok());
    REQUIRE(Rename(kState / "b", kState / "a").ok());
    scene.PowerCycle();
    return TextOf(kState / "a") + (Exists(kState / "b") ? " and b" : "");
  });
  CHECK(outcomes == std::set<std::string>{"old and b", "new"});
}

TEST_CASE("a durable rename and a durable write are there after every power loss") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    REQUIRE(WriteFileDurably(kState / "b", "new").ok());
    REQUIRE(RenameDurably(kState / "b", kState / "a").ok());
    scene.PowerCycle();
    return TextOf(kState / "a") + (Exists(kState / "b") ? " and b" : "");
  });
  CHECK(outcomes == std::set<std::string>{"new"});
}

TEST_CASE("a file whose folder was not synced may be gone, and one that was removed be back") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "a").ok());
    REQUIRE(Remove(kState / "a").ok());
    File file = OpenOrFail(kState / "b");
    REQUIRE(file.WriteAt(0, AsBytes("b")).ok());
    REQUIRE(file.Sync().ok());
    scene.PowerCycle();
    return std::string(Exists(kState / "a") ? "a" : "") + (Exists(kState / "b") ? "b" : "");
  });
  CHECK(outcomes == std::set<std::string>{"", "a", "b", "ab"});
}

TEST_CASE("a rename between two folders is whole: the file is in one of them") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(EnsureFolder(kState / "from").ok());
    REQUIRE(EnsureFolder(kState / "to").ok());
    REQUIRE(WriteFileDurably(kState / "from" / "a", "a").ok());
    REQUIRE(Rename(kState / "from" / "a", kState / "to" / "a").ok());
    scene.PowerCycle();
    return std::string(Exists(kState / "from" / "a") ? "from" : "") +
           (Exists(kState / "to" / "a") ? "to" : "");
  });
  CHECK(outcomes == std::set<std::string>{"from", "to"});
}

TEST_CASE("a killed process leaves all that it wrote, and a power loss later may still take it") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(OpenOrFail(kState / "a").WriteAt(0, AsBytes("text")).ok());
    scene.disk.Crash("north", CrashKind::kKill);
    scene.disk.Restart("north");
    REQUIRE(TextOf(kState / "a") == "text");
    scene.PowerCycle();
    return std::string(Exists(kState / "a") ? "there" : "gone");
  });
  CHECK(outcomes == std::set<std::string>{"gone", "there"});
}

TEST_CASE("a machine that crashed fails every call, and what was open stays dead") {
  Scene scene(1);
  File file = OpenOrFail(kState / "a");
  auto lock = FolderLock::Acquire(kState);
  REQUIRE(lock.ok());
  CHECK_FALSE(FolderLock::Acquire(kState).ok());
  CHECK(WriteFileDurably("/sim/south/a", "other machine").ok());
  scene.disk.Crash("north", CrashKind::kKill);
  CHECK(scene.disk.crashed("north"));
  CHECK_FALSE(file.WriteAt(0, AsBytes("x")).ok());
  CHECK_FALSE(ReadFile(kState / "a").ok());
  CHECK_FALSE(EnsureFolder("/sim/north/new").ok());
  CHECK(TextOf("/sim/south/a") == "other machine");
  scene.disk.Restart("north");
  CHECK_FALSE(file.WriteAt(0, AsBytes("x")).ok());
  CHECK_FALSE(file.Sync().ok());
  CHECK(TextOf(kState / "a").empty());
  const auto again = FolderLock::Acquire(kState);  // the dead process's lock is gone
  CHECK(again.ok());
  lock = absl::UnavailableError("");  // closing it later lets go of nothing
  CHECK_FALSE(FolderLock::Acquire(kState).ok());
}

TEST_CASE("a planned crash comes in the n-th operation, which happened in part or not at all") {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Scene scene(seed);
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    std::uint64_t n = 1;
    while (true) {
      scene.disk.CrashAtOperation("north", n, CrashKind::kPowerLoss);
      const absl::Status status = WriteFileDurably(kState / "a", "new");
      if (!scene.disk.crashed("north")) {
        REQUIRE(status.ok());
        break;
      }
      CHECK_FALSE(status.ok());
      scene.disk.Restart("north");
      const std::string text = TextOf(kState / "a");
      REQUIRE((text == "old" || text == "new"));
      seen.insert(text);
      REQUIRE(WriteFileDurably(kState / "a", "old").ok());
      ++n;
    }
    REQUIRE(n == 6);  // create, write, fsync, rename, fsync of the folder: five places to die
  }
  CHECK(seen == std::set<std::string>{"old", "new"});
}

TEST_CASE("a full disk takes what fits, and says so as a real one does") {
  Scene scene(1);
  REQUIRE(WriteFileDurably(kState / "a", "old").ok());
  scene.disk.SetQuota("north", 1000);
  const absl::Status full = WriteFileDurably(kState / "a", std::string(2000, 'x'));
  CHECK(full.code() == absl::StatusCode::kResourceExhausted);
  CHECK(TextOf(kState / "a") == "old");
  CHECK(scene.disk.UsedBytes("north") == 3);
  CHECK(WriteFileDurably(kState / "b", std::string(997, 'x')).ok());
  CHECK(MakeEmptyFile(kState / "c").status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(OpenOrFail(kState / "b").WriteAt(10, AsBytes("within")).ok());
  scene.disk.SetQuota("north", std::nullopt);
  CHECK(MakeEmptyFile(kState / "c").ok());
}

TEST_CASE("short reads and writes are no errors to file.h") {
  Scene scene(7);
  scene.disk.SetFaults("north", {.short_read = 0.5, .short_write = 0.5});
  const std::string text(10'000, 'x');
  REQUIRE(WriteFileDurably(kState / "a", text).ok());
  CHECK(TextOf(kState / "a") == text);
  CHECK(AsText(MappedFile::Open(kState / "a")->bytes()) == text);
}

TEST_CASE("reads, writes and syncs fail when they are told to") {
  Scene scene(7);
  REQUIRE(WriteFileDurably(kState / "a", "text").ok());
  scene.disk.SetFaults("north", {.read_error = 1});
  CHECK(ReadFile(kState / "a").status().code() == absl::StatusCode::kInternal);
  scene.disk.SetFaults("north", {.write_error = 1});
  CHECK_FALSE(OpenOrFail(kState / "a").WriteAt(0, AsBytes("x")).ok());
  CHECK_FALSE(Remove(kState / "a").ok());
  scene.disk.SetFaults("north", {.sync_error = 1});
  CHECK_FALSE(OpenOrFail(kState / "a").Sync().ok());
  CHECK(TextOf(kState / "a") == "text");
}

TEST_CASE("a write whose fsync failed may be lost even when the next fsync succeeds") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    File file = OpenOrFail(kState / "a");
    REQUIRE(file.WriteAt(0, AsBytes("new")).ok());
    scene.disk.SetFaults("north", {.sync_error = 1});
    REQUIRE_FALSE(file.Sync().ok());
    scene.disk.SetFaults("north", {});
    REQUIRE(file.Sync().ok());
    REQUIRE(TextOf(kState / "a") == "new");
    scene.PowerCycle();
    return TextOf(kState / "a");
  });
  CHECK(outcomes == std::set<std::string>{"old", "new"});
}

TEST_CASE("a durable write whose fsync of the file is ignored is found out by a power loss") {
  const bool only_one = GENERATE(true, false);
  const auto outcomes = Outcomes([&](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    if (only_one) {
      scene.disk.IgnoreSync("north", 1);
    } else {
      scene.disk.IgnoreSyncs("north", IgnoredSyncs::kOfFiles);
    }
    REQUIRE(WriteFileDurably(kState / "a", "new").ok());
    scene.PowerCycle();
    return TextOf(kState / "a");
  });
  CHECK(outcomes == std::set<std::string>{"", "new", std::string(3, '\0')});
}

TEST_CASE("what a killed process left unsynced is durable once the next has locked the folder") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(EnsureFolder(kState / "b").ok());
    REQUIRE(OpenOrFail(kState / "b" / "a").WriteAt(0, AsBytes("text")).ok());
    scene.disk.Crash("north", CrashKind::kKill);
    scene.disk.Restart("north");
    REQUIRE(FolderLock::Acquire(kState).ok());
    scene.PowerCycle();
    return TextOf(kState / "b" / "a");
  });
  CHECK(outcomes == std::set<std::string>{"text"});
}

TEST_CASE("a durable write whose fsync of the folder is ignored is found out by a power loss") {
  const auto outcomes = Outcomes([](Scene& scene) {
    REQUIRE(WriteFileDurably(kState / "a", "old").ok());
    scene.disk.IgnoreSyncs("north", IgnoredSyncs::kOfFolders);
    REQUIRE(WriteFileDurably(kState / "a", "new").ok());
    scene.PowerCycle();
    return TextOf(kState / "a");
  });
  CHECK(outcomes == std::set<std::string>{"old", "new"});
}

TEST_CASE("the same seed and the same calls leave the same disk") {
  const auto run = [](std::uint64_t seed) {
    Scene scene(seed);
    std::string all;
    for (int i = 0; i < 50; ++i) {
      scene.disk.CrashAtOperation("north", 1 + scene.disk.random().Below(8), CrashKind::kPowerLoss);
      for (int j = 0; j < 3; ++j) {
        (void)WriteFileDurably(kState / StrCat("f", j),
                               std::string(2000, static_cast<char>('a' + i % 26)));
      }
      if (!scene.disk.crashed("north")) scene.disk.Crash("north", CrashKind::kPowerLoss);
      scene.disk.Restart("north");
      const auto entries = ListFolder(kState);
      for (const FolderEntry& entry : *entries) {
        StrAppend(&all, entry.path.string(), "=", TextOf(entry.path), ";");
      }
    }
    return all;
  };
  CHECK(run(3) == run(3));
  CHECK(run(3) != run(4));
}

TEST_CASE("the disk counts what was done to it") {
  Scene scene(1);
  const DiskCounters before = scene.disk.counters("north");
  REQUIRE(WriteFileDurably(kState / "a", "text").ok());
  const DiskCounters after = scene.disk.counters("north");
  CHECK(after.operations - before.operations == 5);
  CHECK(after.syncs - before.syncs == 2);
  CHECK(after.bytes_written - before.bytes_written == 4);
}

}  // namespace
}  // namespace consilium::simulation
