// consilium-bench-sites: how many sites one coordinator holds. The real coordinator's program;
// scripted sites (tests/coordinator/scripted_sites.cpp) with certificates and connections of their
// own in a few load processes, which say all that agents say, take part in secure sessions and
// countersign the log.

#include <signal.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/plan/plan.h"
#include "coordinator/researcher/research_channel.h"
#include "coordinator/service_listener.h"
#include "experiments/bench/sites/made_federation.h"
#include "experiments/bench/sites/process_figures.h"
#include "experiments/process.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;

constexpr double kMiB = 1 << 20;

struct Options {
  int sites = 1000, processes = 4, rounds = 3;
  std::uint64_t model_bytes = 1'000'000;
  double idle_s = 30, patience_s = 600;
  std::vector<plan::Updates> updates = {plan::Updates::kSealed, plan::Updates::kMasked};
  fs::path place = fs::temp_directory_path(), json_file;
  bool keep = false;
};

struct Round {
  plan::Updates updates = plan::Updates::kSealed;
  std::size_t cohort = 0, counted = 0;  // of the last round
  double median_s = 0, longest_s = 0, recruiting_s = 0;
  std::uint64_t peak = 0;
};

struct Measured {
  int connected = 0;
  double making_s = 0, connecting_s = 0, settling_s = 0;
  ProcessFigures empty, begin, idle;
  double idle_s = 0;
  std::vector<Round> rounds;
};

class Bench {
 public:
  Bench(const Options& options, fs::path folder) : options_(options), folder_(std::move(folder)) {}

  absl::StatusOr<Measured> Run() {
    ASSIGN_OR_RETURN(const int port, FreePort());
    auto begun = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(MadeFederation made, MadeFederation::Make(folder_, options_.sites, port));
    measured_.making_s = Since(begun);
    Say(absl::StrFormat("%d members made in %.1f s", options_.sites, measured_.making_s));
    RETURN_IF_ERROR(StartCoordinator(made, port));
    std::this_thread::sleep_for(std::chrono::seconds(2));
    ASSIGN_OR_RETURN(measured_.empty, FiguresOf(coordinator_->pid()));
    begun = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(StartLoad(made));
    RETURN_IF_ERROR(AwaitSites());
    measured_.connecting_s = Since(begun);
    Say(absl::StrFormat("%d sites connected in %.1f s", measured_.connected,
                        measured_.connecting_s));
    RETURN_IF_ERROR(Settle());
    RETURN_IF_ERROR(Idle());
    for (const plan::Updates updates : options_.updates) RETURN_IF_ERROR(RunRound(made, updates));
    return measured_;
  }

 private:
  static double Since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
  static void Say(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

  absl::Status StartCoordinator(const MadeFederation& made, int port) {
    ASSIGN_OR_RETURN(
        Process process,
        Process::Start({.program = ProgramFolder() / "consilium-coordinator",
                        .arguments = {"serve", "--state", made.state(), "--passphrase-file",
                                      made.passphrase(), "--listen", StrCat("127.0.0.1:", port)},
                        .output = folder_ / "coordinator.out",
                        .errors = folder_ / "coordinator.log"}));
    coordinator_.emplace(std::move(process));
    const auto begun = std::chrono::steady_clock::now();
    while (!Tail(folder_ / "coordinator.out", 1).starts_with("listening on")) {
      if (coordinator_->Poll() || Since(begun) > 60) {
        return absl::UnavailableError(
            StrCat("the coordinator does not serve:\n", Tail(folder_ / "coordinator.log", 10)));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return absl::OkStatus();
  }

  absl::Status StartLoad(const MadeFederation& made) {
    const std::size_t each = (made.sites().size() + options_.processes - 1) /
                             static_cast<std::size_t>(options_.processes);
    for (std::size_t first = 0; first < made.sites().size(); first += each) {
      const std::span all(made.sites());
      const fs::path file = folder_ / StrCat("members-", load_.size(), ".json");
      RETURN_IF_ERROR(
          WriteIdentities(file, all.subspan(first, std::min(each, all.size() - first))));
      ASSIGN_OR_RETURN(Process process,
                       Process::Start({.program = ProgramFolder() / "consilium-scripted-sites",
                                       .arguments = {"--members", file, "--parameters",
                                                     StrCat(options_.model_bytes / 4)},
                                       .environment = {{"GRPC_VERBOSITY", "NONE"}},
                                       .output = folder_ / StrCat("load-", load_.size(), ".out"),
                                       .errors = folder_ / StrCat("load-", load_.size(), ".log")}));
      load_.push_back(std::move(process));
    }
    return absl::OkStatus();
  }

  // By the coordinator's own log: who came and did not leave.
  absl::StatusOr<int> Connected() const {
    ASSIGN_OR_RETURN(const std::string log, ReadTextFile(folder_ / "coordinator.log", 1ull << 30));
    const auto count = [&log](std::string_view event) {
      int found = 0;
      for (std::size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1))
        ++found;
      return found;
    };
    return count("event=site_attends") - count("event=site_left");
  }

  absl::Status AwaitSites() {
    const auto begun = std::chrono::steady_clock::now();
    for (int last = -1; Since(begun) < options_.patience_s;) {
      if (Interrupted()) return absl::CancelledError("interrupted");
      if (const auto ended = coordinator_->Poll()) {
        return absl::InternalError(StrCat("the coordinator ", ended->ToString()));
      }
      ASSIGN_OR_RETURN(measured_.connected, Connected());
      if (measured_.connected >= options_.sites) return absl::OkStatus();
      if (measured_.connected / 100 != last / 100) Say(StrCat("  ", measured_.connected));
      last = measured_.connected;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return absl::DeadlineExceededError(
        StrCat("only ", measured_.connected, " of ", options_.sites, " sites came"));
  }

  // Sites that came sign the log of all that happened; that is part of coming, not of waiting.
  absl::Status Settle() {
    const auto begun = std::chrono::steady_clock::now();
    for (int quiet = 0; quiet < 3 && Since(begun) < options_.patience_s;) {
      ASSIGN_OR_RETURN(const ProcessFigures before, FiguresOf(coordinator_->pid()));
      std::this_thread::sleep_for(std::chrono::seconds(1));
      ASSIGN_OR_RETURN(const ProcessFigures after, FiguresOf(coordinator_->pid()));
      quiet = after.cpu_s - before.cpu_s < 0.10 ? quiet + 1 : 0;
      if (Interrupted()) return absl::CancelledError("interrupted");
    }
    measured_.settling_s = Since(begun);
    Say(absl::StrFormat("quiet after %.1f s", measured_.settling_s));
    return absl::OkStatus();
  }

  absl::Status Idle() {
    const auto begun = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(measured_.begin, FiguresOf(coordinator_->pid()));
    while (Since(begun) < options_.idle_s && !Interrupted()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    measured_.idle_s = Since(begun);
    ASSIGN_OR_RETURN(measured_.idle, FiguresOf(coordinator_->pid()));
    ASSIGN_OR_RETURN(measured_.connected, Connected());
    return absl::OkStatus();
  }

  std::string PlanFor(plan::Updates updates) const {
    const int minimum = std::min(options_.sites, 250);
    return absl::StrFormat(
        "[plan]\nname = \"many-%s\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = "
        "[\"DX\"]\n[aggregation]\nupdates = \"%s\"\n[cohort]\nminimum_sites = %d\n"
        "round_deadline_s = 600\n[gate]\nminimum_auroc = 0.5\n[stop]\nrounds = %d\n",
        Name(updates), Name(updates), minimum, options_.rounds);
  }

  absl::Status RunRound(const MadeFederation& made, plan::Updates updates) {
    ASSIGN_OR_RETURN(std::vector<identity::Identity> researcher, Copy(made.researcher()));
    researcher::ResearchChannel channel(std::move(researcher.front()));
    ASSIGN_OR_RETURN(const RunId run, channel.Submit(PlanFor(updates)));
    Round round{.updates = updates};
    std::vector<double> seconds;
    std::optional<Time> submitted, opened;
    std::string outcome;
    const absl::Status watched = channel.Watch(run, 0, [&](const wire::RunEvent& event) {
      using wire::RunEventKind;
      const auto value = [&event](const char* name) {
        const auto found = event.values.find(name);
        return found == event.values.end() ? 0.0 : found->second;
      };
      if (event.kind == RunEventKind::kSubmitted) submitted = event.time;
      const bool opens = event.kind == RunEventKind::kRoundOpened && event.round > 0;
      if (opens || event.kind == RunEventKind::kStopping) {
        if (opened) seconds.push_back(Seconds(event.time - *opened));
        if (!opened && submitted) round.recruiting_s = Seconds(event.time - *submitted);
        opened = event.time;
        if (opens) {
          round.cohort = static_cast<std::size_t>(value("sites"));
          Say(absl::StrFormat("  %s round %d opened with %d sites", Name(updates), event.round,
                              round.cohort));
        }
      }
      if (event.kind == RunEventKind::kAggregated) {
        round.counted = static_cast<std::size_t>(value("contributions"));
      }
      if (event.kind == RunEventKind::kRoundFailed) Say("  failed: " + event.text);
      if (event.kind == RunEventKind::kEnded) outcome = event.text;
      return !Interrupted();
    });
    RETURN_IF_ERROR(watched);
    if (seconds.empty()) {
      return absl::AbortedError(StrCat("the run had no whole round: ", outcome));
    }
    std::sort(seconds.begin(), seconds.end());
    round.median_s = seconds[seconds.size() / 2];
    round.longest_s = seconds.back();
    ASSIGN_OR_RETURN(const ProcessFigures after, FiguresOf(coordinator_->pid()));
    round.peak = after.peak;
    measured_.rounds.push_back(round);
    Say(absl::StrFormat("  %s: %.2f s a round; %s", Name(updates), round.median_s, outcome));
    return absl::OkStatus();
  }

  // Identities are move-only, as their secrets are.
  absl::StatusOr<std::vector<identity::Identity>> Copy(const identity::Identity& identity) const {
    const fs::path file = folder_ / "researcher.json";
    RETURN_IF_ERROR(WriteIdentities(file, {&identity, 1}));
    return ReadIdentities(file);
  }

  const Options& options_;
  const fs::path folder_;
  Measured measured_;
  std::optional<Process> coordinator_;
  std::vector<Process> load_;
};

json ToJson(const Options& options, const Measured& m) {
  json rounds = json::array();
  for (const Round& round : m.rounds) {
    rounds.push_back({{"updates", Name(round.updates)},
                      {"cohort", round.cohort},
                      {"counted", round.counted},
                      {"median_s", round.median_s},
                      {"longest_s", round.longest_s},
                      {"recruiting_s", round.recruiting_s},
                      {"coordinator_peak_bytes", round.peak}});
  }
  return {{"sites", options.sites},
          {"connected", m.connected},
          {"model_bytes", options.model_bytes},
          {"connecting_s", m.connecting_s},
          {"settling_s", m.settling_s},
          {"empty_resident_bytes", m.empty.resident},
          {"idle_resident_bytes", m.idle.resident},
          {"bytes_a_site", double(m.idle.resident - m.empty.resident) / std::max(1, m.connected)},
          {"threads", m.idle.threads},
          {"empty_threads", m.empty.threads},
          {"files", m.idle.files},
          {"idle_cpu_share", (m.idle.cpu_s - m.begin.cpu_s) / std::max(1e-9, m.idle_s)},
          {"rounds", rounds}};
}

void Print(const Options& options, const Measured& m) {
  std::printf("sites connected        %d of %d, in %.1f s; their log signed after %.1f s more\n",
              m.connected, options.sites, m.connecting_s, m.settling_s);
  std::printf(
      "coordinator, idle      %.0f MiB resident (%.0f MiB without sites: %.0f KiB a site), "
      "%d threads (%d), %d files\n",
      m.idle.resident / kMiB, m.empty.resident / kMiB,
      (double(m.idle.resident) - double(m.empty.resident)) / 1024 / std::max(1, m.connected),
      m.idle.threads, m.empty.threads, m.idle.files);
  std::printf("CPU while idle         %.1f %% of a core over %.0f s\n",
              100 * (m.idle.cpu_s - m.begin.cpu_s) / std::max(1e-9, m.idle_s), m.idle_s);
  for (const Round& round : m.rounds) {
    std::printf(
        "%s round of %.1f MB   median %.2f s, longest %.2f s, cohort %zu, counted %zu; "
        "coordinator's peak %.0f MiB\n",
        std::string(Name(round.updates)).c_str(), double(options.model_bytes) / 1e6, round.median_s,
        round.longest_s, round.cohort, round.counted, round.peak / kMiB);
  }
}

absl::Status Measure(const Options& options) {
  coordinator::RaiseFileLimit();
  std::string pattern = (options.place / "consilium-sites-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::InternalError(StrCat("no folder in ", options.place.string()));
  }
  absl::StatusOr<Measured> measured = absl::InternalError("not run");
  {
    Bench bench(options, pattern);
    measured = bench.Run();
  }
  std::error_code ignored;
  if (!options.keep) fs::remove_all(pattern, ignored);
  RETURN_IF_ERROR(measured.status());
  Print(options, *measured);
  if (options.json_file.empty()) return absl::OkStatus();
  return WriteFileDurably(options.json_file, ToJson(options, *measured).dump(2) + "\n");
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-bench-sites: how many sites one coordinator holds",
               "consilium-bench-sites");
  Options options;
  app.add_option("--sites", options.sites)->check(CLI::Range(3, 10000))->capture_default_str();
  app.add_option("--processes", options.processes, "That hold the sites")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Of each run")->capture_default_str();
  app.add_option("--bytes", options.model_bytes, "Of the model")->capture_default_str();
  app.add_option("--idle", options.idle_s, "Seconds of waiting")->capture_default_str();
  app.add_option("--updates", options.updates,
                 "sealed, masked or both; a masked cohort has at "
                 "most 255 sites")
      ->delimiter(',')
      ->transform(CLI::CheckedTransformer(std::map<std::string, plan::Updates>{
          {"masked", plan::Updates::kMasked}, {"sealed", plan::Updates::kSealed}}));
  app.add_option("--json", options.json_file, "Write the figures here, too");
  app.add_option("--folder", options.place, "Where the states go")->capture_default_str();
  app.add_flag("--keep", options.keep, "Keep the states and logs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  return ReportAndExitCode(Measure(options));
}

}  // namespace
}  // namespace consilium::experiments

int main(int argc, char** argv) { return consilium::experiments::Main(argc, argv); }
