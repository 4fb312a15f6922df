// The protocol's stories, tests/scenarios/*.txt: each is played, and its expectations hold.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "tests/catch.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/sequence_diagram.h"

namespace consilium::simulation {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Stories() {
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  std::vector<fs::path> stories;
  for (const auto& entry : fs::directory_iterator(fs::path(source) / "tests/scenarios")) {
    if (entry.path().extension() == ".txt") stories.push_back(entry.path());
  }
  std::sort(stories.begin(), stories.end());
  return stories;
}

std::string TextOf(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("every story of the protocol ends as it says") {
  SetLogLevel(static_cast<LogLevel>(4));  // beyond kError: none
  const std::vector<fs::path> stories = Stories();
  CHECK(stories.size() >= 8);
  for (const fs::path& story : stories) {
    Trace trace(Trace::Keep::kLines);
    const absl::Status played = PlayScenario(TextOf(story), trace);
    INFO(story.filename().string()
         << ": " << played.ToString() << "\nreplay: build/bin/simulate "
         << "--scenario tests/scenarios/" << story.filename().string() << " --trace");
    CHECK(played.ok());
  }
}

TEST_CASE("a story that does not come true, and one that means nothing, say in which line") {
  SetLogLevel(static_cast<LogLevel>(4));
  const std::string story = "sites a b c\nplan masked rounds 1\nstart\nfinish\n";
  Trace first(Trace::Keep::kLines), second(Trace::Keep::kLines), third(Trace::Keep::kLines);
  const absl::Status untrue = PlayScenario(story + "expect counted 1 a b\n", first);
  CHECK(absl::IsFailedPrecondition(untrue));
  CHECK_THAT(untrue.ToString(), ContainsText("line 5") && ContainsText("a b c"));
  CHECK(absl::IsInvalidArgument(PlayScenario(story + "dance\n", second)));
  CHECK(absl::IsInvalidArgument(PlayScenario("until trains\n", third)));
}

TEST_CASE("a story is drawn as a sequence diagram") {
  SetLogLevel(static_cast<LogLevel>(4));
  Trace trace(Trace::Keep::kLines);
  REQUIRE(PlayScenario("sites a b c\nplan masked rounds 1\nstart\nfinish\n", trace).ok());
  const std::string diagram = ToMermaid(trace.lines());
  CHECK_THAT(diagram, ContainsText("sequenceDiagram\n  participant coordinator\n"));
  CHECK_THAT(diagram, ContainsText("coordinator->>a: asks to train\n"));
  CHECK_THAT(diagram, ContainsText("Note over b: trains\n"));
}

}  // namespace
}  // namespace consilium::simulation
