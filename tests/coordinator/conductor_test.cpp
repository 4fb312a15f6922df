#include "coordinator/conductor.h"

#include <nlohmann/json.hpp>

#include "coordinator/researcher/verify_model.h"
#include "tests/coordinator/member_calls.h"

namespace consilium::coordinator {
namespace {

using wire::RunEventKind;

TEST_CASE("three sites train two rounds masked, and the model proves who made it") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto sites = ScriptedSites(coordinator, {"north", "south", "west"}, Parameters(100'000));
  const auto run = Submit(ada, TinyPlan(3, 2));
  INFO(run.status().ToString());
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  const std::string published = PublishedBy(events);
  CHECK(CountOf(events, RunEventKind::kUpdateReceived) == 6);
  CHECK(CountOf(events, RunEventKind::kSiteEvaluated) == 0);  // nobody saw one site's results
  for (std::size_t i = 1; i < events.size(); ++i) {
    if (events[i].sequence > 0) CHECK(events[i].sequence == events[i - 1].sequence + 1);
  }
  const fs::path file = coordinator.state() / "models" / (published + ".safetensors");
  const ModelState model = LoadSafetensors(file).value();
  const double value = model.values()[99'999];  // 1, and 0.5 a round
  CHECK((value == Approx(1.5).epsilon(1e-6) || value == Approx(2).epsilon(1e-6)));
  for (const auto& site : sites) {
    CHECK(site->rounds_counted() >= 2);
    CHECK(site->log_is_one_chain());
    CHECK_FALSE(site->signed_heads().empty());
  }

  const std::string record = FetchRecord(ada, published);
  const auto log = FetchLog(ada);
  REQUIRE(log.ok());
  const auto proof = researcher::VerifyModel(ada.root, crypto::Sha256OfFile(file).value(), record,
                                             std::optional<std::string>(*log));
  INFO(proof.Broken());
  CHECK(proof.ok());
  const auto told = nlohmann::json::parse(proof.record_json);
  CHECK(told["sites"] == nlohmann::json({"north", "south", "west"}));
  CHECK(told["researcher"]["name"] == "ada");
  CHECK(told["secure"]["survivors"] == nlohmann::json({"north", "south", "west"}));
  CHECK(told["secure"]["threshold"] == 3);
  CHECK(told["test"]["sites"] == 3);
  CHECK_FALSE(told["log"]["countersignatures"].empty());

  const auto json = nlohmann::json::parse(
      coordinator.ledger().With([&](Ledger& l) { return l.RunJson(*run); }).value());
  const auto& secure = json["rounds"][2]["secure"];
  CHECK(secure["cohort"] == 3);
  CHECK(secure["threshold"] == 3);
  CHECK(secure["survivors"] == 3);
  CHECK(secure["recovered"] == 0);
  CHECK(secure["transcript"].is_string());
  CHECK(json["rounds"][2]["evaluation"]["evaluated_by"].size() == 3);
  CHECK(json["final"]["pooled"]["auroc"].get<double>() > 0.8);
  CHECK(coordinator.ledger().With([](Ledger& l) { return l.VerifyLog(); }).ok());
}

TEST_CASE(
    "a site that fails after it shared its keys is taken out, and the others' sum is opened") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  auto sites = ScriptedSites(coordinator, {"east", "north", "south"});
  ScriptedSite::Script diverging;
  diverging.spoil = [](auto& delta) { delta[7] = NAN; };
  sites.push_back(
      std::make_unique<ScriptedSite>(coordinator.Enrol("west", Role::kSite), diverging));
  // All four are known before the plan is there, so that the cohort is of four.
  for (const auto& site : sites) REQUIRE(site->AwaitWelcome());
  const auto run = Submit(ada, TinyPlan(3, 1));
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  const std::string published = PublishedBy(events);
  const auto told = nlohmann::json::parse(
      coordinator.ledger().With([&](Ledger& l) { return l.RunJson(*run); }).value());
  const auto& secure = told["rounds"][1]["secure"];
  CHECK(secure["cohort"] == 4);
  CHECK(secure["survivors"] == 3);
  CHECK(secure["recovered"] == 1);
  const fs::path file = coordinator.state() / "models" / (published + ".safetensors");
  CHECK(LoadSafetensors(file)->values()[999] == Approx(1.5).epsilon(1e-6));
  CHECK(sites[0]->rounds_counted() >= 1);
  const auto proof = researcher::VerifyModel(ada.root, crypto::Sha256OfFile(file).value(),
                                             FetchRecord(ada, published), FetchLog(ada).value());
  INFO(proof.Broken());
  CHECK(proof.ok());
  CHECK(nlohmann::json::parse(proof.record_json)["sites"] ==
        nlohmann::json({"east", "north", "south"}));
}

TEST_CASE("three sites are described through the service, and only what may be shown is kept") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  ScriptedSite::Script script;
  metrics::DescriptionBuilder builder(false);
  for (int i = 0; i < 20; ++i) {
    const std::string name = std::to_string(i);
    builder.Add({.patient = name, .modality = i < 2 ? "MR" : i < 9 ? "US" : "CT", .sex = "F"});
  }
  script.images = builder.description();
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const char* name : {"north", "south", "west"}) {
    sites.push_back(std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), script));
  }
  for (const auto& site : sites) REQUIRE(site->AwaitWelcome());
  const auto run = Submit(ada, "[plan]\nname = \"describe\"\n[describe]\n");
  INFO(run.status().ToString());
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  CHECK(CountOf(events, RunEventKind::kDescribed) == 1);
  CHECK(events.back().text == "described by 3 sites together");
  const auto stored =
      coordinator.ledger().With([&](Ledger& ledger) { return ledger.DescriptionOf(*run); });
  REQUIRE(stored.ok());
  REQUIRE(stored->has_value());
  CHECK((*stored)->shown.total.counts == metrics::RowCounts{60, 60});
  for (const metrics::ShownRow& row : (*stored)->shown.tables[0].rows) {
    CAPTURE(row.name);
    CHECK(row.suppressed == (row.name == "MR" || row.name == "US"));  // 6; and 21, which hides it
    if (row.name == "CT") CHECK(row.counts == metrics::RowCounts{33, 33});
  }
  CHECK(coordinator.ledger().With([](Ledger& ledger) { return ledger.VerifyLog(); }).ok());
}

TEST_CASE("two sites train sealed when the plan says so") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto sites = ScriptedSites(coordinator, {"north", "south"});
  const auto run = Submit(ada, TinyPlan(2, 1));
  REQUIRE(run.ok());
  const std::string record = FetchRecord(ada, PublishedBy(WatchToTheEnd(ada, *run)));
  CHECK_FALSE(nlohmann::json::parse(record)["record"].contains("secure"));
}

TEST_CASE("a sealed update with NaN is not counted, and its round goes on without it") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const char* name : {"north", "south", "west"}) {
    ScriptedSite::Script script;
    if (std::string(name) == "west") script.spoil = [](auto& delta) { delta[7] = NAN; };
    sites.push_back(
        std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), std::move(script)));
  }
  for (const auto& site : sites) REQUIRE(site->AwaitWelcome());
  const auto run = Submit(ada, TinyPlan(2, 1));
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  CHECK(CountOf(events, RunEventKind::kPublished) == 1);
  CHECK(CountOf(events, RunEventKind::kUpdateReceived) == 2);
  const auto lost = std::find_if(events.begin(), events.end(), [](const auto& e) {
    return e.kind == RunEventKind::kContributionLost;
  });
  REQUIRE(lost != events.end());
  CHECK(lost->site == SiteId("west"));
  CHECK_THAT(lost->text, ContainsText("\"weight\""));
}

TEST_CASE("a coordinator that was stopped between rounds goes on when it is started again") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto sites = ScriptedSites(coordinator, {"north", "south", "west"}, Slow(0.15));
  const auto run = Submit(ada, TinyPlan(3, 4));
  REQUIRE(run.ok());
  const auto watch = coordinator.conductor().Watch(*run, 0).value();
  std::vector<wire::RunEvent> events;
  for (bool evaluated = false; !evaluated;) {
    REQUIRE(watch->Next(std::chrono::seconds(20), &events));
    REQUIRE_FALSE(events.empty());
    evaluated = CountOf(events, RunEventKind::kRoundEvaluated) > 0;
  }
  coordinator.Stop();
  coordinator.Start();
  const auto all = WatchToTheEnd(ada, *run);
  CHECK(CountOf(all, RunEventKind::kRestarted) == 1);
  CHECK(CountOf(all, RunEventKind::kPublished) == 1);
  std::map<std::uint32_t, int> aggregated;
  for (const auto& event : all) {
    if (event.kind == RunEventKind::kAggregated && event.round > 0) ++aggregated[event.round];
  }
  CHECK(aggregated == std::map<std::uint32_t, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}});
}

TEST_CASE("a run that waits for its turn can be stopped, and the next one is taken up") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto first = Submit(ada, TinyPlan(2, 1)), second = Submit(ada, TinyPlan(2, 1)),
             third = Submit(ada, TinyPlan(2, 1));
  REQUIRE((first.ok() && second.ok() && third.ok()));
  const auto stop = [&](const RunId& run) { return StopRun(ada, run); };
  CHECK(stop(*second).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *second), RunEventKind::kEnded) == 1);
  CHECK(stop(*second).error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(stop(RunId("nothing-0001")).error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(stop(*first).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *first), RunEventKind::kEnded) == 1);
  CHECK(stop(*third).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *third), RunEventKind::kEnded) == 1);
}

}  // namespace
}  // namespace consilium::coordinator
