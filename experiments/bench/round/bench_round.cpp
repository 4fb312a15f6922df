// consilium-bench-round: what a round costs without training. Real coordinator and real agents as
// processes, mutual TLS, sealed updates, every byte written and checked as in production; the
// learning alone is left out (bench_agent.cpp).

#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/plan/plan.h"
#include "experiments/bench/round/loopback_floor.h"
#include "experiments/federation.h"
#include "experiments/results.h"

namespace consilium::experiments {
namespace {

struct Case {
  std::uint64_t megabytes = 1;  // of the model, 10^6 bytes
  int sites = 2;
  int rounds = 5;
  plan::Updates updates = plan::Updates::kMasked;
  std::uint64_t bytes() const { return megabytes * 1'000'000; }
};

struct Measured {
  double seconds = 0;                                 // median round
  double longest = 0;                                 // round
  std::uint64_t coordinator_peak = 0, site_peak = 0;  // resident bytes; of the sites the largest
  double floor = 0;
};

std::string PlanFor(const Case& c) {
  return absl::StrFormat(
      "[plan]\nname = \"bench-round\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = "
      "[\"DX\"]\n"
      "[aggregation]\nupdates = \"%s\"\n"
      "[cohort]\nminimum_sites = %d\nround_deadline_s = 600\n[gate]\nminimum_auroc = "
      "0.5\nminimum_sites = %d\n"
      "[stop]\nrounds = %d\n",
      Name(c.updates), c.sites, c.sites, c.rounds);
}

std::string NameOf(int site) { return StrCat("site-", site + 1); }

// The time from the opening of each training round to that of the next, or to the final evaluation.
std::vector<double> RoundSeconds(const std::vector<wire::RunEvent>& events) {
  std::vector<double> seconds;
  std::optional<Time> opened;
  for (const wire::RunEvent& event : events) {
    const bool opens = event.kind == wire::RunEventKind::kRoundOpened && event.round > 0;
    if (!opens && event.kind != wire::RunEventKind::kStopping) continue;
    if (opened) seconds.push_back(Seconds(event.time - *opened));
    opened = event.time;
  }
  return seconds;
}

absl::StatusOr<std::vector<wire::RunEvent>> RunToItsEnd(Federation& federation, const Case& c) {
  const fs::path plan = federation.folder() / "plan.toml";
  RETURN_IF_ERROR(WriteFileDurably(plan, PlanFor(c)));
  ASSIGN_OR_RETURN(const std::string run, federation.SubmitRun(plan));
  const fs::path watched = federation.logs() / "watch.out";
  ASSIGN_OR_RETURN(const ExitState state, federation.WatchRun(run, watched));
  if (!state.ok())
    return absl::AbortedError(StrCat("the run did not end well:\n", Tail(watched, 10)));
  ASSIGN_OR_RETURN(const std::string shown, federation.ShowRun(run));
  return EventsOfRun(shown);
}

absl::StatusOr<Measured> Measure(const fs::path& folder, const Case& c) {
  ASSIGN_OR_RETURN(Federation federation, Federation::Create(ProgramFolder(), folder));
  RETURN_IF_ERROR(federation.StartCoordinator());
  RETURN_IF_ERROR(federation.EnrolResearcher("researcher"));
  for (int i = 0; i < c.sites; ++i) {
    RETURN_IF_ERROR(federation.EnrolSite(NameOf(i)));
    if (c.updates == plan::Updates::kSealed) {
      RETURN_IF_ERROR(federation.ConsentToSealedUpdates(NameOf(i)));
    }
    RETURN_IF_ERROR(federation.StartSite(NameOf(i), {"--parameters", StrCat(c.bytes() / 4)},
                                         "consilium-bench-agent"));
  }
  for (int i = 0; i < c.sites; ++i) RETURN_IF_ERROR(federation.AwaitSite(NameOf(i)));
  Measured m;
  ASSIGN_OR_RETURN(const auto events, RunToItsEnd(federation, c));
  m.coordinator_peak = federation.coordinator().PeakMemory();
  for (int i = 0; i < c.sites; ++i)
    m.site_peak = std::max(m.site_peak, federation.site(NameOf(i)).PeakMemory());
  std::vector<double> rounds = RoundSeconds(events);
  if (rounds.empty()) return absl::InternalError("the run had no rounds");
  std::sort(rounds.begin(), rounds.end());
  m.seconds = rounds[rounds.size() / 2];
  m.longest = rounds.back();
  federation.StopSites();
  ASSIGN_OR_RETURN(m.floor, LoopbackFloor(c.bytes(), c.sites));
  return m;
}

std::vector<std::string> RowFor(const Case& c, const Measured& m) {
  const auto mib = [](std::uint64_t bytes) {
    return absl::StrFormat("%.0f", double(bytes) / (1 << 20));
  };
  const double model = static_cast<double>(c.bytes());
  return {StrCat(c.megabytes),
          StrCat(c.sites),
          std::string(Name(c.updates)),
          absl::StrFormat("%.3f", m.seconds),
          absl::StrFormat("%.3f", m.longest),
          absl::StrFormat("%.3f", m.floor),
          absl::StrFormat("%.1f", m.seconds / m.floor),
          mib(m.coordinator_peak),
          absl::StrFormat("%.2f", std::max(0.0, double(m.coordinator_peak) - (64 << 20)) / model),
          mib(m.site_peak),
          absl::StrFormat("%.2f", double(m.site_peak) / model)};
}

absl::Status RunCases(const std::vector<Case>& cases, const fs::path& place, bool keep) {
  std::map<std::pair<std::uint64_t, int>, double> sealed;  // seconds a round
  std::string ratios;
  TextTable table({"model MB", "sites", "updates", "round s", "longest s", "loopback s", "ratio",
                   "coordinator MiB", "(peak - 64 MiB) / model", "site MiB", "site peak / model"});
  for (const Case& c : cases) {
    std::string pattern = (place / "consilium-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr)
      return absl::InternalError(StrCat("no folder in ", place.string()));
    std::fprintf(stderr, "%llu MB, %d sites, %s, %d rounds ...\n",
                 static_cast<unsigned long long>(c.megabytes), c.sites,
                 std::string(Name(c.updates)).c_str(), c.rounds);
    const absl::StatusOr<Measured> measured = Measure(pattern, c);
    std::error_code ignored;
    if (!keep) fs::remove_all(pattern, ignored);
    RETURN_IF_ERROR(
        WithContext(measured.status(), StrCat(c.megabytes, " MB with ", c.sites, " sites")));
    table.AddRow(RowFor(c, *measured));
    if (c.updates == plan::Updates::kSealed) {
      sealed[{c.megabytes, c.sites}] = measured->seconds;
    } else if (const auto same = sealed.find({c.megabytes, c.sites}); same != sealed.end()) {
      StrAppend(&ratios, absl::StrFormat("masked : sealed, %d MB, %d sites: %.2f\n", c.megabytes,
                                         c.sites, measured->seconds / same->second));
    }
    std::fprintf(stderr, "  %.3f s a round\n", measured->seconds);
  }
  std::printf(
      "%s%s\nround s: median from the opening of a round to that of the next: every site trains "
      "(nothing), masks or seals and "
      "uploads,\n  the coordinator adds up, every site fetches and evaluates the new model.  "
      "loopback s: the same "
      "bytes over plain TCP.\n",
      table.ToString().c_str(), ratios.c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("consilium-bench-round: what a round costs without training",
               "consilium-bench-round");
  std::vector<std::uint64_t> megabytes = {1, 45, 400};
  std::vector<int> sites = {2, 4, 8};
  int rounds = 5;
  bool quick = false, keep = false;
  fs::path place = fs::temp_directory_path();
  app.add_option("--mb", megabytes, "Model sizes, 10^6 bytes")
      ->delimiter(',')
      ->capture_default_str();
  std::vector<plan::Updates> updates = {plan::Updates::kSealed, plan::Updates::kMasked};
  app.add_option(
         "--updates", updates,
         "masked (secure aggregation), sealed, or sealed,masked: then their ratio is printed")
      ->delimiter(',')
      ->transform(CLI::CheckedTransformer(std::map<std::string, plan::Updates>{
          {"masked", plan::Updates::kMasked}, {"sealed", plan::Updates::kSealed}}));
  app.add_option("--sites", sites, "Numbers of sites")->delimiter(',')->capture_default_str();
  app.add_option("--rounds", rounds, "A case; three for models of 200 MB and more")
      ->capture_default_str();
  app.add_option("--folder", place, "Where the states go: 5 x model x sites of free disk")
      ->capture_default_str();
  app.add_flag("--quick", quick, "1 and 45 MB with 3 sites, three rounds");
  app.add_flag("--keep", keep, "Keep the states and logs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchInterrupts();
  if (quick) {
    megabytes = {1, 45};
    sites = {3};
    rounds = 3;
  }
  std::vector<Case> cases;
  for (const std::uint64_t size : megabytes) {
    for (const int count : sites) {
      for (const plan::Updates kind : updates) {
        if (kind == plan::Updates::kMasked && count < 3) continue;
        cases.push_back({size, count, size >= 200 ? std::min(rounds, 3) : rounds, kind});
      }
    }
  }
  return ReportAndExitCode(RunCases(cases, place, keep));
}

}  // namespace
}  // namespace consilium::experiments

int main(int argc, char** argv) { return consilium::experiments::Main(argc, argv); }
