#include <nlohmann/json.hpp>

#include "common/storage/database.h"
#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

constexpr Time kNow{std::chrono::seconds(1'800'000'000)};

Ledger OpenIn(const TemporaryFolder& folder) {
  auto ledger = Ledger::Open(folder / "ledger.db");
  INFO(ledger.status().ToString());
  REQUIRE(ledger.ok());
  return std::move(ledger).value();
}

// Somebody with the file and an SQLite shell.
void Tamper(const TemporaryFolder& folder, const std::string& sql) {
  auto database = storage::Database::Open(folder / "ledger.db", kLedgerMigrations);
  REQUIRE(database.ok());
  const absl::Status done = database->Execute(sql);
  INFO(sql << ": " << done.ToString());
  REQUIRE(done.ok());
}

void AddFive(Ledger& ledger) {
  for (int i = 1; i <= 5; ++i) {
    REQUIRE(ledger
                .AddLogEntry(kNow + FromSeconds(i), "operator", "admit", StrCat("site-", i),
                             R"({"roster":1})")
                .ok());
  }
}

Countersignature SignedBy(const SiteId& site, std::uint64_t number, const Digest& head) {
  return {site, {number, head, {}}};
}

TEST_CASE("entries are numbered from 1, each hashed with the head before it") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  CHECK(ledger.Head()->number == 0);
  CHECK(ledger.Head()->head.IsZero());
  CHECK(ledger.VerifyLog().ok());
  AddFive(ledger);
  Digest head;
  std::uint64_t number = 0;
  const std::vector<wire::LogEntry> entries = ledger.LogEntries(1).value();
  for (const wire::LogEntry& entry : entries) {
    CHECK(entry.number == ++number);
    CHECK(entry.subject == StrCat("site-", number));
    head = wire::ExtendedBy(head, entry);
    CHECK(ledger.HeadAfter(number).value() == head);
  }
  CHECK(number == 5);
  CHECK(ledger.Head()->number == 5);
  CHECK(ledger.Head()->head == head);
  CHECK(ledger.HeadAfter(0)->IsZero());
  CHECK(ledger.HeadAfter(6).status().code() == absl::StatusCode::kNotFound);
  CHECK(ledger.LogEntries(4)->size() == 2);
  CHECK(ledger.LogEntries(2, 3)->size() == 3);
  CHECK(ledger.LogEntries(6)->empty());
  CHECK(ledger.LogEntriesAbout("site-3")->size() == 1);
  CHECK(OpenIn(folder).VerifyLog().ok());
}

TEST_CASE("two processes that write to the log make one chain") {
  TemporaryFolder folder;
  Ledger one = OpenIn(folder), two = OpenIn(folder);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(one.AddLogEntry(kNow, "coordinator", "aggregate", "m").ok());
    REQUIRE(two.AddLogEntry(kNow, "operator", "revoke", "east").ok());
  }
  CHECK(one.Head()->number == 20);
  CHECK(two.VerifyLog().ok());
}

TEST_CASE("a log whose any column was changed, or whose entry is gone, names the entry") {
  for (const char* sql : {
           "UPDATE log SET time = time + 1 WHERE number = 3",
           "UPDATE log SET actor = 'nobody' WHERE number = 3",
           "UPDATE log SET action = 'revoke' WHERE number = 3",
           "UPDATE log SET subject = 'site-9' WHERE number = 3",
           "UPDATE log SET details = '' WHERE number = 3",
           "UPDATE log SET head = replace(head, substr(head, 1, 1), 'x') WHERE number = 3",
           "UPDATE log SET number = 9 WHERE number = 3",
           "UPDATE log SET actor = actor || action, action = '' WHERE number = 3",
           "DELETE FROM log WHERE number = 3",
       }) {
    TemporaryFolder folder;
    Ledger ledger = OpenIn(folder);
    AddFive(ledger);
    Tamper(folder, sql);
    const absl::Status broken = ledger.VerifyLog();
    INFO(sql);
    CHECK(broken.code() == absl::StatusCode::kDataLoss);
    CHECK_THAT(std::string(broken.message()), ContainsText("entry 3"));
  }
}

TEST_CASE("a log that was rewritten as a whole, or cut short, does not fit what a site signed") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  AddFive(ledger);
  REQUIRE(ledger.AddCountersignature(SignedBy(kEast, 5, ledger.Head()->head)).ok());
  CHECK(ledger.VerifyLog().ok());
  Tamper(folder, "DELETE FROM log WHERE number = 5");
  CHECK(ledger.VerifyLog().code() == absl::StatusCode::kDataLoss);
  REQUIRE(ledger.AddLogEntry(kNow, "operator", "admit", "another").ok());  // a chain again
  const absl::Status forked = ledger.VerifyLog();
  CHECK(forked.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(forked.message()), ContainsText("east"));
}

TEST_CASE("a signature is kept only under a head that this log had, the latest of each site") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  AddFive(ledger);
  const auto head = [&](std::uint64_t number) { return ledger.HeadAfter(number).value(); };
  const auto refused = [&](const Countersignature& signature) {
    return ledger.AddCountersignature(signature).code() == absl::StatusCode::kFailedPrecondition;
  };
  CHECK(refused(SignedBy(kEast, 3, head(4))));   // a fork
  CHECK(refused(SignedBy(kEast, 6, head(5))));   // what is not written yet
  CHECK(refused(SignedBy(kEast, 0, Digest{})));  // nothing
  CHECK(ledger.Countersignatures()->empty());
  REQUIRE(ledger.AddCountersignature(SignedBy(kEast, 2, head(2))).ok());
  REQUIRE(ledger.AddCountersignature(SignedBy(kEast, 2, head(2))).ok());
  REQUIRE(ledger.AddCountersignature(SignedBy(kEast, 4, head(4))).ok());
  REQUIRE(ledger.AddCountersignature(SignedBy(kNorth, 3, head(3))).ok());
  const auto latest = ledger.Countersignatures().value();
  REQUIRE(latest.size() == 2);
  CHECK(latest[0].site == kEast);
  CHECK(latest[0].signature.number == 4);
  CHECK(latest[0].signature.head == head(4));
  const auto earlier = ledger.Countersignatures(3).value();
  REQUIRE(earlier.size() == 2);
  CHECK(earlier[0].signature.number == 2);
}

// ---- what a step of the engine leaves

struct OneRun {
  explicit OneRun(Ledger& ledger) {
    SubmittedPlan plan;
    plan.researcher = "anna";
    state.run = ledger.SubmitRun(ShortPlan(), plan, kNow).value();
    state.phase = Phase::kTraining;
    state.started = kNow;
  }
  RunState state;
};

Record Happened(wire::RunEventKind kind, std::uint32_t round, std::string text = {},
                std::map<std::string, double> values = {}) {
  wire::RunEvent event;
  event.time = kNow + FromSeconds(7);
  event.kind = kind;
  event.round = round;
  event.attempt = round == 0 ? 0 : 1;
  event.text = std::move(text);
  event.values = std::move(values);
  return {event};
}

PooledEvaluation Pooled(std::uint32_t round, wire::EvaluationSplit split) {
  PooledEvaluation pooled;
  pooled.round = round;
  pooled.model = ModelNumber(1);
  pooled.split = split;
  pooled.sites = {kEast, kNorth, kSouth};
  pooled.sums.sums = SumsWithAuroc(0.8, 300);
  pooled.sums.compared = 2;
  pooled.sums.worse = 1;
  return pooled;
}

TEST_CASE("what the engine audits goes into the log with its step, or not at all") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  OneRun run(ledger);
  const std::vector<Action> actions = {Happened(wire::RunEventKind::kWaiting, 0),
                                       Audit{"aggregate", ModelNumber(1).Hex(), "{}"}};
  REQUIRE(ledger.Commit(run.state, actions).ok());
  CHECK(ledger.Head()->number == 2);  // after the submission
  const wire::LogEntry entry = ledger.LogEntries(2).value().front();
  CHECK(entry.actor == "coordinator");
  CHECK(entry.action == "aggregate");
  CHECK(entry.subject == ModelNumber(1).Hex());
  CHECK(entry.time == kNow + FromSeconds(7));
  const std::vector<Action> fails = {Audit{"publish", "x", "{}"}, Publish{ModelNumber(250), 9}};
  CHECK_FALSE(ledger.Commit(run.state, fails, Publication{ModelNumber(250), "{}"}).ok());
  CHECK(ledger.Head()->number == 2);
  CHECK(ledger.VerifyLog().ok());
}

TEST_CASE("pooled evaluations come back as they were, a repeated one once") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  OneRun run(ledger);
  const PooledEvaluation validation = Pooled(1, wire::EvaluationSplit::kValidation),
                         test = Pooled(1, wire::EvaluationSplit::kTest);
  const std::vector<Action> actions = {StorePooledEvaluation{run.state.run, validation},
                                       StorePooledEvaluation{run.state.run, test},
                                       StorePooledEvaluation{run.state.run, test}};
  REQUIRE(ledger.Commit(run.state, actions).ok());
  const auto kept = ledger.PooledEvaluations(run.state.run).value();
  REQUIRE(kept.size() == 2);
  CHECK(kept[1].split == wire::EvaluationSplit::kTest);
  CHECK(kept[1].model == ModelNumber(1));
  CHECK(kept[1].sites == test.sites);
  CHECK(kept[1].sums == test.sums);
  CHECK(ledger.Evaluations(run.state.run)->empty());
}

TEST_CASE("what the survivors of a training session signed is kept when it is sent to them") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  OneRun run(ledger);
  crypto::Signature east{}, north{};
  east[0] = 1;
  north[0] = 2;
  const auto sent = [&](secagg::Purpose purpose, std::uint32_t attempt, crypto::Signature of_east) {
    const secagg::SessionKey key{{run.state.run, 1, attempt}, purpose};
    return Send{kEast, wire::SecureNotice{key, wire::SecureNotice::Signatures{
                                                   {{kEast, of_east}, {kNorth, north}}}}};
  };
  const std::vector<Action> actions = {sent(secagg::Purpose::kValidation, 2, north),
                                       sent(secagg::Purpose::kTraining, 2, east)};
  REQUIRE(ledger.Commit(run.state, actions).ok());
  REQUIRE(ledger.Commit(run.state, actions).ok());  // to a site that came back
  const auto kept = ledger.SurvivorSignatures({run.state.run, 1, 2}).value();
  CHECK(kept == std::map<SiteId, crypto::Signature>{{kEast, east}, {kNorth, north}});
  CHECK(ledger.SurvivorSignatures({run.state.run, 1, 1})->empty());
}

TEST_CASE("a masked run is told with its secure sessions and without a site's own results") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  OneRun run(ledger);
  using Kind = wire::RunEventKind;
  const auto step = [](const char* name, double sites, std::map<std::string, double> more = {}) {
    more.insert({{"sites", sites}, {"asked", 4}, {"threshold", 3}, {"seconds", 0.5}});
    return Happened(Kind::kSecureStep, 1, name, more);
  };
  run.state.opening = true;
  run.state.evaluation_attempt = 2;
  const std::vector<Action> actions = {
      Happened(Kind::kRoundOpened, 1),
      step("advertise", 4),
      step("share", 4),
      step("upload", 3),
      step("agree", 3),
      step("unmask", 3, {{"survivors", 3}, {"recovered", 1}}),
      step("advertise", 3, {{"evaluation", 1}}),
      Audit{"aggregate", ModelNumber(1).Hex(), R"({"transcript":"abcd"})"},
      Happened(Kind::kAggregated, 1, ModelNumber(1).Hex()),
      StorePooledEvaluation{run.state.run, Pooled(1, wire::EvaluationSplit::kValidation)},
      StorePooledEvaluation{run.state.run, Pooled(1, wire::EvaluationSplit::kTest)}};
  REQUIRE(ledger.Commit(run.state, actions).ok());
  CHECK(ledger.LoadRunState(run.state.run)->opening);
  CHECK(ledger.LoadRunState(run.state.run)->evaluation_attempt == 2);
  const json told = json::parse(ledger.RunJson(run.state.run).value());
  REQUIRE(told["rounds"].size() == 1);
  const json& secure = told["rounds"][0]["secure"];
  CHECK(secure["cohort"] == 4);
  CHECK(secure["threshold"] == 3);
  CHECK(secure["survivors"] == 3);
  CHECK(secure["recovered"] == 1);
  CHECK(secure["transcript"] == "abcd");
  CHECK(secure["steps"].size() == 5);
  CHECK(told["rounds"][0]["attempts"][0]["secure"] == secure);
  for (const json& evaluation : {told["rounds"][0]["evaluation"], told["final"]}) {
    CHECK(evaluation["secure"] == true);
    CHECK(evaluation["pooled"]["auroc"].get<double>() == Approx(0.8));
    CHECK(evaluation["sites"].empty());
    CHECK(evaluation["evaluated_by"] == json({"east", "north", "south"}));
    CHECK(evaluation["compared"] == 2);
    CHECK(evaluation["worse"] == 1);
  }
  CHECK(told["final"]["model"] == ModelNumber(1).Hex());
}

}  // namespace
}  // namespace consilium::coordinator
