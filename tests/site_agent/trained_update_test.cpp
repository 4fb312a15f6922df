#include "site_agent/trained_update.h"

#include <limits>

#include "common/model/safetensors.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

const RunId kRun("small-0001");

crypto::Secret StateKey(std::uint8_t byte) { return crypto::Secret::CopyOf(Bytes(32, byte)); }

// More than one segment: the update is 1, 2, 3 ...
Contribution Update() {
  const ModelState base = SmallModel(1);
  std::vector<float> values;
  for (std::size_t i = 0; i < base.values().size(); ++i) {
    values.push_back(static_cast<float>(i % 1000) + 2);
  }
  return {.key = {kRun, 3, 1},
          .base = base,
          .base_id = Digest{{1}},
          .model = *ModelState::Create(base.layout(), std::move(values)),
          .weight = 40};
}

TrainedRecord Record() { return {kRun, 3, Digest{{1}}, 7, 40, 50, 0.5, 12}; }

TEST_CASE("what was trained is read back as the update that it is") {
  const TemporaryFolder folder;
  SeededRandom random(1);
  const auto kept = KeepTrained(Record(), Update(), StateKey(1), random, folder.path());
  REQUIRE(kept.ok());
  CHECK(kept->file.filename() == "small-0001-3.trained");
  const auto update = ReadTrained(*kept, StateKey(1));
  REQUIRE(update.ok());
  CHECK(update->layout() == SmallModel(0).layout());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < update->values().size(); ++i) {
    wrong += update->values()[i] != static_cast<float>(i % 1000) + 1;
  }
  CHECK(wrong == 0);
  CHECK(ListFolder(folder.path())->size() == 1);
}

TEST_CASE("what was trained opens whole, unchanged, for what it was made and with the site's key") {
  const TemporaryFolder folder;
  SeededRandom random(1);
  TrainedRecord kept = *KeepTrained(Record(), Update(), StateKey(1), random, folder.path());
  crypto::Secret key = StateKey(1);
  SECTION("another key") { key = StateKey(2); }
  SECTION("another round") { kept.round = 4; }
  SECTION("another base") { kept.base = Digest{{2}}; }
  SECTION("another seed") { kept.seed = 8; }
  SECTION("another layout") { kept.layout_header = WriteSafetensorsHeader({{"another", {90007}}}); }
  SECTION("a byte changed") {
    Bytes bytes = *ReadFile(kept.file);
    bytes[bytes.size() / 2] ^= 1;
    REQUIRE(WriteFileDurably(kept.file, bytes).ok());
  }
  SECTION("cut") {
    Bytes bytes = *ReadFile(kept.file);
    bytes.resize(GENERATE(std::size_t{0}, std::size_t{31}, std::size_t{32}, std::size_t{50},
                          std::size_t{262192}));
    REQUIRE(WriteFileDurably(kept.file, bytes).ok());
  }
  SECTION("longer") {
    Bytes bytes = *ReadFile(kept.file);
    bytes.push_back(0);
    REQUIRE(WriteFileDurably(kept.file, bytes).ok());
  }
  CHECK(absl::IsDataLoss(ReadTrained(kept, key).status()));
}

TEST_CASE("an update that is not finite is not kept") {
  const TemporaryFolder folder;
  SeededRandom random(1);
  Contribution update = Update();
  update.base = SmallModel(-std::numeric_limits<float>::max());
  update.model = SmallModel(std::numeric_limits<float>::max());
  const auto kept = KeepTrained(Record(), update, StateKey(1), random, folder.path());
  CHECK_THAT(kept.status().ToString(), ContainsText("infinite in tensor \"features.weight\""));
  CHECK(ListFolder(folder.path())->empty());
}

}  // namespace
}  // namespace consilium::site_agent
