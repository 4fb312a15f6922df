// Simulates federations, seed after seed, until there were so many rounds; a violated invariant is
// printed with the command that replays it.

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/sequence_diagram.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  simulate --rounds 10000 --jobs 2         seeds from 1 on, until there were 10,000 rounds\n"
    "  simulate --seconds 60 --seed 5000        for a minute\n"
    "  simulate --seed 4711 --trace             one seed again, with everything that happens\n"
    "  simulate --scenario tests/scenarios/a-good-round.txt --diagram\n"
    "\n"
    "Exit codes: 0 every invariant held, 1 one was violated, 2 wrong input.";

constexpr std::size_t kLastLines = 40;

struct Arguments {
  std::uint64_t seed = 1, seeds = 0, rounds = 0, first_failure_after = 0;
  double seconds = 0;
  int jobs = 1;
  std::size_t sites = 0;
  bool trace = false, json = false, diagram = false, twice = false;
  std::string scenario;
};

struct Total {
  std::uint64_t first_seed = 0, last_seed = 0, seeds = 0, runs = 0, rounds = 0, attempts = 0,
                published = 0, events = 0, violations = 0;
  double seconds = 0, simulated_seconds = 0;
  FaultCounts faults;
};

double SecondsSince(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

Outcome SimulateOne(const Arguments& arguments, std::uint64_t seed, Trace& trace) {
  Options options;
  options.seed = seed;
  options.sites = arguments.sites;
  World world(std::move(options), trace);
  return world.Run();
}

void Report(const Arguments& arguments, const Outcome& outcome) {
  std::printf("\nVIOLATED with seed %llu:\n", static_cast<unsigned long long>(outcome.seed));
  for (const std::string& violation : outcome.violations) std::printf("  %s\n", violation.c_str());
  Trace lines(Trace::Keep::kLines);
  const Outcome again = SimulateOne(arguments, outcome.seed, lines);
  std::printf("The last %zu lines of %zu:\n", kLastLines, lines.lines().size());
  for (const std::string& line : lines.Last(kLastLines)) std::printf("%s\n", line.c_str());
  if (again.trace_hash != outcome.trace_hash) {
    std::printf("(a second time this seed took another course: something is not of the seed)\n");
  }
  std::printf("Replay: build/bin/simulate --seed %llu%s --trace\n",
              static_cast<unsigned long long>(outcome.seed),
              arguments.sites > 0 ? StrCat(" --sites ", arguments.sites).c_str() : "");
  std::fflush(stdout);
}

std::atomic<std::uint64_t> seed_under_way = 0;

// A check that failed and a crash also say which seed it was. Only what a signal handler may call.
void OnAbort(int signal) {
  std::signal(signal, SIG_DFL);
  char text[200];
  const auto seed = static_cast<unsigned long long>(seed_under_way.load());
  const int length =
      std::snprintf(text, sizeof text,
                    "\nVIOLATED with seed %llu:\n  program: ended by signal %d\nReplay: "
                    "build/bin/simulate --seed %llu --trace\n",
                    seed, signal, seed);
  if (write(STDOUT_FILENO, text, static_cast<std::size_t>(length)) < 0) std::_Exit(3);
  std::raise(signal);
}

// Seeds `seed`, `seed` + step ... until there is enough.
Total SimulateMany(const Arguments& arguments, std::uint64_t seed, std::uint64_t step) {
  const auto begun = std::chrono::steady_clock::now();
  Total total;
  total.first_seed = seed;
  const auto enough = [&] {
    return (arguments.rounds > 0 && total.rounds >= arguments.rounds) ||
           (arguments.seconds > 0 && SecondsSince(begun) >= arguments.seconds) ||
           (arguments.seeds > 0 && total.seeds >= arguments.seeds);
  };
  for (; !enough(); seed += step) {
    Trace trace(Trace::Keep::kHash);
    seed_under_way = seed;
    const Outcome outcome = SimulateOne(arguments, seed, trace);
    total.last_seed = seed;
    ++total.seeds;
    total.runs += outcome.runs;
    total.rounds += outcome.rounds;
    total.attempts += outcome.attempts;
    total.published += outcome.published;
    total.events += outcome.events;
    total.simulated_seconds += outcome.simulated_seconds;
    total.faults += outcome.faults;
    if (arguments.twice) {
      Trace second(Trace::Keep::kHash);
      if (SimulateOne(arguments, seed, second).trace_hash != outcome.trace_hash) {
        std::printf("seed %llu does not give the same course twice\n",
                    static_cast<unsigned long long>(seed));
        ++total.violations;
      }
    }
    if (outcome.violations.empty()) continue;
    ++total.violations;
    Report(arguments, outcome);
    if (arguments.first_failure_after > 0 && total.violations >= arguments.first_failure_after) {
      break;
    }
  }
  total.seconds = SecondsSince(begun);
  return total;
}

void Add(const nlohmann::json& part, Total* total) {
  const auto number = [&](const char* name) { return part[name].get<std::uint64_t>(); };
  total->first_seed = std::min(total->first_seed, number("first_seed"));
  total->last_seed = std::max(total->last_seed, number("last_seed"));
  total->seeds += number("seeds");
  total->runs += number("runs");
  total->rounds += number("rounds");
  total->attempts += number("attempts");
  total->published += number("published");
  total->events += number("events");
  total->violations += number("violations");
  total->seconds += part["seconds"].get<double>();
  total->simulated_seconds += part["simulated_seconds"].get<double>();
  for (std::size_t i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    total->faults.Count(fault, part["faults"][std::string(Name(fault))].get<std::uint64_t>());
  }
}

nlohmann::ordered_json ToJson(const Total& total) {
  nlohmann::ordered_json faults;
  for (std::size_t i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    faults[std::string(Name(fault))] = total.faults.of(fault);
  }
  return {{"first_seed", total.first_seed},
          {"last_seed", total.last_seed},
          {"seeds", total.seeds},
          {"runs", total.runs},
          {"rounds", total.rounds},
          {"attempts", total.attempts},
          {"published", total.published},
          {"events", total.events},
          {"violations", total.violations},
          {"seconds", total.seconds},
          {"simulated_seconds", total.simulated_seconds},
          {"rounds_per_core_second", total.seconds > 0 ? total.rounds / total.seconds : 0},
          {"faults", faults}};
}

void Print(const Total& total, bool json) {
  if (json) {
    std::printf("%s\n", ToJson(total).dump(2).c_str());
    return;
  }
  const auto count = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  std::printf("\nseeds %llu to %llu: %llu simulations, %.0f hours simulated, %llu events\n",
              count(total.first_seed), count(total.last_seed), count(total.seeds),
              total.simulated_seconds / 3600, count(total.events));
  std::printf("runs %llu (%llu published a model), rounds %llu in %llu attempts\n",
              count(total.runs), count(total.published), count(total.rounds),
              count(total.attempts));
  std::printf("faults %llu:\n", count(total.faults.total()));
  for (std::size_t i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    std::printf("  %10llu  %s\n", count(total.faults.of(fault)), std::string(Name(fault)).c_str());
  }
  std::printf("%.1f rounds per second and core\n",
              total.seconds > 0 ? static_cast<double>(total.rounds) / total.seconds : 0.0);
  std::printf("violations %llu\n", count(total.violations));
}

// Each job is a process of its own with every n-th seed; its figures come back through a pipe.
Total SimulateInJobs(const Arguments& arguments) {
  Arguments share = arguments;
  const auto jobs = static_cast<std::uint64_t>(arguments.jobs);
  share.rounds = (arguments.rounds + jobs - 1) / jobs;
  share.seeds = (arguments.seeds + jobs - 1) / jobs;
  std::vector<std::pair<pid_t, FILE*>> children;
  for (std::uint64_t job = 0; job < jobs; ++job) {
    int ends[2];
    CONSILIUM_CHECK(pipe(ends) == 0);
    std::fflush(stdout);
    const pid_t child = fork();
    CONSILIUM_CHECK(child >= 0);
    if (child == 0) {
      close(ends[0]);
      const Total total = SimulateMany(share, arguments.seed + job, jobs);
      const std::string text = ToJson(total).dump();
      CONSILIUM_CHECK(write(ends[1], text.data(), text.size()) ==
                      static_cast<ssize_t>(text.size()));
      std::fflush(stdout);
      _exit(0);
    }
    close(ends[1]);
    children.emplace_back(child, fdopen(ends[0], "r"));
  }
  Total total;
  total.first_seed = ~std::uint64_t{0};
  for (const auto& [child, pipe_end] : children) {
    std::string text;
    char buffer[4096];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe_end)) {
      text.append(buffer, n);
    }
    std::fclose(pipe_end);
    int status = 0;
    waitpid(child, &status, 0);
    const auto part = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (status != 0 || part.is_discarded()) {
      std::printf("a job ended badly (status %d): see its last output above\n", status);
      ++total.violations;
    } else {
      Add(part, &total);
    }
  }
  return total;
}

int RunScenario(const Arguments& arguments) {
  std::ifstream file(arguments.scenario);
  if (!file) {
    std::fprintf(stderr, "error: %s cannot be read\n", arguments.scenario.c_str());
    return 2;
  }
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  Trace trace(Trace::Keep::kLines, arguments.trace);
  const auto result = PlayScenario(text, trace);
  if (arguments.diagram) std::printf("%s", ToMermaid(trace.lines()).c_str());
  return ReportAndExitCode(result);
}

int Main(int argc, char** argv) {
  CLI::App app("simulate: whole federations in one process, from a seed", "simulate");
  app.footer(kExamples);
  Arguments arguments;
  app.add_option("--seed", arguments.seed, "The first seed; alone, the only one");
  app.add_option("--seeds", arguments.seeds, "So many seeds");
  app.add_option("--rounds", arguments.rounds, "Until so many rounds were simulated in all");
  app.add_option("--seconds", arguments.seconds, "For so long");
  app.add_option("--jobs", arguments.jobs, "Processes at once")->check(CLI::Range(1, 64));
  app.add_option("--sites", arguments.sites, "Sites of each federation; else drawn")
      ->check(CLI::Range(2, 100));  // one alone makes no round
  app.add_option("--stop-after", arguments.first_failure_after,
                 "Stop after so many seeds that violate an invariant");
  app.add_flag("--twice", arguments.twice, "Every seed twice: the course must be the same");
  app.add_flag("--trace", arguments.trace, "Print what happens");
  app.add_flag("--json", arguments.json, "Print the figures as JSON");
  app.add_option("--scenario", arguments.scenario, "Play a file of tests/scenarios instead");
  app.add_flag("--diagram", arguments.diagram, "Print the scenario's sequence diagram (Mermaid)");
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal, OnAbort);
  }
  // Federations come and go: what one gave back the next needs.
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_MMAP_THRESHOLD, 1 << 26);
  SetLogLevel(arguments.trace ? LogLevel::kInfo : static_cast<LogLevel>(4));  // beyond kError: none
  if (!arguments.scenario.empty()) return RunScenario(arguments);
  if (arguments.trace) {
    Trace trace(Trace::Keep::kLines, /*print=*/true);
    const Outcome outcome = SimulateOne(arguments, arguments.seed, trace);
    for (const std::string& violation : outcome.violations) {
      std::printf("VIOLATED %s\n", violation.c_str());
    }
    std::printf("%llu rounds, trace %016llx\n", static_cast<unsigned long long>(outcome.rounds),
                static_cast<unsigned long long>(outcome.trace_hash));
    return outcome.violations.empty() ? 0 : 1;
  }
  if (arguments.rounds == 0 && arguments.seconds == 0 && arguments.seeds == 0) {
    arguments.seeds = 1;
  }
  const Total total =
      arguments.jobs == 1 ? SimulateMany(arguments, arguments.seed, 1) : SimulateInJobs(arguments);
  Print(total, arguments.json);
  return total.violations == 0 ? 0 : 1;
}

}  // namespace
}  // namespace consilium::simulation

int main(int argc, char** argv) { return consilium::simulation::Main(argc, argv); }
