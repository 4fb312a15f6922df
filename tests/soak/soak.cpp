// consilium-soak: a real coordinator and real agents (that train nothing) for a long time, over a
// network that resets connections and beside clients that never finish a handshake. What must not
// grow is looked at all the time: memory, files and threads of the coordinator and of one agent.

#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "coordinator/researcher/research_channel.h"
#include "experiments/bench/sites/made_federation.h"
#include "experiments/bench/sites/process_figures.h"
#include "experiments/process.h"
#include "tests/soak/rough_network.h"

namespace consilium::soak {
namespace {

using experiments::FiguresOf;
using experiments::MadeFederation;
using experiments::Process;
using experiments::ProcessFigures;

struct Options {
  double seconds = 1800;
  int sites = 10;
  double between_cuts_s = 5;
  int half_open = 50;
  std::uint64_t seed = 1, parameters = 25'000;
  double warm_up = 0.2;  // of the time: left out
  double most_mb_an_hour = 1;
  // A short run says nothing about an hour; then what grew after warming up is what counts.
  double most_mb = 0;
  fs::path place = fs::temp_directory_path(), table;
  bool keep = false;
};

struct Sample {
  double at_s = 0;
  ProcessFigures figures;
};

// Submits a plan again and again, so that there always are rounds.
class Rounds {
 public:
  Rounds(identity::Identity researcher, int sites)
      : channel_(std::move(researcher)), sites_(sites), thread_([this] { Go(); }) {}
  ~Rounds() {
    stopping_ = true;
    thread_.join();
  }
  int rounds() const { return rounds_; }
  int failed() const { return failed_; }
  int runs() const { return runs_; }

 private:
  void Go() {
    RunId run;
    std::uint64_t last = 0;
    while (!stopping_) {
      if (run.value.empty()) {
        const auto submitted = channel_.Submit(Plan());
        if (submitted.ok()) {
          run = *submitted;
          last = 0;
          ++runs_;
        }
      }
      if (!run.value.empty()) {
        const absl::Status ended = channel_.Watch(run, last, [&](const wire::RunEvent& event) {
          last = std::max(last, event.sequence);
          rounds_ += event.kind == wire::RunEventKind::kAggregated;
          failed_ += event.kind == wire::RunEventKind::kRoundFailed;
          return !stopping_;
        });
        if (ended.ok()) run = {};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  std::string Plan() const {
    return absl::StrFormat(
        "[plan]\nname = \"soak\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n"
        "[cohort]\nminimum_sites = %d\nround_deadline_s = 120\n[gate]\nminimum_auroc = 0.5\n"
        "[stop]\nrounds = 20\n",
        std::max(3, sites_ / 2));
  }

  researcher::ResearchChannel channel_;
  const int sites_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> rounds_ = 0, failed_ = 0, runs_ = 0;
  std::thread thread_;
};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// What became of one process's figures after warming up.
struct Trend {
  double mb_an_hour = 0, mb_begin = 0, mb_end = 0;        // resident: slope; medians of the first
  double files_begin = 0, files_end = 0, files_most = 0;  // and the last third
  double threads_begin = 0, threads_end = 0;
};

Trend TrendOf(const std::vector<Sample>& samples, double from_s) {
  std::vector<double> at, mb, files, threads;
  for (const Sample& sample : samples) {
    if (sample.at_s < from_s) continue;
    at.push_back(sample.at_s / 3600);
    mb.push_back(static_cast<double>(sample.figures.resident) / 1e6);
    files.push_back(sample.figures.files);
    threads.push_back(sample.figures.threads);
  }
  Trend trend;
  if (at.size() < 3) return trend;
  const auto third = static_cast<long>(at.size() / 3);
  const auto first = [third](const std::vector<double>& v) {
    return Median({v.begin(), v.begin() + third});
  };
  const auto last = [third](const std::vector<double>& v) {
    return Median({v.end() - third, v.end()});
  };
  trend.mb_an_hour = experiments::Slope(at.data(), mb.data(), at.size());
  trend.mb_begin = first(mb), trend.mb_end = last(mb);
  trend.files_begin = first(files), trend.files_end = last(files);
  trend.files_most = *std::max_element(files.begin(), files.end());
  trend.threads_begin = first(threads), trend.threads_end = last(threads);
  return trend;
}

class Soak {
 public:
  Soak(const Options& options, fs::path folder) : options_(options), folder_(std::move(folder)) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(const int port, experiments::FreePort());
    ASSIGN_OR_RETURN(const MadeFederation made,
                     MadeFederation::Make(folder_, options_.sites, port));
    RETURN_IF_ERROR(StartCoordinator(made, port));
    CuttingProxy proxy(port, options_.seed, FromSeconds(options_.between_cuts_s));
    RETURN_IF_ERROR(proxy.Start());
    for (const identity::Identity& site : made.sites()) {
      const fs::path state = folder_ / "sites" / site.name;
      RETURN_IF_ERROR(made.SaveMember(site, state, StrCat("127.0.0.1:", proxy.port())));
      RETURN_IF_ERROR(StartAgent(site.name, state));
    }
    RETURN_IF_ERROR(made.SaveMember(made.researcher(), folder_ / "researcher"));
    ASSIGN_OR_RETURN(identity::Identity researcher, identity::LoadIdentity(folder_ / "researcher"));
    Rounds rounds(std::move(researcher), options_.sites);
    HalfOpenConnections trouble(port, options_.seed + 1, options_.half_open);
    RETURN_IF_ERROR(Watch(rounds));
    std::printf(
        "%.0f s, %d sites: %d runs, %d rounds counted, %d attempts failed; %d connections "
        "reset, %d half open\n",
        options_.seconds, options_.sites, rounds.runs(), rounds.rounds(), rounds.failed(),
        proxy.cuts(), trouble.opened());
    if (rounds.rounds() == 0) return absl::AbortedError("no round was counted in all that time");
    return Verdict();
  }

 private:
  absl::Status StartCoordinator(const MadeFederation& made, int port) {
    ASSIGN_OR_RETURN(
        Process process,
        Process::Start({.program = experiments::ProgramFolder() / "consilium-coordinator",
                        .arguments = {"serve", "--state", made.state(), "--passphrase-file",
                                      made.passphrase(), "--listen", StrCat("127.0.0.1:", port)},
                        .output = folder_ / "coordinator.out",
                        .errors = folder_ / "coordinator.log"}));
    coordinator_process_.emplace(std::move(process));
    while (!experiments::PortAnswers(port)) {
      RETURN_IF_ERROR(CheckAllRun());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return absl::OkStatus();
  }

  absl::Status StartAgent(const std::string& name, const fs::path& state) {
    ASSIGN_OR_RETURN(
        Process process,
        Process::Start(
            {.program = experiments::ProgramFolder() / "consilium-bench-agent",
             .arguments = {"run", "--state", state, "--parameters", StrCat(options_.parameters)},
             .output = folder_ / (name + ".out"),
             .errors = folder_ / (name + ".log")}));
    agents_.emplace_back(std::move(process));
    return absl::OkStatus();
  }

  absl::Status CheckAllRun() {
    if (const auto ended = coordinator_process_->Poll()) {
      return absl::AbortedError(StrCat("the coordinator ", ended->ToString(), ":\n",
                                       experiments::Tail(folder_ / "coordinator.log", 10)));
    }
    for (Process& agent : agents_) {
      if (const auto ended = agent.Poll()) {
        return absl::AbortedError(StrCat("an agent ", ended->ToString()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Watch(const Rounds& rounds) {
    const auto begun = std::chrono::steady_clock::now();
    const double between_s = std::clamp(options_.seconds / 200, 0.2, 5.0);
    std::FILE* table = options_.table.empty() ? nullptr : std::fopen(options_.table.c_str(), "w");
    if (table) {
      std::fprintf(table,
                   "seconds,rounds,coordinator_mb,coordinator_files,coordinator_threads,"
                   "agent_mb,agent_files,agent_threads\n");
    }
    absl::Status status;
    for (int i = 1; status.ok(); ++i) {
      std::this_thread::sleep_until(begun + FromSeconds(i * between_s));
      const double at_s =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      if (Interrupted() || at_s > options_.seconds) break;
      status = Look(at_s);
      if (!status.ok() || !table) continue;
      const ProcessFigures &c = coordinator_.back().figures, &a = agent_.back().figures;
      std::fprintf(table, "%.1f,%d,%.2f,%d,%d,%.2f,%d,%d\n", at_s, rounds.rounds(),
                   double(c.resident) / 1e6, c.files, c.threads, double(a.resident) / 1e6, a.files,
                   a.threads);
      std::fflush(table);
    }
    if (table) std::fclose(table);
    return status;
  }

  absl::Status Look(double at_s) {
    RETURN_IF_ERROR(CheckAllRun());
    Sample& coordinator = coordinator_.emplace_back();
    Sample& agent = agent_.emplace_back();
    coordinator.at_s = agent.at_s = at_s;
    ASSIGN_OR_RETURN(coordinator.figures, FiguresOf(coordinator_process_->pid()));
    ASSIGN_OR_RETURN(agent.figures, FiguresOf(agents_.front().pid()));
    return absl::OkStatus();
  }

  absl::Status Verdict() const {
    std::string faults;
    for (const auto& [who, samples] :
         {std::pair("coordinator", &coordinator_), std::pair("agent", &agent_)}) {
      const Trend t = TrendOf(*samples, options_.seconds * options_.warm_up);
      std::printf(
          "%-12s memory %+.2f MB/h (linear fit; %.1f MB at first, %.1f at last), files %.0f "
          "-> %.0f (most %.0f), threads %.0f -> %.0f\n",
          who, t.mb_an_hour, t.mb_begin, t.mb_end, t.files_begin, t.files_end, t.files_most,
          t.threads_begin, t.threads_end);
      // Half of the half-open connections come and go from one look to the next.
      const double files_slack = 10 + options_.half_open / 2.0;
      if (t.files_end > t.files_begin + files_slack) StrAppend(&faults, who, ": files grow; ");
      if (t.threads_end > t.threads_begin + 6) StrAppend(&faults, who, ": threads grow; ");
      const bool grows = options_.most_mb > 0 ? t.mb_end - t.mb_begin > options_.most_mb
                                              : t.mb_an_hour > options_.most_mb_an_hour;
      if (grows) StrAppend(&faults, who, ": memory grows; ");
    }
    return faults.empty() ? absl::OkStatus() : absl::AbortedError(faults);
  }

  const Options& options_;
  const fs::path folder_;
  // Agents end before the coordinator: members are destroyed from the last to the first.
  std::optional<Process> coordinator_process_;
  std::vector<Process> agents_;
  std::vector<Sample> coordinator_, agent_;
};

int Main(int argc, char** argv) {
  CLI::App app("consilium-soak: what grows in a long time of rounds over a rough network",
               "consilium-soak");
  Options options;
  app.add_option("--seconds", options.seconds)
      ->check(CLI::Range(5, 1000000))
      ->capture_default_str();
  app.add_option("--sites", options.sites)->check(CLI::Range(3, 100))->capture_default_str();
  app.add_option("--cut", options.between_cuts_s, "Seconds between two resets of a connection")
      ->check(CLI::Range(0.05, 10000.0))
      ->capture_default_str();
  app.add_option("--half-open", options.half_open, "At once")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--parameters", options.parameters, "Of the model: 4 bytes each")
      ->check(CLI::Range(1, 1 << 28))
      ->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "Share of the time that is left out")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  app.add_option("--most-mb-an-hour", options.most_mb_an_hour, "Fail above this growth")
      ->capture_default_str();
  app.add_option("--most-mb", options.most_mb,
                 "Instead: fail when more than this came after warming up (for short runs)");
  app.add_option("--table", options.table, "Write every look into this file, as CSV");
  app.add_option("--folder", options.place, "Where the states go")->capture_default_str();
  app.add_flag("--keep", options.keep, "Keep the states and logs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  std::string folder = (options.place / "consilium-soak-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return ReportAndExitCode(absl::InternalError(StrCat("no folder in ", options.place.string())));
  }
  const absl::Status soaked = Soak(options, folder).Run();
  std::error_code ignored;
  if (!options.keep) fs::remove_all(folder, ignored);
  return ReportAndExitCode(soaked);
}

}  // namespace
}  // namespace consilium::soak

int main(int argc, char** argv) { return consilium::soak::Main(argc, argv); }
