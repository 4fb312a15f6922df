#include "site_agent/optimizer_memory.h"

#include <numeric>

#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::site_agent {
namespace {

const RunId kRun("small-0001");

// More than one segment of a sealed file.
learning::OptimizerMoments Moments(float from, std::uint64_t steps = 12) {
  learning::OptimizerMoments moments{.steps = steps, .first = std::vector<float>(50001)};
  std::iota(moments.first.begin(), moments.first.end(), from);
  moments.second.assign(moments.first.rbegin(), moments.first.rend());
  return moments;
}

struct Site {
  TemporaryFolder folder;
  crypto::Secret key = crypto::Secret::CopyOf(Bytes(32, 1));
  SeededRandom random{1};
  OptimizerMemory memory{folder / "optimizer", key, random};

  std::optional<float> FirstBefore(std::uint32_t round) {
    const auto moments = memory.Before(kRun, round);
    REQUIRE(moments.ok());
    return *moments ? std::optional((*moments)->first.front()) : std::nullopt;
  }
  std::vector<FolderEntry> Files() const { return *ListFolder(folder / "optimizer" / kRun.value); }
};

TEST_CASE("an optimizer goes on with what its last round left") {
  Site site;
  CHECK_FALSE(site.FirstBefore(1));
  REQUIRE(site.memory.Keep(kRun, 1, Moments(5)).ok());
  const auto moments = site.memory.Before(kRun, 2);
  REQUIRE(moments.ok());
  REQUIRE(*moments);
  CHECK((*moments)->steps == 12);
  CHECK((*moments)->first == Moments(5).first);
  CHECK((*moments)->second == Moments(5).second);
  CHECK(site.FirstBefore(7) == 5);  // a site that was away for some rounds
  CHECK_FALSE(*site.memory.Before(RunId("small-0002"), 2));
}

TEST_CASE("SGD has one moment, AdamW two") {
  Site site;
  learning::OptimizerMoments moments = Moments(5);
  moments.second.clear();
  REQUIRE(site.memory.Keep(kRun, 1, moments).ok());
  const auto kept = *site.memory.Before(kRun, 2);
  CHECK(kept->first == moments.first);
  CHECK(kept->second.empty());
}

TEST_CASE("a round that is trained again begins as it did the first time") {
  Site site;
  REQUIRE(site.memory.Keep(kRun, 1, Moments(5)).ok());
  REQUIRE(site.FirstBefore(2) == 5);
  REQUIRE(site.memory.Keep(kRun, 2, Moments(6, 24)).ok());
  CHECK(site.FirstBefore(2) == 5);
  REQUIRE(site.memory.Keep(kRun, 2, Moments(7, 25)).ok());
  CHECK(site.Files().size() == 2);
  CHECK(site.FirstBefore(3) == 7);
  CHECK(site.Files().size() == 1);  // round 1's is of no use any more
}

TEST_CASE("moments that are not what the site wrote are left out, and the optimizer begins anew") {
  Site site;
  REQUIRE(site.memory.Keep(kRun, 3, Moments(5)).ok());
  const fs::path file = site.Files().front().path;
  SECTION("a byte changed") {
    Bytes bytes = *ReadFile(file);
    bytes[bytes.size() / 2] ^= 1;
    REQUIRE(WriteFileDurably(file, bytes).ok());
  }
  SECTION("cut") {
    Bytes bytes = *ReadFile(file);
    bytes.resize(GENERATE(std::size_t{0}, std::size_t{32}, std::size_t{1000}));
    REQUIRE(WriteFileDurably(file, bytes).ok());
  }
  SECTION("of another round") { fs::rename(file, file.parent_path() / "2-12-2.sealed"); }
  SECTION("of other steps") { fs::rename(file, file.parent_path() / "3-13-2.sealed"); }
  SECTION("one moment for two") { fs::rename(file, file.parent_path() / "3-12-1.sealed"); }
  SECTION("of another run") {
    REQUIRE(EnsureFolder(site.folder / "optimizer" / "small-0002").ok());
    fs::rename(file, site.folder / "optimizer" / "small-0002" / file.filename());
    const auto moments = site.memory.Before(RunId("small-0002"), 4);
    REQUIRE(moments.ok());
    CHECK_FALSE(*moments);
  }
  SECTION("with another key") {
    const crypto::Secret other = crypto::Secret::CopyOf(Bytes(32, 2));
    const OptimizerMemory memory(site.folder / "optimizer", other, site.random);
    const auto moments = memory.Before(kRun, 4);
    REQUIRE(moments.ok());
    CHECK_FALSE(*moments);
    return;
  }
  CHECK_FALSE(site.FirstBefore(4));
}

}  // namespace
}  // namespace consilium::site_agent
