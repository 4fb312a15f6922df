// consilium-bench-restart: how soon a coordinator that was killed serves again. Its ledger holds
// many runs that the real round engine made, step by step; its keys are wrapped; what is measured
// is the real program, from exec(2) to the first answered Ping.

#include <signal.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"
#include "coordinator/ledger.h"
#include "coordinator/round_engine.h"
#include "experiments/bench/sites/made_federation.h"
#include "experiments/process.h"

namespace consilium::experiments {
namespace {

using namespace coordinator;

struct Options {
  int runs = 100, rounds = 5, sites = 8, restarts = 5;
  double limit_s = 0;
  fs::path place = fs::temp_directory_path(), json_file;
};

// A run as its events make it, kept in the ledger round by round.
class MadeRun {
 public:
  MadeRun(Ledger& ledger, const Options& options, int number)
      : ledger_(ledger), options_(options), number_(number) {}

  absl::Status Make(const RosterView& roster) {
    const std::string toml = PlanText();
    ASSIGN_OR_RETURN(plan_, plan::ParsePlan(toml));
    SubmittedPlan submitted;
    submitted.name = plan_.name;
    submitted.toml = toml;
    submitted.hash = crypto::Sha256(toml);
    submitted.researcher = "researcher";
    SystemRandom().Fill(submitted.nonce);
    SystemRandom().Fill(submitted.signature);
    ASSIGN_OR_RETURN(run_, ledger_.SubmitRun(plan_, submitted, now_));
    for (int round = 0; round <= options_.rounds; ++round) RETURN_IF_ERROR(AddModel(round));
    ASSIGN_OR_RETURN(RunState state, ledger_.LoadRunState(run_));
    ASSIGN_OR_RETURN(LastPublished last, ledger_.LastPublishedOf(plan_.name));
    engine_.emplace(plan_, std::move(state), std::move(last));
    std::set<SiteId> connected;
    for (const auto& [site, key] : roster.sites) connected.insert(site);
    Take(engine_->Start(roster, connected, now_));
    for (const SiteId& site : connected) {
      wire::InviteAnswer answer;
      answer.run = run_;
      answer.accepted = true;
      answer.train_patients = 500;
      answer.train_examples = 900;
      Do(InviteAnswered{site, answer});
    }
    Do(InitialModelReady{Key(), Model(0), 250'000, {}});
    RETURN_IF_ERROR(Keep());
    for (int round = 1; round <= options_.rounds; ++round) {
      for (const SiteId& site : connected) Do(Contribution(site));
      Do(AggregateReady{Key(), Model(round), 0.1});
      for (const SiteId& site : connected) Do(Evaluated(site));
      RETURN_IF_ERROR(Keep());
    }
    for (const SiteId& site : connected) Do(Evaluated(site));
    RETURN_IF_ERROR(Keep());
    if (engine_->ended() && published_) return absl::OkStatus();
    return absl::InternalError(StrCat("a run of the measurement did not publish: ", last_));
  }

 private:
  std::string PlanText() const {
    return absl::StrFormat(
        "[plan]\nname = \"plan-%d\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n"
        "[aggregation]\nupdates = \"sealed\"\n[cohort]\nminimum_sites = %d\n[gate]\n"
        "minimum_auroc = 0.5\n[stop]\nrounds = %d\n",
        number_ % 10, options_.sites, options_.rounds);
  }
  ModelId Model(int round) const { return crypto::Sha256(StrCat(number_, " ", round)); }
  absl::Status AddModel(int round) {
    ModelEntry model;
    model.id = Model(round);
    model.stage = round == 0 ? ModelStage::kInitial : ModelStage::kCandidate;
    model.run = run_;
    model.round = static_cast<std::uint32_t>(round);
    model.file_size = 1'000'000;
    model.parameters = 250'000;
    model.created = now_;
    return ledger_.AddModel(model);
  }
  AttemptKey Key() const { return {run_, engine_->state().round, engine_->state().attempt}; }
  ContributionComplete Contribution(const SiteId& site) const {
    ContributionComplete complete;
    complete.site = site;
    complete.key = Key();
    complete.weight = 900;
    complete.loss = 0.5;
    complete.train_seconds = 30;
    complete.upload_seconds = 1;
    complete.bytes = 1'000'000;
    return complete;
  }
  EvaluationArrived Evaluated(const SiteId& site) const {
    const RunState& state = engine_->state();
    const bool test = state.phase == Phase::kFinalEvaluation;
    wire::EvaluationReport report;
    report.run = run_;
    report.round = test ? state.best_round : state.round;
    report.model = *state.candidate;
    report.split = test ? wire::EvaluationSplit::kTest : wire::EvaluationSplit::kValidation;
    metrics::BinarySums sums;
    for (int i = 0; i < 200; ++i) sums.Add(i % 2 == 1 ? 0.7 : 0.3, i % 2 == 1);
    sums.patients = 200;
    report.sums = std::move(sums);
    report.seconds = 2;
    return {site, report};
  }
  void Do(const Event& event) {
    now_ += std::chrono::seconds(1);
    Take(engine_->On(event, now_));
  }
  void Take(std::vector<Action> actions) {
    std::move(actions.begin(), actions.end(), std::back_inserter(actions_));
  }
  absl::Status Keep() {
    std::optional<Publication> publication;
    for (const Action& action : actions_) {
      if (const auto* publish = std::get_if<Publish>(&action)) {
        publication = Publication{publish->model, R"({"made": "for a measurement"})"};
        published_ = true;
      }
      if (const auto* record = std::get_if<Record>(&action)) last_ = record->event.text;
    }
    const auto kept = ledger_.Commit(engine_->state(), actions_, publication);
    actions_.clear();
    return kept.status();
  }

  Ledger& ledger_;
  const Options& options_;
  const int number_;
  plan::Plan plan_;
  RunId run_;
  std::optional<RoundEngine> engine_;
  std::vector<Action> actions_;
  bool published_ = false;
  std::string last_;  // event's text
  Time now_ = SystemClock().Now();
};

absl::Status FillLedger(const MadeFederation& made, const Options& options) {
  ASSIGN_OR_RETURN(Ledger ledger, Ledger::Open(made.state() / "ledger.db"));
  RosterView roster;
  for (const identity::Identity& site : made.sites()) {
    roster.sites[SiteId(site.name)] = site.signing.public_key;
  }
  roster.federation = made.sites().front().federation;
  for (int number = 0; number < options.runs; ++number) {
    RETURN_IF_ERROR(MadeRun(ledger, options, number).Make(roster));
    if (Interrupted()) return absl::CancelledError("interrupted");
  }
  return absl::OkStatus();
}

// Seconds from exec to the answer of the first Ping; then it is killed.
absl::StatusOr<double> StartAndPing(const MadeFederation& made, const fs::path& folder, int port) {
  const auto begun = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(
      Process process,
      Process::Start({.program = ProgramFolder() / "consilium-coordinator",
                      .arguments = {"serve", "--state", made.state(), "--passphrase-file",
                                    made.passphrase(), "--listen", StrCat("127.0.0.1:", port)},
                      .output = folder / "coordinator.out",
                      .errors = folder / "coordinator.log"}));
  const auto since = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  while (!PortAnswers(port)) {
    if (process.Poll() || since() > 60) {
      return absl::UnavailableError(
          StrCat("the coordinator does not serve:\n", Tail(folder / "coordinator.log", 10)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  RETURN_IF_ERROR(identity::Ping(made.researcher()).status());
  const double seconds = since();
  process.Signal(SIGKILL);
  process.End();
  return seconds;
}

absl::Status Measure(const Options& options, const fs::path& folder) {
  ASSIGN_OR_RETURN(const int port, FreePort());
  std::fprintf(stderr, "making %d runs of %d rounds with %d sites ...\n", options.runs,
               options.rounds, options.sites);
  ASSIGN_OR_RETURN(const MadeFederation made, MadeFederation::Make(folder, options.sites, port));
  RETURN_IF_ERROR(FillLedger(made, options));
  std::vector<double> seconds;
  for (int i = 0; i < options.restarts; ++i) {
    ASSIGN_OR_RETURN(seconds.emplace_back(), StartAndPing(made, folder, port));
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::error_code ignored;
  const double ledger_mb = double(fs::file_size(made.state() / "ledger.db", ignored)) / 1e6;
  std::printf(
      "%d runs in the ledger (%.1f MB): from exec to the first answered Ping %.3f s "
      "(median of %d), %.3f s (longest)\n",
      options.runs, ledger_mb, median, options.restarts, seconds.back());
  if (!options.json_file.empty()) {
    RETURN_IF_ERROR(
        WriteFileDurably(options.json_file, nlohmann::json{{"runs", options.runs},
                                                           {"ledger_mb", ledger_mb},
                                                           {"median_s", median},
                                                           {"longest_s", seconds.back()}}
                                                    .dump(2) +
                                                "\n"));
  }
  if (options.limit_s > 0 && median > options.limit_s) {
    return absl::DeadlineExceededError(
        absl::StrFormat("%.3f s is more than the %.3f s asked for", median, options.limit_s));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-bench-restart: how soon a killed coordinator serves again",
               "consilium-bench-restart");
  Options options;
  app.add_option("--runs", options.runs)->check(CLI::Range(0, 100000))->capture_default_str();
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--sites", options.sites)->check(CLI::Range(2, 250))->capture_default_str();
  app.add_option("--restarts", options.restarts)->check(CLI::Range(1, 100))->capture_default_str();
  app.add_option("--limit", options.limit_s, "Fail when the median is above so many seconds");
  app.add_option("--json", options.json_file, "Write the figures here, too");
  app.add_option("--folder", options.place, "Where the state goes")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  std::string folder = (options.place / "consilium-restart-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return ReportAndExitCode(absl::InternalError(StrCat("no folder in ", options.place.string())));
  }
  const absl::Status measured = Measure(options, folder);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return ReportAndExitCode(measured);
}

}  // namespace
}  // namespace consilium::experiments

int main(int argc, char** argv) { return consilium::experiments::Main(argc, argv); }
