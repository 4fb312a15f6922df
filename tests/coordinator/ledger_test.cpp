#include "coordinator/ledger.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/random.h"
#include "common/metrics/json.h"
#include "common/storage/database.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;
using nlohmann::json;

constexpr Time kNow{std::chrono::seconds(1'800'000'000)};

Digest HashNumber(std::uint8_t number) { return ModelNumber(number); }

Ledger OpenIn(const TemporaryFolder& folder) {
  auto ledger = Ledger::Open(folder / "ledger.db");
  INFO(ledger.status().ToString());
  REQUIRE(ledger.ok());
  return std::move(ledger).value();
}

// Submitted by anna; `number` makes plan and nonce its own.
SubmittedPlan Submitted(std::uint8_t number, const std::string& toml = "name = \"chest\"") {
  SubmittedPlan plan;
  plan.hash = HashNumber(number);
  plan.toml = toml;
  plan.researcher = "anna";
  plan.nonce[0] = number;
  plan.signature[63] = number;
  return plan;
}

Member NewMember(const std::string& name, Role role, std::uint8_t key) {
  Member member;
  member.name = name;
  member.role = role;
  member.tls_key = HashNumber(key);
  member.signing_key[0] = key;
  member.enrolled = kNow;
  return member;
}

Invitation Invite(std::uint8_t token, Time expires) {
  Invitation invitation;
  invitation.token_hash = HashNumber(token);
  invitation.name = "east";
  invitation.expires = expires;
  return invitation;
}

// An engine whose every step is committed, as the conductor does it.
class KeptRun {
 public:
  KeptRun(Ledger& ledger, const plan::Plan& plan) : ledger_(ledger), plan_(plan) {
    run_ = ledger.SubmitRun(plan, Submitted(77), now_).value();
    for (std::uint8_t i = 0; i < 5; ++i) {
      ModelEntry model;
      model.id = ModelNumber(i);
      model.stage = i == 0 ? ModelStage::kInitial : ModelStage::kCandidate;
      model.run = run_;
      model.created = now_;
      REQUIRE(ledger.AddModel(model).ok());
    }
    Load();
  }
  void Load() {
    auto state = ledger_.LoadRunState(run_);
    REQUIRE(state.ok());
    engine_.emplace(plan_, *state, ledger_.LastPublishedOf(plan_.name).value());
    Keep(engine_->Start(RosterOf(kAll), kAll, now_));
  }
  void Do(const Event& event) {
    now_ += FromSeconds(1);
    Keep(engine_->On(event, now_));
  }
  AttemptKey Key() const { return {run_, state().round, state().attempt}; }
  void AcceptAll() {
    for (const SiteId& site : kAll) Do(InviteAnswered{site, {run_, true, {}, 50, 100, 2}});
  }
  void Complete(const SiteId& site) {
    Do(ContributionComplete{site, Key(), 100, 0.5, 3, 1, 4000, {}, {}});
  }
  void Evaluate(const SiteId& site, double auroc, int each = 100) {
    const bool test = state().phase == Phase::kFinalEvaluation;
    const wire::EvaluationReport report{
        run_,
        test ? state().best_round : state().round,
        *state().candidate,
        test ? wire::EvaluationSplit::kTest : wire::EvaluationSplit::kValidation,
        SumsWithAuroc(auroc, each),
        0.25};
    Do(EvaluationArrived{site, report});
  }
  void Round(std::uint8_t model, double auroc) {
    for (const SiteId& site : kAll) Complete(site);
    Do(AggregateReady{Key(), ModelNumber(model), 0.1});
    for (const SiteId& site : kAll) Evaluate(site, auroc);
  }
  void Whole() {
    AcceptAll();
    Do(InitialModelReady{Key(), ModelNumber(0), 1000, {}});
    Round(1, 0.8);
    Round(2, 0.9);
    Evaluate(kEast, 0.9);
    Evaluate(kNorth, 0.8);
    Evaluate(kSouth, 0.7, 5);  // too small to show
  }

  const RunState& state() const { return engine_->state(); }
  const RunId& run() const { return run_; }
  json Json() const { return json::parse(ledger_.RunJson(run_).value()); }

 private:
  void Keep(const std::vector<Action>& actions) {
    std::optional<Publication> publication;
    for (const Action& action : actions) {
      if (const auto* publish = std::get_if<Publish>(&action)) {
        publication = Publication{publish->model, R"({"signed": true})"};
      }
    }
    const auto events = ledger_.Commit(engine_->state(), actions, publication);
    INFO(events.status().ToString());
    REQUIRE(events.ok());
  }

  const std::set<SiteId> kAll = {kEast, kNorth, kSouth};
  Ledger& ledger_;
  plan::Plan plan_;
  Time now_ = kNow;
  RunId run_;
  std::optional<RoundEngine> engine_;
};

TEST_CASE("a ledger belongs to one federation") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  CHECK(ledger.FederationName().status().code() == absl::StatusCode::kNotFound);
  CHECK(ledger.SetFederation("chest", kNow).ok());
  CHECK(ledger.SetFederation("chest", kNow).ok());
  CHECK(ledger.SetFederation("other", kNow).code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ledger.FederationName().value() == "chest");
}

TEST_CASE("an invitation is taken once, in its time, and not without being known") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  REQUIRE(ledger.AddInvitation(Invite(1, kNow + std::chrono::hours(24)), kNow).ok());
  const auto refused = [&](std::uint8_t token, Time now) {
    const auto taken = ledger.TakeInvitation(HashNumber(token), now);
    CHECK(taken.status().code() == absl::StatusCode::kPermissionDenied);
    return std::string(taken.status().message());
  };
  CHECK(refused(2, kNow).find("not known") != std::string::npos);
  CHECK(refused(1, kNow + std::chrono::hours(24)).find("expired") != std::string::npos);
  const auto taken = ledger.TakeInvitation(HashNumber(1), kNow);
  REQUIRE(taken.ok());
  CHECK(taken->name == "east");
  CHECK(taken->role == Role::kSite);
  CHECK(refused(1, kNow).find("used before") != std::string::npos);
}

TEST_CASE("of many who hold the same token exactly one gets in") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  for (std::uint8_t token = 0; token < 10; ++token) {
    REQUIRE(ledger.AddInvitation(Invite(token, kNow + FromSeconds(60)), kNow).ok());
  }
  std::atomic<int> taken = 0, refused = 0;
  const auto compete = [&] {
    auto own = Ledger::Open(folder / "ledger.db");
    for (std::uint8_t token = 0; own.ok() && token < 10; ++token) {
      const auto status = own->TakeInvitation(HashNumber(token), kNow).status();
      taken += status.ok();
      refused += status.code() == absl::StatusCode::kPermissionDenied;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(compete);
  }
  CHECK(taken == 10);
  CHECK(refused == 30);
}

TEST_CASE("a member is found by its key until it is revoked or enrols again") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  REQUIRE(ledger.SetFederation("chest", kNow).ok());
  REQUIRE(ledger.AddMember(NewMember("east", Role::kSite, 1)).ok());
  REQUIRE(ledger.AddMember(NewMember("anna", Role::kResearcher, 2)).ok());
  CHECK(ledger.FindMember(HashNumber(1))->name == "east");
  CHECK_FALSE(ledger.FindMember(HashNumber(1))->admitted);
  CHECK(ledger.AddMember(NewMember("anna", Role::kSite, 3)).code() ==
        absl::StatusCode::kFailedPrecondition);
  REQUIRE(ledger.AddMember(NewMember("east", Role::kSite, 4)).ok());
  CHECK(ledger.FindMember(HashNumber(1)).status().code() == absl::StatusCode::kPermissionDenied);
  CHECK(ledger.FindMember(HashNumber(4)).ok());
  REQUIRE(ledger.RevokeMember("east", kNow).ok());
  CHECK(ledger.FindMember(HashNumber(4)).status().code() == absl::StatusCode::kPermissionDenied);
  CHECK(ledger.FindMember(HashNumber(9)).status().code() == absl::StatusCode::kPermissionDenied);
  CHECK(ledger.RevokeMember("east", kNow).code() == absl::StatusCode::kNotFound);
  CHECK(ledger.Members()->size() == 3);
}

TEST_CASE("runs are numbered by plan name and wait in the order of their submission") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  plan::Plan plan = ShortPlan();
  CHECK(ledger.SubmitRun(plan, Submitted(1), kNow)->value == "chest-0001");
  SubmittedPlan again = Submitted(1);  // the same plan, signed once more
  again.nonce[0] = 2;
  CHECK(ledger.SubmitRun(plan, again, kNow)->value == "chest-0002");
  plan.name = "brain";
  CHECK(ledger.SubmitRun(plan, Submitted(3, "b"), kNow)->value == "brain-0001");
  REQUIRE(ledger.QueuedRuns()->size() == 3);
  CHECK(ledger.QueuedRuns()->front().value == "chest-0001");
  CHECK(ledger.ActiveRuns()->empty());
  const SubmittedPlan kept = ledger.PlanOf(RunId("brain-0001")).value();
  CHECK(kept.toml == "b");
  CHECK(kept.researcher == "anna");
  CHECK(kept.nonce == Submitted(3).nonce);
  CHECK(kept.signature == Submitted(3).signature);
  CHECK(ledger.PlanOf(RunId("no-0001")).status().code() == absl::StatusCode::kNotFound);
  const auto events = ledger.Events(RunId("chest-0001"), 0);
  REQUIRE(events->size() == 1);
  CHECK(events->at(0).kind == Kind::kSubmitted);
  CHECK(events->at(0).sequence == 1);
  const auto behind = ledger.Events(RunId("brain-0001"), 1);
  REQUIRE(behind->size() == 1);
  CHECK(behind->at(0).kind == Kind::kWaiting);
  CHECK(behind->at(0).sequence == 2);
  CHECK(behind->at(0).text == "for its turn, behind run chest-0002 and 1 before it");
}

TEST_CASE("a nonce is good for one run, whatever plan comes with it") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  REQUIRE(ledger.SubmitRun(ShortPlan(), Submitted(1), kNow).ok());
  SubmittedPlan other = Submitted(2);
  other.nonce = Submitted(1).nonce;
  const auto replayed = ledger.SubmitRun(ShortPlan(), other, kNow).status();
  CHECK(replayed.code() == absl::StatusCode::kAlreadyExists);
  CHECK_THAT(std::string(replayed.message()), ContainsText("chest-0001"));
  CHECK(ledger.QueuedRuns()->size() == 1);
  CHECK(ledger.Head()->number == 1);  // one submission in the log
}

TEST_CASE("a run that is reloaded after every step has the state it had") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  KeptRun kept(ledger, ShortPlan());
  const auto same = [&] {
    const RunState loaded = ledger.LoadRunState(kept.run()).value();
    const RunState& held = kept.state();
    CHECK(loaded.phase == held.phase);
    CHECK(loaded.started == held.started);
    CHECK(loaded.round == held.round);
    CHECK(loaded.attempt == held.attempt);
    CHECK(loaded.base == held.base);
    CHECK(loaded.candidate == held.candidate);
    CHECK(loaded.best == held.best);
    CHECK(loaded.best_headline == held.best_headline);
    CHECK(loaded.stop_reason == held.stop_reason);
    CHECK(loaded.evaluation_attempt == held.evaluation_attempt);
    CHECK(loaded.opening == held.opening);
    CHECK(loaded.parameters == held.parameters);
    CHECK(loaded.participants.size() == held.participants.size());
    CHECK(loaded.participants.at(kEast).train_examples ==
          held.participants.at(kEast).train_examples);
    if (held.phase == Phase::kEvaluating || held.phase == Phase::kFinalEvaluation) {
      CHECK(loaded.evaluations == held.evaluations);
    }
  };
  same();
  kept.AcceptAll();
  same();
  kept.Do(InitialModelReady{kept.Key(), ModelNumber(0), 1000, {}});
  kept.Complete(kEast);
  same();
  kept.Load();  // killed: the attempt goes on with what was received
  CHECK(kept.state().attempt == 1);
  for (const SiteId& site : {kNorth, kSouth}) kept.Complete(site);
  kept.Do(AggregateReady{kept.Key(), ModelNumber(1), 0.1});
  kept.Evaluate(kEast, 0.8);
  same();
  kept.Load();
  CHECK(kept.state().evaluations.size() == 1);
  kept.Evaluate(kNorth, 0.8);
  kept.Evaluate(kSouth, 0.8);
  same();
  kept.Round(2, 0.9);
  kept.Evaluate(kNorth, 0.9);
  same();
  kept.Evaluate(kEast, 0.9);
  kept.Evaluate(kSouth, 0.9);
  same();
  CHECK(ledger.ActiveRuns()->empty());
  const json first = kept.Json()["rounds"][1];
  REQUIRE(first["attempts"].size() == 1);
  CHECK(first["attempts"][0]["failure"].is_null());
  for (const json& contribution : first["attempts"][0]["contributions"]) {
    CHECK(contribution["state"] == "counted");
  }
}

TEST_CASE("events are numbered from 1 without a gap, and can be read on from any of them") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  KeptRun kept(ledger, ShortPlan());
  kept.Whole();
  const auto events = ledger.Events(kept.run(), 0).value();
  for (std::size_t i = 0; i < events.size(); ++i) CHECK(events[i].sequence == i + 1);
  CHECK(events.back().kind == Kind::kEnded);
  const auto later = ledger.Events(kept.run(), 5, 3).value();
  REQUIRE(later.size() == 3);
  CHECK(later[0].sequence == 6);
  CHECK(ledger.Events(kept.run(), ~std::uint64_t{0})->empty());
}

TEST_CASE("a run is told in full as JSON, but for sites too small to show") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  KeptRun kept(ledger, ShortPlan());
  kept.Whole();
  const json run = kept.Json();
  CHECK(run["run"] == "chest-0001");
  CHECK(run["plan"]["name"] == "chest");
  CHECK(run["state"] == "ended");
  CHECK(run["published"] == ModelNumber(2).Hex());
  CHECK(run["participants"].size() == 3);
  CHECK(run["participants"][0]["invite"] == "accepted");
  REQUIRE(run["rounds"].size() == 3);  // the first model's, and two
  const json& second = run["rounds"][2];
  CHECK(second["candidate"] == ModelNumber(2).Hex());
  CHECK(second["attempts"][0]["contributions"].size() == 3);
  CHECK(second["attempts"][0]["contributions"][0]["counted"] == true);
  CHECK(second["attempts"][0]["contributions"][0]["weight"] == 100);
  CHECK(second["evaluation"]["pooled"]["auroc"].get<double>() == Approx(0.9));
  const json& final = run["final"];
  CHECK(final["model"] == ModelNumber(2).Hex());
  CHECK(final["sites"]["east"]["auroc"].get<double>() == Approx(0.9));
  CHECK(final["sites"]["east"]["positives"] == 100);
  CHECK(final["sites"]["south"] == json{{"suppressed", true}});
  CHECK_FALSE(final["pooled"].contains("positives"));
  CHECK(final["pooled"].contains("roc"));
  const json runs = json::parse(ledger.RunsJson().value());
  REQUIRE(runs.size() == 1);
  CHECK(runs[0]["plan"] == "chest");
  CHECK(json::parse(ledger.ModelsJson().value()).size() == 5);
  CHECK(ledger.RunJson(RunId("none")).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a publication changes the model's stage in the step that records it") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  KeptRun kept(ledger, ShortPlan());
  kept.Whole();
  const auto model = ledger.FindModel(ModelNumber(2).Hex());
  REQUIRE(model.ok());
  CHECK(model->stage == ModelStage::kPublished);
  CHECK(model->record_json == R"({"signed": true})");
  const LastPublished last = ledger.LastPublishedOf("chest").value();
  CHECK(last.model == ModelNumber(2));
  CHECK(last.site_headlines.size() == 2);  // south is too small
  CHECK(last.site_headlines.at(kNorth) == Approx(0.8));
  CHECK_FALSE(ledger.LastPublishedOf("brain")->model);
  REQUIRE(ledger.SetStage(ModelNumber(2), ModelStage::kWithdrawn).ok());
  CHECK_FALSE(ledger.LastPublishedOf("chest")->model);
  CHECK(ledger.LastPublishedOf("chest")->site_headlines.empty());
}

TEST_CASE("a commit that cannot be made leaves nothing of itself") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  KeptRun kept(ledger, ShortPlan());
  const std::size_t before = ledger.Events(kept.run(), 0)->size();
  RunState state = kept.state();
  state.round = 9;
  wire::RunEvent event;
  event.kind = Kind::kWaiting;
  const std::vector<Action> actions = {Record{event}, Publish{ModelNumber(250), 9}};  // unknown
  const auto refused = ledger.Commit(state, actions, Publication{ModelNumber(250), "{}"});
  CHECK(refused.status().code() == absl::StatusCode::kNotFound);
  CHECK(ledger.Events(kept.run(), 0)->size() == before);
  CHECK(ledger.LoadRunState(kept.run())->round == 0);
  state.run = RunId("none-0001");
  CHECK(ledger.Commit(state, {}).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("models go from candidate to published to withdrawn and no other way") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  ModelEntry model;
  model.id = ModelNumber(1);
  model.parent = ModelNumber(0);
  model.file_size = 400;
  model.parameters = 100;
  model.created = kNow;
  REQUIRE(ledger.AddModel(model).ok());
  REQUIRE(ledger.AddModel(model).ok());
  CHECK(ledger.ListModels()->size() == 1);
  CHECK(ledger.FindModel("0100")->parent == ModelNumber(0));
  CHECK(ledger.SetStage(model.id, ModelStage::kWithdrawn).code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(ledger.SetStage(model.id, ModelStage::kPublished, "{}").ok());
  CHECK(ledger.SetStage(model.id, ModelStage::kCandidate).code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(ledger.SetStage(model.id, ModelStage::kWithdrawn).ok());
  CHECK(ledger.FindModel("0100")->record_json == "{}");
  CHECK(ledger.SetStage(ModelNumber(9), ModelStage::kPublished).code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("a model is found by a beginning of its hash that is its own") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  ModelEntry model;
  model.id = ModelNumber(1);
  REQUIRE(ledger.AddModel(model).ok());
  model.id.bytes[20] = 5;
  REQUIRE(ledger.AddModel(model).ok());
  CHECK(ledger.FindModel("0100").status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ledger.FindModel(model.id.Hex())->id == model.id);
  CHECK(ledger.FindModel("ffff").status().code() == absl::StatusCode::kNotFound);
  for (const char* bad : {"", "010", "0100%", "ABCD", "01_0"}) {
    CHECK(ledger.FindModel(bad).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a ledger that a newer program wrote is refused") {
  TemporaryFolder folder;
  {
    Ledger ledger = OpenIn(folder);
    auto database = storage::Database::Open(
        folder / "ledger.db", {"", "", "", "", "", "CREATE TABLE newer (a INTEGER);"});
    REQUIRE(database.ok());
  }
  const absl::Status refused = Ledger::Open(folder / "ledger.db").status();
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK_THAT(std::string(refused.message()), ContainsText("upgrade"));
}

TEST_CASE("a coordinator killed at any moment loses no event that was acknowledged") {
  const std::uint64_t seed = 20260302;
  CAPTURE(seed);
  SeededRandom random(seed);
  TemporaryFolder folder;
  const fs::path file = folder / "ledger.db";
  const RunId run = OpenIn(folder).SubmitRun(ShortPlan(), Submitted(1), kNow).value();
  for (int kill_number = 0; kill_number < 8; ++kill_number) {
    int acknowledged[2];
    REQUIRE(pipe(acknowledged) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto ledger = Ledger::Open(file);
      if (!ledger.ok()) _exit(1);
      RunState state = ledger->LoadRunState(run).value();
      for (;;) {
        ++state.round;
        wire::RunEvent event;
        event.kind = Kind::kWaiting;
        event.round = state.round;
        const std::vector<Action> actions = {Record{event}};
        const auto kept = ledger->Commit(state, actions);
        if (!kept.ok()) _exit(2);
        const std::uint64_t sequence = kept->back().sequence;
        if (write(acknowledged[1], &sequence, sizeof sequence) != sizeof sequence) _exit(3);
      }
    }
    close(acknowledged[1]);
    std::uint64_t last = 0, sequence = 0;
    REQUIRE(read(acknowledged[0], &last, sizeof last) == sizeof last);  // it is at work
    usleep(static_cast<useconds_t>(random.Below(15'000)));
    kill(child, SIGKILL);
    int how = 0;
    REQUIRE(waitpid(child, &how, 0) == child);
    REQUIRE(WIFSIGNALED(how));
    while (read(acknowledged[0], &sequence, sizeof sequence) == sizeof sequence) last = sequence;
    close(acknowledged[0]);
    Ledger ledger = OpenIn(folder);
    const auto events = ledger.Events(run, 0, 1'000'000).value();
    CHECK(events.back().sequence >= last);
    CHECK(events.back().sequence <= last + 1);
    CHECK(events.size() == events.back().sequence);
    CHECK(ledger.LoadRunState(run)->round == events.back().round);  // state and events agree
  }
}

TEST_CASE(
    "what may be shown of a description is kept, and what opened it goes with the run's end") {
  TemporaryFolder folder;
  Ledger ledger = OpenIn(folder);
  const plan::Plan plan = plan::ParsePlan("[plan]\nname = \"describe\"\n[describe]\n").value();
  const RunId run = ledger.SubmitRun(plan, Submitted(7), kNow).value();
  CHECK_FALSE(ledger.DescriptionOf(run).value());
  RunState state;
  state.run = run;
  state.phase = Phase::kDescribing;
  state.started = kNow;
  state.round = 1;
  state.candidate = wire::QuestionOf(plan);
  WorkOpened opened;
  opened.key = {run, 1, 0};
  opened.weights = {{kEast, 0}, {kNorth, 0}, {kSouth, 0}};
  REQUIRE(ledger.Commit(state, std::vector<Action>{KeepWork{opened}}).ok());
  CHECK(ledger.LoadRunState(run)->phase == Phase::kDescribing);
  CHECK(ledger.LoadRunState(run)->candidate == state.candidate);
  CHECK_FALSE(ledger.LoadRunState(run)->work.empty());
  CHECK(json::parse(ledger.RunJson(run).value())["state"] == "describing");

  metrics::DescriptionBuilder builder(false);
  for (int i = 0; i < 30; ++i) {
    const std::string name = std::to_string(i);
    builder.Add({.patient = name, .modality = i < 4 ? "MR" : "CT", .sex = "F"});
  }
  const StoreDescription stored{
      run, {kEast, kNorth, kSouth}, metrics::Suppress(builder.description(), "", 10)};
  state.phase = Phase::kEnded;
  REQUIRE(ledger.Commit(state, std::vector<Action>{stored, EndRun{false, "described"}}).ok());
  const auto kept = ledger.DescriptionOf(run).value();
  REQUIRE(kept);
  CHECK(kept->sites == stored.sites);
  CHECK(kept->shown == stored.shown);
  CHECK(ledger.LoadRunState(run)->work.empty());
  const json shown = json::parse(ledger.RunJson(run).value())["description"];
  CHECK(shown["sites"].size() == 3);
  CHECK(metrics::ShownDescriptionFromJson(shown["shown"].dump()).value() == stored.shown);
}

TEST_CASE("metric sums come back from JSON exactly, and what is damaged is refused") {
  metrics::BinarySums sums = SumsWithAuroc(0.7, 37);
  sums.squared_error = 0.1 + 0.2;
  const std::string text = metrics::ToJson(sums);
  CHECK(metrics::SumsFromJson(text).value() == sums);
  for (const std::string& bad :
       {std::string("{}"), std::string("no"), text.substr(0, text.size() / 2),
        std::string(R"({"positives":[[4096,1]],"negatives":[]})")}) {
    CHECK(metrics::SumsFromJson(bad).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

bool CanBeShown(const std::map<SiteId, metrics::TaskSums>& sites) {
  return metrics::PooledCountsCanBeShown(sites);
}

TEST_CASE("pooled counts are shown only when they give no small site away") {
  const auto big = SumsWithAuroc(0.8, 50), small = SumsWithAuroc(0.8, 5),
             nine = SumsWithAuroc(1, 9);
  CHECK(CanBeShown({{kEast, big}, {kNorth, big}}));
  CHECK_FALSE(CanBeShown({{kEast, big}, {kNorth, nine}}));
  CHECK_FALSE(
      CanBeShown({{kEast, big}, {kNorth, SumsWithAuroc(1, 4)}, {kSouth, SumsWithAuroc(1, 4)}}));
  CHECK(CanBeShown({{kEast, big}, {kNorth, small}, {kSouth, small}}));
}

}  // namespace
}  // namespace consilium::coordinator
