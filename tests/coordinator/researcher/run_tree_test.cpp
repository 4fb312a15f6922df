#include "coordinator/researcher/run_tree.h"

#include "common/base/file.h"
#include "common/base/status.h"
#include "tests/catch.h"

namespace consilium::researcher {
namespace {

using wire::RunEvent;
using wire::RunEventKind;

// Events a tenth of a second apart.
class Story {
 public:
  Story& Say(RunEventKind kind, std::uint32_t round, std::string site, std::string text,
             std::map<std::string, double> values = {}) {
    time_ += FromSeconds(0.1);
    ++sequence_;
    text_ +=
        tree_.On({sequence_, time_, kind, round, round != 0 ? 1u : 0u, SiteId(site), text, values});
    return *this;
  }
  const std::string& text() const { return text_; }
  const RunTree& tree() const { return tree_; }

 private:
  RunTree tree_;
  Time time_{};
  std::uint64_t sequence_ = 0;
  std::string text_;
};

Story TwoSites() {
  const std::string model(64, 'a');
  Story story;
  story.Say(RunEventKind::kSubmitted, 0, "", "chest-opacity")
      .Say(RunEventKind::kSiteAccepted, 0, "north", "",
           {{"patients", 214}, {"examples", 331}, {"refused_files", 2}})
      .Say(RunEventKind::kSiteDeclined, 0, "west", "12 training patients, the plan asks for 50")
      .Say(RunEventKind::kRoundOpened, 1, "", "", {{"sites", 2}, {"parameters", 98401}})
      .Say(RunEventKind::kTaskSent, 1, "north", "")
      .Say(RunEventKind::kProgress, 1, "north", "epoch 1 of 1",
           {{"done", 3}, {"total", 6}, {"loss", 0.7}})
      .Say(RunEventKind::kUpdateReceived, 1, "north", "",
           {{"train_seconds", 3.1},
            {"loss", 0.412},
            {"weight", 331},
            {"bytes", 393604},
            {"upload_seconds", 0.02}})
      .Say(RunEventKind::kContributionLost, 1, "south", "connection lost for 60 s")
      .Say(RunEventKind::kAggregated, 1, "", model, {{"contributions", 2}, {"seconds", 0.01}})
      .Say(RunEventKind::kSiteEvaluated, 1, "north", "",
           {{"auroc", 0.9123},
            {"auroc_low", 0.861},
            {"auroc_high", 0.946},
            {"positives", 30},
            {"negatives", 50}})
      .Say(RunEventKind::kSiteEvaluated, 1, "east", "", {{"suppressed", 1}})
      .Say(RunEventKind::kRoundEvaluated, 1, "", "",
           {{"auroc", 0.904}, {"auroc_low", 0.873}, {"auroc_high", 0.928}, {"best", 1}})
      .Say(RunEventKind::kStopping, 1, "", "1 of 1 rounds done")
      .Say(RunEventKind::kFinalEvaluation, 1, "", model)
      .Say(RunEventKind::kSiteEvaluated, 1, "north", "", {{"auroc", 0.9}, {"test", 1}})
      .Say(RunEventKind::kRoundEvaluated, 1, "", "", {{"auroc", 0.9}, {"test", 1}})
      .Say(RunEventKind::kGatePassed, 1, "", "pooled AUROC 0.900 is at least 0.750")
      .Say(RunEventKind::kPublished, 1, "", model)
      .Say(RunEventKind::kEnded, 1, "", "published", {{"published", 1}, {"seconds", 12.5}});
  return story;
}

// Masked updates: three of four sites stay to the end.
Story FourSitesMasked() {
  const std::string model(64, 'b');
  Story story;
  const auto step = [&](const char* name, double sites, double asked,
                        std::map<std::string, double> values = {}) {
    values.insert({{"sites", sites}, {"asked", asked}, {"threshold", 3}, {"seconds", 0.1}});
    story.Say(RunEventKind::kSecureStep, 1, "", name, values);
  };
  story.Say(RunEventKind::kSubmitted, 0, "", "chest-opacity")
      .Say(RunEventKind::kRoundOpened, 1, "", "", {{"sites", 4}, {"parameters", 98401}});
  step("advertise", 4, 4);
  step("share", 4, 4);
  for (const char* site : {"east", "north", "south"}) {
    story.Say(RunEventKind::kUpdateReceived, 1, site, "",
              {{"weight", 331}, {"bytes", 393604}, {"upload_seconds", 0.02}});
  }
  story.Say(RunEventKind::kContributionLost, 1, "west", "connection lost for 60 s");
  step("upload", 3, 4);
  step("agree", 3, 3);
  step("unmask", 3, 3, {{"survivors", 3}, {"recovered", 1}});
  story.Say(RunEventKind::kAggregated, 1, "", model,
            {{"contributions", 3}, {"seconds", 0.01}, {"loss", 0.4123}});
  for (const char* name : {"advertise", "share", "upload", "agree"}) {
    step(name, 4, 4, {{"evaluation", 1}});
  }
  step("unmask", 4, 4, {{"survivors", 4}, {"recovered", 0}, {"evaluation", 1}});
  story.Say(RunEventKind::kRoundEvaluated, 1, "", "", {{"auroc", 0.904}, {"best", 1}})
      .Say(RunEventKind::kEnded, 1, "", "published", {{"published", 1}, {"seconds", 12.5}});
  return story;
}

void CheckGolden(const char* name, const std::string& text) {
  const fs::path golden = fs::path(std::getenv("CONSILIUM_SOURCE")) / "tests/golden" / name;
  const auto expected = ReadTextFile(golden);
  REQUIRE(expected.ok());
  CHECK(text == *expected);
}

TEST_CASE("a round that freezes part of its model says how much of it travels") {
  Story story;
  story.Say(RunEventKind::kRoundOpened, 1, "", "",
            {{"sites", 3}, {"parameters", 11'175'000}, {"travelling", 300'000}});
  CHECK_THAT(story.text(), ContainsText("11175000 parameters, 1.2 of 44.7 MB of the model travel"));
}

TEST_CASE("A run's events read as the tree in the golden file") {
  CheckGolden("run_tree.txt", TwoSites().text());
}

TEST_CASE("A run with secure aggregation shows its steps and what the coordinator could see") {
  CheckGolden("run_tree_masked.txt", FourSitesMasked().text());
}

TEST_CASE("A run of a table says that its columns were added up unseen, before round one") {
  const std::string model(64, 'c');
  Story story;
  story.Say(RunEventKind::kSubmitted, 0, "", "heart").Say(RunEventKind::kRoundOpened, 0, "", "");
  for (const char* name : {"advertise", "share", "upload", "agree", "unmask"}) {
    std::map<std::string, double> values = {{"sites", 4},      {"asked", 4},
                                            {"threshold", 3},  {"seconds", 0.1},
                                            {"evaluation", 1}, {"preparation", 1}};
    if (std::string(name) == "unmask") values.insert({{"survivors", 4}, {"recovered", 0}});
    story.Say(RunEventKind::kSecureStep, 1, "", name, values);
  }
  story.Say(RunEventKind::kPrepared, 1, "", model, {{"sites", 4}, {"columns", 2}, {"seconds", 0.5}})
      .Say(RunEventKind::kRoundOpened, 1, "", "", {{"sites", 4}, {"parameters", 15}});
  CHECK(story.text() ==
        "plan heart\n"
        "├─ first model            made at one site from the plan's seed\n"
        "├─ opened                 by 4 sites; only their sum was opened\n"
        "├─ prepared               2 columns brought to one scale, that of 4 sites together\n"
        "├─ round 1                4 sites, 15 parameters\n");
}

TEST_CASE("The status line shows who works and how far, and empties when the round is done") {
  Story story;
  story.Say(RunEventKind::kRoundOpened, 1, "", "", {{"sites", 2}})
      .Say(RunEventKind::kProgress, 1, "north", "epoch 1 of 2",
           {{"done", 3}, {"total", 6}, {"loss", 0.7}})
      .Say(RunEventKind::kProgress, 1, "south", "indexing", {});
  CHECK(story.tree().StatusLine() == "north: epoch 1 of 2 50% loss 0.700   south: indexing");
  CHECK(TwoSites().tree().StatusLine().empty());
}

TEST_CASE("Small counts never show a number") {
  CHECK_THAT(MetricText({{"suppressed", 1}, {"auroc", 0.5}}), ContainsText("fewer than 10"));
  CHECK(MetricText({{"suppressed", 1}, {"auroc", 0.5}}).find("0.5") == std::string::npos);
}

}  // namespace
}  // namespace consilium::researcher
