// What the ledger keeps of the work under way, who took part, and ledgers of other versions.

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/storage/database.h"
#include "coordinator/ledger.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;
using nlohmann::json;

constexpr Time kNow{std::chrono::seconds(1'800'000'000)};

template <class Array>
Array Filled(std::uint8_t value) {
  Array array;
  array.fill(value);
  return array;
}

const crypto::Signature kSignature = Filled<crypto::Signature>(0xa5);

Ledger OpenIn(const TemporaryFolder& folder) {
  auto ledger = Ledger::Open(folder / "ledger.db");
  INFO(ledger.status().ToString());
  REQUIRE(ledger.ok());
  return std::move(ledger).value();
}

RunState NewRun(Ledger& ledger, std::uint8_t number) {
  SubmittedPlan plan;
  plan.hash = ModelNumber(number);
  plan.toml = "name = \"chest\"";
  plan.researcher = "anna";
  plan.nonce[0] = number;
  RunState state;
  state.run = ledger.SubmitRun(ShortPlan(), plan, kNow).value();
  state.started = kNow;
  state.phase = Phase::kTraining;
  state.round = state.attempt = 1;
  return state;
}

Record Happened(const RunState& state, Kind kind, const SiteId& site = {},
                std::map<std::string, double> values = {}, const std::string& text = {}) {
  wire::RunEvent event;
  event.time = kNow;
  event.kind = kind;
  event.round = state.round;
  event.attempt = state.attempt;
  event.site = site;
  event.values = std::move(values);
  event.text = text;
  return {event};
}

void Commit(Ledger& ledger, const RunState& state, const std::vector<Action>& actions) {
  const auto events = ledger.Commit(state, actions);
  INFO(events.status().ToString());
  REQUIRE(events.ok());
}

WorkOpened Opened(const RunState& state) {
  WorkOpened opened;
  opened.key = {state.run, 1, 1};
  opened.opened = kNow;
  opened.deadline = kNow + FromSeconds(600.25);
  opened.needed = 3;
  opened.sessions = 2;
  opened.weights = {{kEast, 1.0 / 3}, {kNorth, 1e300}, {kSouth, 5e-324}};
  secagg::SessionConfig config;
  config.federation = "thorax";
  config.key = {opened.key, secagg::Purpose::kTest};
  config.model = ModelNumber(1);
  config.roster = ModelNumber(2);
  config.cohort_size = 3;
  config.threshold = 3;
  config.values = ~std::uint64_t{0};
  config.sums = 9;
  config.layout = ModelNumber(3);
  config.clip_norm = 0.1;
  config.total_weight = 1e-17;
  config.weight_rule = "examples";
  opened.secure = config;
  for (const SiteId& site : {kEast, kNorth, kSouth}) {
    opened.signing_keys[site] = Filled<crypto::Ed25519PublicKey>(7);
  }
  return opened;
}

std::vector<wire::SecureAnswer> AllAnswers(const secagg::SessionKey& key) {
  const secagg::Advertisement advertisement{kEast, Filled<crypto::X25519PublicKey>(1),
                                            Filled<crypto::X25519PublicKey>(2), ModelNumber(4),
                                            kSignature};
  const std::vector<secagg::SealedShare> shares = {{kEast, kNorth, {1, 2, 255}},
                                                   {kEast, kSouth, {}}};
  const secagg::UnmaskAnswer unmask{{{kEast, Filled<secagg::Share>(8)}},
                                    {{kNorth, Filled<secagg::Share>(9)}}};
  return {{key, advertisement},
          {key, shares},
          {key, wire::MaskedSums{{0, ~std::uint64_t{0}}, kSignature}},
          {key, kSignature},
          {key, unmask}};
}

bool Equal(const wire::SecureAnswer& a, const wire::SecureAnswer& b) {
  if (a.session != b.session || a.answer.index() != b.answer.index()) return false;
  return std::visit(
      [&]<class Answer>(const Answer& answer) {
        const Answer& other = std::get<Answer>(b.answer);
        if constexpr (std::is_same_v<Answer, wire::MaskedSums>) {
          return answer.sums == other.sums && answer.signature == other.signature;
        } else {
          return answer == other;
        }
      },
      a.answer);
}

TEST_CASE("every record of the work under way comes back as it was kept, in order") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  const RunState state = NewRun(ledger, 1), other = NewRun(ledger, 2);
  const WorkOpened opened = Opened(state);
  const std::vector<wire::SecureAnswer> answers = AllAnswers(opened.secure->key);
  const ContributionComplete contribution{kNorth,
                                          opened.key,
                                          0.1,
                                          NAN,
                                          3.5,
                                          1.25,
                                          4000,
                                          {1, ~std::uint64_t{0}},
                                          {ModelNumber(6), kSignature}};

  Commit(ledger, other, {KeepWork{WorkStepClosed{4}}});
  Commit(ledger, state, {KeepWork{opened}});
  std::vector<Action> actions;
  for (const wire::SecureAnswer& answer : answers) {
    actions.push_back(KeepWork{WorkAnswered{kEast, answer}});
  }
  Commit(ledger, state, actions);
  Commit(ledger, state,
         {KeepWork{WorkUploaded{contribution}}, KeepWork{WorkLost{kSouth, "a \"reason\"\n", true}},
          KeepWork{WorkStepClosed{3}}});

  const std::vector<WorkRecord> work = OpenIn(folder).LoadRunState(state.run)->work;
  REQUIRE(work.size() == 1 + answers.size() + 3);
  CHECK(std::get<WorkOpened>(work[0]) == opened);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto& answered = std::get<WorkAnswered>(work[1 + i]);
    CHECK(answered.site == kEast);
    CHECK(Equal(answered.answer, answers[i]));
  }
  const ContributionComplete& kept = std::get<WorkUploaded>(work[6]).contribution;
  CHECK(kept.site == contribution.site);
  CHECK(kept.key == contribution.key);
  CHECK(kept.weight == contribution.weight);
  CHECK(std::isnan(kept.loss));
  CHECK(kept.train_seconds == contribution.train_seconds);
  CHECK(kept.upload_seconds == contribution.upload_seconds);
  CHECK(kept.bytes == contribution.bytes);
  CHECK(kept.masked_sums == contribution.masked_sums);
  CHECK(kept.proof == contribution.proof);
  const auto& lost = std::get<WorkLost>(work[7]);
  CHECK(lost.site == kSouth);
  CHECK(lost.reason == "a \"reason\"\n");
  CHECK(lost.silent);
  CHECK(std::get<WorkStepClosed>(work[8]).step == 3);
  CHECK(ledger.LoadRunState(other.run)->work.size() == 1);
}

TEST_CASE(
    "a new work takes the place of the one before; an attempt given up and a run's end leave "
    "none") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  const RunState state = NewRun(ledger, 1);
  const auto kept = [&] { return ledger.LoadRunState(state.run)->work.size(); };
  const WorkOpened opened = Opened(state);
  Commit(ledger, state, {KeepWork{opened}, KeepWork{WorkStepClosed{0}}});
  CHECK(kept() == 2);
  Commit(ledger, state, {KeepWork{WorkStepClosed{1}}, KeepWork{opened}});
  CHECK(kept() == 1);
  Commit(ledger, state, {AbandonAttempt{opened.key}});
  CHECK(kept() == 0);
  Commit(ledger, state, {AbandonAttempt{opened.key}, KeepWork{opened}});
  CHECK(kept() == 1);
  Commit(ledger, state, {EndRun{}});
  CHECK(kept() == 0);
}

TEST_CASE("a damaged record is refused with the name of its run") {
  TemporaryFolder folder;
  const auto damage = GENERATE(as<std::string>{}, "UPDATE work SET record = substr(record, 2)",
                               "UPDATE work SET record = '{}'", "UPDATE work SET kind = 9",
                               "UPDATE work SET record = replace(record, '00', 'zz')",
                               "UPDATE work SET record = replace(record, '[', '{')");
  Ledger ledger = OpenIn(folder);
  const RunState state = NewRun(ledger, 1);
  Commit(ledger, state, {KeepWork{Opened(state)}});
  {
    auto raw = storage::Database::Open(folder / "ledger.db", {"", "", "", "", ""});
    REQUIRE(raw.ok());
    REQUIRE(raw->Execute(damage).ok());
  }
  const auto loaded = ledger.LoadRunState(state.run);
  CHECK(absl::IsDataLoss(loaded.status()));
  CHECK_THAT(std::string(loaded.status().message()), ContainsText(state.run.value));
}

TEST_CASE("what each site did in a round is told: asked, trained, uploaded, counted or lost") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  RunState state = NewRun(ledger, 1);
  Participant& east = state.participants[kEast];
  east.invite = InviteState::kAccepted;
  east.refused_files = 5;
  east.refusals = {{"no pixel data", 3}, {"another modality", 2}};
  Commit(ledger, state,
         {Happened(state, Kind::kRoundOpened), Happened(state, Kind::kTaskSent, kEast),
          Happened(state, Kind::kTaskSent, kNorth), Happened(state, Kind::kTaskSent, kSouth),
          Happened(state, Kind::kTrained, kEast,
                   {{"patients", 40}, {"examples", 90}, {"seconds", 2.5}, {"before", 1}}),
          Happened(state, Kind::kUpdateReceived, kEast, {{"weight", 90}, {"bytes", 4000}}),
          Happened(state, Kind::kTrained, kNorth, {{"patients", 10}, {"examples", 20}}),
          Happened(state, Kind::kContributionLost, kNorth, {}, "the disk is full"),
          Happened(state, Kind::kContributionLost, kSouth, {}, "it did not come back"),
          Happened(state, Kind::kAggregated, {}, {}, ModelNumber(1).Hex()),
          StorePooledEvaluation{
              state.run,
              {1, ModelNumber(1), wire::EvaluationSplit::kValidation, {kEast, kSouth}, {}}}});
  const json run = json::parse(ledger.RunJson(state.run).value());
  CHECK(run["participants"][0]["refusals"] ==
        json({{"no pixel data", 3}, {"another modality", 2}}));
  CHECK(ledger.LoadRunState(state.run)->participants.at(kEast).refusals == east.refusals);
  const json sites = run["rounds"][0]["sites"];
  REQUIRE(sites.size() == 3);
  CHECK(sites[0] ==
        json({{"site", "east"},
              {"attempt", 1},
              {"asked", true},
              {"trained", {{"patients", 40}, {"examples", 90}, {"seconds", 2.5}, {"before", true}}},
              {"uploaded", true},
              {"counted", true},
              {"lost", nullptr},
              {"evaluated", true}}));
  CHECK(sites[1]["site"] == "north");
  CHECK(sites[1]["trained"]["examples"] == 20);
  CHECK(sites[1]["uploaded"] == false);
  CHECK(sites[1]["counted"] == false);
  CHECK(sites[1]["lost"] == "the disk is full");
  CHECK(sites[1]["evaluated"] == false);
  CHECK(sites[2]["trained"].is_null());
  CHECK(sites[2]["evaluated"] == true);
}

TEST_CASE("of participants only what changed is written, and a step that failed is written whole") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  RunState state = NewRun(ledger, 1);
  state.participants[kEast].train_examples = 1;
  state.participants[kNorth].train_examples = 2;
  Commit(ledger, state, {Happened(state, Kind::kWaiting)});
  state.participants[kNorth].train_examples = 3;
  // A round is opened once: the second is refused by the table, and nothing of the step remains.
  Commit(ledger, state, {Happened(state, Kind::kRoundOpened)});
  state.participants[kEast].train_examples = 4;
  CHECK_FALSE(ledger.Commit(state, std::vector<Action>{Happened(state, Kind::kRoundOpened)}).ok());
  CHECK(ledger.LoadRunState(state.run)->participants.at(kEast).train_examples == 1);
  Commit(ledger, state, {Happened(state, Kind::kWaiting)});
  const auto loaded = ledger.LoadRunState(state.run)->participants;
  CHECK(loaded.at(kEast).train_examples == 4);
  CHECK(loaded.at(kNorth).train_examples == 3);
}

// ---- other versions

TEST_CASE("a ledger of the version before is brought up to date, and its run goes on") {
  TemporaryFolder folder;
  const auto golden =
      ReadTextFile(fs::path(std::getenv("CONSILIUM_SOURCE")) / "tests/golden/ledger_v2.sql");
  REQUIRE(golden.ok());
  {
    const auto old = storage::Database::Open(folder / "ledger.db", {*golden, ""});
    INFO(old.status().ToString());
    REQUIRE(old.ok());
  }
  Ledger ledger = OpenIn(folder);
  CHECK(ledger.FederationName().value() == "chest");
  const RunId run("chest-0001");
  CHECK(ledger.ActiveRuns().value() == std::vector{run});
  const json before = json::parse(ledger.RunJson(run).value());
  const json sites = before["rounds"][1]["sites"];
  REQUIRE(sites.size() == 3);
  for (const json& site : sites) CHECK(site["asked"] == true);
  CHECK(sites[1]["uploaded"] == true);
  CHECK(sites[2]["lost"] == "disk full");

  RunState state = ledger.LoadRunState(run).value();
  CHECK(state.work.empty());
  CHECK(state.participants.at(kEast).refusals.empty());
  RoundEngine engine(ShortPlan(), state, {});
  const std::set<SiteId> all = {kEast, kNorth, kSouth};
  Commit(ledger, engine.state(), engine.Start(RosterOf(all), all, kNow + FromSeconds(3600)));
  CHECK(engine.state().attempt == 2);  // of that time nothing is kept to go on with
  const json attempts = json::parse(ledger.RunJson(run).value())["rounds"][1]["attempts"];
  REQUIRE(attempts.size() == 2);
  CHECK(attempts[0]["failure"] == "the coordinator was restarted");
  CHECK(attempts[0]["contributions"][1]["state"] == "lost");
}

}  // namespace
}  // namespace consilium::coordinator
