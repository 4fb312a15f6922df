#include "experiments/report/report.h"

#include <cstdlib>

#include "experiments/comparison.h"
#include "experiments/run_history.h"
#include "tests/catch.h"

namespace consilium::experiments {
namespace {

std::string GoldenText() {
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  return *ReadTextFile(fs::path(source) / "tests/experiments/golden/results.json");
}

Results Golden() { return ResultsFromJson(GoldenText()).value(); }

TestedModel* Model(Results& results, ModelKind kind) {
  for (TestedModel& model : results.models) {
    if (model.kind == kind) return &model;
  }
  return nullptr;
}

TEST_CASE("results come back from their file as they were written") {
  const Results results = Golden();
  const std::string json = ToJson(results);
  CHECK(ToJson(ResultsFromJson(json).value()) == json);
  CHECK(results.sites.size() == 3);
  CHECK(results.models.size() == 5);
}

TEST_CASE("a file that holds no results is refused") {
  for (const std::string text : {"", "{", "{}", "[1,2]", "{\"title\": 3}"}) {
    INFO(text);
    CHECK(ResultsFromJson(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
  std::string unknown_event = GoldenText();
  unknown_event.replace(unknown_event.find("\"site accepted\""), 15, "\"site exploded\"");
  CHECK_THAT(ToStd(ResultsFromJson(unknown_event).status().message()).data(),
             ContainsText("site exploded"));
}

TEST_CASE("the history gives each round its sites, its times and its result") {
  const RunHistory history = ReadHistory(Golden().events);
  REQUIRE(history.rounds.size() == 8);
  const RoundHistory& third = history.rounds[2];
  CHECK(third.sites.at("east").fate == SiteRound::Fate::kLost);
  CHECK_THAT(third.sites.at("east").lost_reason, ContainsText("connection"));
  CHECK(third.sites.at("north").fate == SiteRound::Fate::kCounted);
  CHECK(third.training_seconds > 1.0);
  CHECK(third.evaluation_seconds > 0.3);
  CHECK(third.MeanLoss() > 0);
  CHECK(third.pooled_validation.has_value());
  CHECK(third.sites.at("north").validation.has_value());
  CHECK(history.gate_passed);
  CHECK(history.published);
  CHECK_FALSE(history.failed);
}

TEST_CASE("a run that stopped half-way has a history and a report, too") {
  Results results = Golden();
  for (const std::size_t kept : {0, 1, 9, 20}) {
    Results cut = results;
    cut.events.resize(kept);
    cut.models.clear();
    cut.published = false;
    const RunHistory history = ReadHistory(cut.events);
    CHECK_FALSE(history.ended);
    const std::string page = report::RenderReport(cut);
    CHECK_THAT(page, ContainsText("without a federated model that could be tested"));
    CHECK_THAT(page, ContainsText("</html>"));
  }
}

TEST_CASE("the comparison is made on all test sets together") {
  Results results = Golden();
  Model(results, ModelKind::kFederated)->pooled->headline = 0.90;
  Model(results, ModelKind::kPooled)->pooled->headline = 0.91;
  double local = 0.70;
  for (TestedModel& model : results.models) {
    if (model.kind == ModelKind::kLocal) model.pooled->headline = local += 0.02;
  }
  const Comparison c = Compare(results);
  CHECK(c.over_best_local.value() == Approx(0.90 - 0.76));
  CHECK(c.below_pooled_data.value() == Approx(0.01));
  CHECK(c.best_local->site == "east");
}

TEST_CASE("the verdict says when the federated model is worse") {
  Results results = Golden();
  Model(results, ModelKind::kFederated)->pooled->headline = 0.6;
  std::string text;
  for (const std::string& sentence : Verdict(results)) text += sentence + "\n";
  CHECK_THAT(text, ContainsText("BELOW the best model"));
  results.published = false;
  text.clear();
  for (const std::string& sentence : Verdict(results)) text += sentence + "\n";
  CHECK_THAT(text, ContainsText("nothing was published"));
}

TEST_CASE("a site too small to show gets no number, in the table or the page") {
  Results results = Golden();
  for (TestedModel& model : results.models) model.by_site["east"] = std::nullopt;
  const ResultTable table = TableOf(results);
  REQUIRE(table.rows.size() == 5);
  CHECK(table.rows[2] == std::vector<std::string>{"east", "too few", "too few", "too few"});
  CHECK_THAT(report::RenderReport(results), ContainsText("fewer than 10 of a class, not shown"));
}

TEST_CASE("results of another task are kept, and shown by its own headline") {
  Results results = Golden();
  const auto outlines = [](double dice) {
    return TestFigures{.task = Task::kSegmentation,
                       .headline = dice,
                       .headline_95 = {dice - 0.05, dice + 0.05},
                       .patients = 31,
                       .binary = std::nullopt,
                       .values = {{"dice", dice}, {"hd95_mm", 7.5}}};
  };
  for (TestedModel& model : results.models) {
    for (auto& [site, result] : model.by_site) result = outlines(0.7);
    model.pooled = outlines(0.8125);
  }
  const Results again = ResultsFromJson(ToJson(results)).value();
  CHECK(TaskOf(again) == Task::kSegmentation);
  const TestResult& pooled = again.models.front().pooled;
  REQUIRE(pooled.has_value());
  CHECK(pooled->headline == 0.8125);
  CHECK(pooled->headline_95.high == Approx(0.8625));
  CHECK(pooled->patients == 31);
  CHECK(pooled->values.at("hd95_mm") == 7.5);
  CHECK_FALSE(pooled->binary.has_value());
  const std::string page = report::RenderReport(again);
  CHECK_THAT(page, ContainsText("Dice of the federated model"));
  CHECK_THAT(page, ContainsText("hd95_mm"));
  CHECK_THAT(page, !ContainsText("ROC curves"));
}

TEST_CASE("the table of a run without baselines has one column of results") {
  Results results = Golden();
  results.models.resize(1);
  const ResultTable table = TableOf(results);
  CHECK(table.header == std::vector<std::string>{"test set", "federated"});
  CHECK_FALSE(Compare(results).over_best_local.has_value());
}

TEST_CASE("the page stands alone and escapes what others wrote") {
  Results results = Golden();
  results.sites[0].description = "<img src=x onerror=alert(1)>";
  results.plan_toml = "</pre><script>alert(1)</script>";
  const std::string page = report::RenderReport(results);
  CHECK_THAT(page, !ContainsText("<script"));
  CHECK_THAT(page, !ContainsText("<img src=x"));
  CHECK_THAT(page, !ContainsText("<link"));
  CHECK_THAT(page, ContainsText("data:image/png;base64,"));
  CHECK_THAT(page, ContainsText("prefers-color-scheme: dark"));
  CHECK_THAT(page, ContainsText(results.verify_command));
  for (const std::string outside : {"src=\"http", "href=\"http", "url("})
    CHECK_THAT(page, !ContainsText(outside));
}

}  // namespace
}  // namespace consilium::experiments
