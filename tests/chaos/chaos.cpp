// consilium-chaos: federations of real processes that are killed, cut off, run out of disk and lose
// the time, while runs go on; and the checks that nothing was lost or counted twice.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <thread>

#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "coordinator/ledger.h"
#include "site_agent/site_state.h"
#include "tests/chaos/run_audit.h"
#include "tests/chaos/stressed_federation.h"
#include "tests/chaos/troublemaker.h"

namespace consilium::chaos {
namespace {

using experiments::Federation;
using std::chrono::steady_clock;

struct Options {
  double seconds = 0;
  int kills = 0;
  std::uint64_t seed = 0;
  bool real_training = false;
  std::vector<Weather> weathers;
  double pause_s = 0.25;
  fs::path out;
};

struct Totals {
  int federations = 0, runs = 0, completed = 0;
  Tally tally;
  RunFindings findings;  // sums
  std::vector<std::string> violations;
};

constexpr int kRunsOfAFederation = 4;

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / values.size();
}

double Largest(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

std::string Rounded(double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2f %s", value, unit);
  return text;
}

std::string PlanFor(SeededRandom& random, bool masked, bool real) {
  return StrCat("[plan]\nname = \"chaos\"\nseed = ", random.Below(1'000'000),
                "\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\", \"CR\"]\n",
                real ? "[preprocessing]\nimage_size = 32\n[training]\nlocal_epochs = 1\n" : "",
                "[aggregation]\nupdates = \"", masked ? "masked" : "sealed",
                "\"\n[cohort]\nminimum_sites = 3\nround_deadline_s = 600\nabsence_grace_s = 60\n",
                "[gate]\nminimum_auroc = 0.0\n[stop]\nrounds = ", 4 + random.Below(5), "\n");
}

// One federation from its founding to the audit of its runs.
class Scene {
 public:
  Scene(const Options& options, Weather weather, int number, int kills_left, Totals& totals)
      : options_(options),
        weather_(weather),
        number_(number),
        kills_left_(kills_left),
        totals_(totals),
        random_(options.seed, StrCat("federation ", number)) {}

  // False: the folder is worth a look and is kept.
  bool Play() {
    const absl::Status status = Act();
    if (absl::IsCancelled(status)) interrupted_ = true;
    if (!status.ok() && !interrupted_) violations_.push_back(std::string(status.message()));
    instruments_.disks.clear();
    Report();
    return violations_.empty();
  }
  bool interrupted() const { return interrupted_; }
  fs::path Folder() const { return options_.out / StrCat("federation-", number_); }

 private:
  absl::Status Act() {
    RETURN_IF_ERROR(RemoveTree(Folder()));
    RETURN_IF_ERROR(EnsureFolder(Folder()));
    Setting setting{.programs = experiments::ProgramFolder(), .folder = Folder()};
    if (!options_.real_training) {
      constexpr std::uint64_t kParameters[] = {500, 70'000, 140'000};
      setting.parameters = parameters_ = kParameters[random_.Below(3)];
    }
    setting.images = options_.out / "images";
    RETURN_IF_ERROR(PrepareInstruments(setting));
    ASSIGN_OR_RETURN(const auto federation, StressedFederation::Create(setting));
    Troublemaker troublemaker(*federation, instruments_, weather_, options_.pause_s, random_);
    std::vector<RunId> runs;
    absl::Status lived;
    for (int i = 0; i < kRunsOfAFederation && lived.ok(); ++i) {
      if (i > 0 && troublemaker.tally().killed >= kills_left_ && kills_left_ > 0) break;
      ASSIGN_OR_RETURN(const RunId run, Submit(federation->federation(), i));
      runs.push_back(run);
      lived = Live(*federation, troublemaker, run, InPeace(i));
    }
    tally_ = troublemaker.tally();
    if (lived.ok()) lived = LetSitesHear(*federation, runs);
    federation->StopAll();
    if (absl::IsCancelled(lived)) return lived;
    // Also of a run that hangs: what is there of it shows why.
    const absl::Status audited = AuditAll(*federation, runs);
    return lived.ok() ? audited : lived;
  }

  absl::Status PrepareInstruments(Setting& setting) {
    const std::string site = StrCat("site-", random_.Below(setting.sites));
    if (weather_ == Weather::kDisk) {
      constexpr int kMegabytes = 48;
      ASSIGN_OR_RETURN(instruments_.disks[site],
                       FullDisk::Mount(Folder() / "sites" / site, kMegabytes));
      ASSIGN_OR_RETURN(instruments_.disks[kCoordinator],
                       FullDisk::Mount(Folder() / "coordinator", kMegabytes));
    }
    if (weather_ == Weather::kClock) {
      const fs::path library = experiments::ProgramFolder() / "libmoved_clock.so";
      for (const std::string& who : {site, std::string(kCoordinator)}) {
        const fs::path file = Folder() / StrCat(who, ".clock");
        RETURN_IF_ERROR(WriteFileDurably(file, std::string_view("+0\n"), 0644));
        instruments_.clocks[who] = file;
        setting.environment[who] = {{"LD_PRELOAD", library.string()},
                                    {"CONSILIUM_MOVED_CLOCK", file.string()}};
      }
    }
    return absl::OkStatus();
  }

  // What LibTorch learns cannot be said beforehand: every second run repeats the one before, which
  // was left in peace, and must publish the same model.
  bool Again(int i) const { return options_.real_training && i % 2 == 1; }
  bool InPeace(int i) const { return options_.real_training && i % 2 == 0; }

  absl::StatusOr<RunId> Submit(Federation& federation, int i) {
    const fs::path file = Folder() / StrCat("plan-", i, ".toml");
    RETURN_IF_ERROR(
        WriteFileDurably(file, PlanFor(random_, (number_ + i) % 2 == 0, options_.real_training)));
    ASSIGN_OR_RETURN(const std::string run, federation.SubmitRun(file));
    return RunId(run);
  }

  absl::Status Live(StressedFederation& federation, Troublemaker& troublemaker, const RunId& run,
                    bool in_peace) {
    auto watcher = std::make_unique<RunWatcher>(federation.federation().ResearcherState(), run);
    const int most_kills = in_peace ? 0 : kills_left_ > 0 ? kills_left_ : 1'000'000'000;
    const absl::Status lived = troublemaker.Live(*watcher, most_kills);
    if (!lived.ok()) federation.Kill(kCoordinator);  // so that the watcher's call ends
    watcher.reset();
    return WithContext(lived, run.value);
  }

  // Until every site has been told of the end of each run, as it is a moment later.
  absl::Status LetSitesHear(StressedFederation& federation, const std::vector<RunId>& runs) const {
    const auto until = steady_clock::now() + std::chrono::seconds(20);
    for (const std::string& name : federation.names()) {
      if (name == kCoordinator) continue;
      for (const RunId& run : runs) {
        while (true) {
          ASSIGN_OR_RETURN(const auto state,
                           site_agent::SiteState::Open(federation.StateOf(name),
                                                       site_agent::SiteState::Access::kLook));
          ASSIGN_OR_RETURN(const auto record, state->FindRun(run));
          if (record && !record->outcome.empty()) break;
          if (steady_clock::now() > until) {
            return absl::DeadlineExceededError(
                StrCat(name, " was not told within 20 s that run ", run.value, " has ended"));
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::Status AuditAll(StressedFederation& federation, const std::vector<RunId>& runs) {
    ASSIGN_OR_RETURN(coordinator::Ledger ledger,
                     coordinator::Ledger::Open(federation.StateOf(kCoordinator) / "ledger.db"));
    std::string published_before;
    for (const RunId& run : runs) {
      AuditOrder order{.run = run, .parameters = parameters_};
      // A site whose disk is full says so and is left out of that round; a clock that jumps an hour
      // ahead may pass a round's deadline.
      order.nobody_was_away = weather_ == Weather::kKills || weather_ == Weather::kNetwork;
      for (const std::string& name : federation.names()) {
        if (name == kCoordinator) continue;
        order.sites[name] = {federation.StateOf(name),
                             parameters_ > 0 ? federation.TrainingsOf(name) : fs::path()};
      }
      ASSIGN_OR_RETURN(const RunFindings found, Audit(ledger, order));
      ++runs_;
      completed_ += !found.published.empty();
      Take(found);
      if (Again(runs_ - 1) && found.published != published_before) {
        violations_.push_back(StrCat(run.value, ": published ", found.published.substr(0, 12),
                                     ", undisturbed it was ", published_before.substr(0, 12)));
      }
      published_before = found.published;
    }
    return ledger.VerifyLog();
  }

  void Take(const RunFindings& found) {
    findings_.rounds += found.rounds;
    findings_.counted += found.counted;
    findings_.left_out += found.left_out;
    findings_.lost += found.lost;
    findings_.doubled += found.doubled;
    findings_.misinformed += found.misinformed;
    findings_.attempts_lost += found.attempts_lost;
    findings_.trained_again += found.trained_again;
    findings_.trained_unkept += found.trained_unkept;
    findings_.models_checked += found.models_checked;
    violations_.insert(violations_.end(), found.violations.begin(), found.violations.end());
  }

  void Report() {
    int troubles = 0;
    for (const auto& [what, times] : tally_.troubles) troubles += times;
    std::printf(
        "federation %-3d %-8s %7llu values  %d of %d runs  %3d rounds  %4d kills  %3d other"
        "  %s\n",
        number_, Name(weather_), static_cast<unsigned long long>(parameters_), completed_, runs_,
        findings_.rounds, tally_.killed, troubles,
        interrupted_          ? "interrupted"
        : violations_.empty() ? "right"
                              : "WRONG");
    for (const std::string& violation : violations_) std::printf("    %s\n", violation.c_str());
    std::fflush(stdout);
    Totals& t = totals_;
    ++t.federations;
    t.runs += runs_;
    t.completed += completed_;
    t.tally.Add(tally_);
    t.findings.rounds += findings_.rounds;
    t.findings.counted += findings_.counted;
    t.findings.left_out += findings_.left_out;
    t.findings.lost += findings_.lost;
    t.findings.doubled += findings_.doubled;
    t.findings.misinformed += findings_.misinformed;
    t.findings.attempts_lost += findings_.attempts_lost;
    t.findings.trained_again += findings_.trained_again;
    t.findings.trained_unkept += findings_.trained_unkept;
    t.findings.models_checked += findings_.models_checked;
    t.violations.insert(t.violations.end(), violations_.begin(), violations_.end());
  }

  const Options& options_;
  const Weather weather_;
  const int number_, kills_left_;
  Totals& totals_;
  SeededRandom random_;
  std::uint64_t parameters_ = 0;
  std::string plan_;
  Instruments instruments_;
  Tally tally_;
  int runs_ = 0, completed_ = 0;
  RunFindings findings_;
  std::vector<std::string> violations_;
  bool interrupted_ = false;
};

void PrintTotals(const Options& options, const Totals& totals, double seconds) {
  TextTable kills({"killed", "while", "times"});
  for (const auto& [what, times] : totals.tally.kills) {
    kills.AddRow({what.first, what.second, StrCat(times)});
  }
  std::printf("\n%s\n", kills.ToString().c_str());
  TextTable table({"what", "figure"});
  const RunFindings& f = totals.findings;
  const auto row = [&](const std::string& what, const std::string& figure) {
    table.AddRow({what, figure});
  };
  row("seed", StrCat(options.seed));
  row("seconds", StrCat(static_cast<int>(seconds)));
  row("federations", StrCat(totals.federations));
  row("runs completed", StrCat(totals.completed, " of ", totals.runs));
  row("processes killed with SIGKILL", StrCat(totals.tally.killed));
  for (const auto& [what, times] : totals.tally.troubles) row(what, StrCat(times));
  row("ended by themselves on a full disk", StrCat(totals.tally.ended_by_themselves));
  row("rounds", StrCat(f.rounds));
  row("attempts lost", StrCat(f.attempts_lost));
  row("contributions counted", StrCat(f.counted));
  row("contributions left out", StrCat(f.left_out));
  row("contributions lost", StrCat(f.lost));
  row("contributions doubled", StrCat(f.doubled));
  row("contributions counted, of which the site believes otherwise", StrCat(f.misinformed));
  row("models recomputed, bit by bit", StrCat(f.models_checked));
  row("trainings repeated though site.db had them", StrCat(f.trained_again));
  row("trainings cut off between their end and site.db", StrCat(f.trained_unkept));
  const auto times = [&](const char* what, const std::vector<double>& values) {
    row(what, values.empty() ? "-"
                             : StrCat(Rounded(Mean(values), "s"), " (longest ",
                                      Rounded(Largest(values), "s"), ")"));
  };
  times("coordinator, from its start to serving", totals.tally.coordinator_back);
  times("site, from its start to connected", totals.tally.site_back);
  times("run, from a kill to its next event", totals.tally.run_goes_on);
  row("violations", StrCat(totals.violations.size()));
  std::printf("%s\n", table.ToString().c_str());
}

// Four sites' images for LibTorch.
absl::Status DrawImages(const fs::path& folder) {
  constexpr const char* kHospitals[] = {"north", "south", "east", "north"};
  for (int i = 0; i < 4; ++i) {
    const fs::path to = folder / StrCat("site-", i);
    if (Exists(to)) continue;
    RETURN_IF_ERROR(experiments::RunProgram(
                        {.program = experiments::ProgramFolder() / "consilium-dataset",
                         .arguments = {"synthesize", "--out", to, "--hospital", kHospitals[i],
                                       "--patients", "48", "--seed", StrCat(100 + i)},
                         .logs = folder / "logs",
                         .name = StrCat("site-", i)})
                        .status());
  }
  return absl::OkStatus();
}

int Stress(Options options) {
  if (options.seed == 0) {
    std::uint8_t bytes[4];
    SystemRandom().Fill(bytes);
    options.seed = LoadLe32(bytes);
  }
  std::printf("seed %llu, folder %s\n", static_cast<unsigned long long>(options.seed),
              options.out.c_str());
  std::fflush(stdout);
  if (options.real_training) {
    const absl::Status drawn = DrawImages(options.out / "images");
    if (!drawn.ok()) return ReportAndExitCode(drawn);
  }
  Totals totals;
  const auto began = steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(steady_clock::now() - began).count();
  };
  bool interrupted = false;
  for (int number = 0; !interrupted; ++number) {
    if (options.kills > 0 && totals.tally.killed >= options.kills) break;
    if (options.seconds > 0 && elapsed() >= options.seconds) break;
    const Weather weather = options.weathers[number % options.weathers.size()];
    Scene scene(options, weather, number,
                options.kills > 0 ? options.kills - totals.tally.killed : 0, totals);
    const bool right = scene.Play();
    interrupted = scene.interrupted();
    if (right) {
      RemoveTree(scene.Folder()).IgnoreError();
    } else {
      std::printf("    kept: %s\n", scene.Folder().c_str());
    }
  }
  PrintTotals(options, totals, elapsed());
  if (totals.violations.empty()) return interrupted ? 130 : 0;
  std::printf(
      "WRONG; the folders named above are kept. Again with the same choices (the system's "
      "timing is its own): --seed %llu\n",
      static_cast<unsigned long long>(options.seed));
  return 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "consilium-chaos: federations of real processes under kill -9, broken links, full disks and "
      "clocks that jump",
      "consilium-chaos");
  Options options;
  std::vector<std::string> weathers;
  auto* seconds = app.add_option("--seconds", options.seconds, "Begin federations for so long");
  app.add_option("--kills", options.kills, "Until so many processes were killed")
      ->excludes(seconds);
  app.add_option("--seed", options.seed, "Of all choices; default: another each time");
  app.add_flag("--real-training", options.real_training,
               "consilium-site and LibTorch instead of a learner of milliseconds");
  app.add_option("--weather", weathers,
                 "kills, network, disk, clock: one federation after the other; may be repeated. "
                 "Default: four of kills, then one of each other that this machine allows")
      ->check(CLI::IsMember({"kills", "network", "disk", "clock"}));
  app.add_option("--pause", options.pause_s, "Mean seconds from one trouble to the next")
      ->capture_default_str();
  options.out = fs::temp_directory_path() / "consilium-chaos";
  app.add_option("--out", options.out, "Folder for the federations")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.kills == 0 && options.seconds == 0) options.seconds = 60;
  for (const std::string& name : weathers) {
    for (const Weather weather : kWeathers) {
      if (name == Name(weather)) options.weathers.push_back(weather);
    }
  }
  if (weathers.empty()) {
    options.weathers.assign(4, Weather::kKills);
    options.weathers.push_back(Weather::kNetwork);
    if (FullDisk::Mount(options.out / "disk", 1).ok()) {
      options.weathers.push_back(Weather::kDisk);
    } else {
      std::printf("no full disks: this user may not mount\n");
    }
    options.weathers.push_back(Weather::kClock);
  }
  CatchInterrupts();
  return Stress(std::move(options));
}

}  // namespace
}  // namespace consilium::chaos

int main(int argc, char** argv) { return consilium::chaos::Main(argc, argv); }
