#include "tests/simulation/scenario.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "common/base/status.h"
#include "common/wire/run_event_name.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/network.h"
#include "tests/simulation/site_machine.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {
namespace {

constexpr double kPatience_s = 4 * 3600;  // of "until" and "finish"

using Words = std::vector<std::string>;

Words WordsOf(const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word && word[0] != '#';) words.push_back(word);
  return words;
}

std::string Joined(const Words& words, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < words.size(); ++i) {
    StrAppend(&text, i == first ? "" : " ", words[i]);
  }
  return text;
}

class Player {
 public:
  explicit Player(Trace& trace) : trace_(trace) {}

  absl::Status Play(std::string_view text) {
    std::istringstream lines{std::string(text)};
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const Words words = WordsOf(line);
      if (words.empty()) continue;
      absl::Status done = Do(words);
      if (done.ok() && world_ != nullptr && world_->invariants->violated()) {
        done = absl::FailedPreconditionError(world_->invariants->violations().front());
      }
      if (!done.ok()) return WithContext(done, StrCat("line ", number, " (", line, ")"));
    }
    if (world_ == nullptr) return absl::InvalidArgumentError("nothing was started");
    const Outcome outcome = world_->Finish();
    if (outcome.violations.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(outcome.violations.front());
  }

 private:
  static absl::Status Meaningless() {
    return absl::InvalidArgumentError("means nothing; tests/simulation/scenario.h has the grammar");
  }
  static absl::Status NotMet(const std::string& what) {
    return absl::FailedPreconditionError(StrCat("is not so: ", what));
  }

  absl::Status Do(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "sites" || verb == "late" || verb == "plan" || verb == "segments") {
      return Describe(words);
    }
    if (verb == "start" && words.size() == 1) return Start();
    if (world_ == nullptr) return absl::InvalidArgumentError("comes before `start`");
    if (verb == "until") return Until(words);
    if (verb == "finish") return Finish();
    if (verb == "wait" && words.size() == 2) {
      const Time end = world_->events.now() + FromSeconds(std::stod(words[1]));
      while (world_->DoNext(end)) continue;
      return absl::OkStatus();
    }
    if (verb == "stop") {
      world_->StopRuns();
      return absl::OkStatus();
    }
    if (verb == "expect" && words.size() >= 2) return Expect(words);
    return words.size() >= 2 ? Meddle(words) : Meaningless();
  }

  absl::Status Describe(const Words& words) {
    if (world_ != nullptr) return absl::InvalidArgumentError("comes after `start`");
    const std::set<std::string> names(words.begin() + 1, words.end());
    if (words[0] == "sites") {
      sites_ = names.size();
      std::size_t i = 0;
      for (const std::string& name : names) {
        if (FederationKeys::SiteNamed(i++).value != name) {
          return absl::InvalidArgumentError("sites are a, b, c ...");
        }
      }
      return absl::OkStatus();
    }
    if (words[0] == "late") {
      late_ = names;
      return absl::OkStatus();
    }
    if (words[0] == "segments" && words.size() == 2) {
      parameters_ = std::stoul(words[1]) * 65'536 - 1000;
      return absl::OkStatus();
    }
    return words.size() >= 2 ? ReadPlan(words) : Meaningless();
  }

  absl::Status ReadPlan(const Words& words) {
    std::map<std::string, std::string> numbers = {
        {"rounds", "1"}, {"minimum", "3"}, {"deadline", "120"}, {"grace", "20"}, {"auroc", "0"}};
    for (std::size_t i = 2; i + 1 < words.size(); i += 2) {
      if (!numbers.contains(words[i])) return Meaningless();
      numbers[words[i]] = words[i + 1];
    }
    plan_ = StrCat(
        "[plan]\nname = \"story\"\n[target]\nname = \"opacity\"\n[data]\nmodalities = "
        "[\"DX\"]\n[cohort]\nminimum_sites = ",
        numbers["minimum"], "\nround_deadline_s = ", numbers["deadline"],
        "\nabsence_grace_s = ", numbers["grace"], "\n[stop]\nrounds = ", numbers["rounds"],
        "\n[gate]\nminimum_auroc = ", numbers["auroc"], "\n[aggregation]\nupdates = \"", words[1],
        "\"\n");
    return plan::ParsePlan(plan_).status();
  }

  absl::Status Start() {
    if (world_ != nullptr || sites_ == 0 || plan_.empty()) {
      return absl::InvalidArgumentError("needs `sites` and `plan` first, once");
    }
    Options options;
    options.sites = sites_;
    options.weather = Weather::Fair();
    options.plans = {plan_};
    options.parameters = parameters_;
    options.sites_start = false;
    world_ = std::make_unique<World>(std::move(options), trace_);
    world_->Begin();
    for (const auto& site : world_->sites()) {
      if (!late_.contains(site->machine())) site->Boot();
    }
    return absl::OkStatus();
  }

  // ---- time

  absl::Status GoOnUntil(const std::function<bool()>& there, const std::string& what) {
    const Time end = world_->events.now() + FromSeconds(kPatience_s);
    while (!there()) {
      if (world_->invariants->violated()) return absl::OkStatus();  // Play says so
      if (!world_->DoNext(end)) return NotMet(StrCat(what, " does not come"));
    }
    return absl::OkStatus();
  }

  absl::Status Until(const Words& words) {
    if (words.size() >= 3 && words[1] == "event") {
      const std::string event = Joined(words, 2);
      return GoOnUntil([&] { return CountEvents(event) > 0; }, event);
    }
    std::size_t end = words.size();
    std::string from;
    if (words.size() >= 4 && words[end - 2] == "from") {
      from = words.back();
      end -= 2;
    }
    const std::string message = Joined(Words(words.begin(), words.begin() + end), 1);
    std::size_t seen = trace_.lines().size();
    return GoOnUntil(
        [&] {
          for (; seen < trace_.lines().size(); ++seen) {
            const TraceLine& line = trace_.lines()[seen];
            if ((from.empty() || line.from == from) && line.text.starts_with(message)) return true;
          }
          return false;
        },
        message);
  }

  absl::Status Finish() {
    RETURN_IF_ERROR(GoOnUntil([&] { return world_->AllRunsEnded(); }, "the run's end"));
    const Time settled = world_->events.now() + std::chrono::seconds(100);
    while (world_->DoNext(settled)) continue;
    return absl::OkStatus();
  }

  // ---- what goes wrong

  absl::StatusOr<std::string> MachineNamed(const std::string& name) {
    if (name == kCoordinatorMachine) return name;
    for (const auto& site : world_->sites()) {
      if (site->machine() == name) return name;
    }
    return absl::InvalidArgumentError(StrCat("there is no machine ", name));
  }

  absl::Status Meddle(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "power" && words[1] == "all") {
      world_->coordinator->Crash(CrashKind::kPowerLoss, -1);
      for (const auto& site : world_->sites()) site->Crash(CrashKind::kPowerLoss, -1);
      return absl::OkStatus();
    }
    if (verb == "start" && words[1] == "all") {
      world_->coordinator->Boot();
      for (const auto& site : world_->sites()) site->Boot();
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string machine, MachineNamed(words[1]));
    if (verb == "fill") {
      world_->disk.SetQuota(machine, world_->disk.UsedBytes(machine));
    } else if (verb == "empty") {
      world_->disk.SetQuota(machine, std::nullopt);
    } else if (machine == kCoordinatorMachine) {
      return MeddleWithCoordinator(words);
    } else {
      return MeddleWithSite(words);
    }
    world_->trace.Note(world_->Now(), machine,
                       verb == "fill" ? "disk is full" : "disk has room again");
    return absl::OkStatus();
  }

  absl::Status MeddleWithCoordinator(const Words& words) {
    CoordinatorMachine& coordinator = *world_->coordinator;
    if (words[0] == "start") {
      coordinator.Boot();
    } else if (words[0] == "power") {
      coordinator.Crash(CrashKind::kPowerLoss, -1);
    } else if (words[0] == "kill" && words.size() == 2) {
      coordinator.Crash(CrashKind::kKill, -1);
    } else if (words[0] == "kill" && words.size() >= 4 && words[2] == "after") {
      const std::string event = Joined(words, 3);
      coordinator.kill_when = [this, event, had = CountEvents(event)] {
        return CountEvents(event) > had;
      };
      const absl::Status killed = GoOnUntil([&] { return !coordinator.alive(); }, event);
      coordinator.kill_when = nullptr;
      return killed;
    } else {
      return Meaningless();
    }
    return absl::OkStatus();
  }

  absl::Status MeddleWithSite(const Words& words) {
    const std::string& verb = words[0];
    SiteMachine& site = world_->site(SiteId(words[1]));
    if (verb == "cut" && words.size() > 3 && words[2] == "when") return CutWhen(site, words);
    if (verb == "cut") {
      world_->network->Cut(site);
    } else if (verb == "hold" || verb == "release") {
      world_->network->HoldDown(site.name(), verb == "hold");
    } else if (verb == "kill" || verb == "power") {
      site.Crash(verb == "kill" ? CrashKind::kKill : CrashKind::kPowerLoss, -1);
    } else if (verb == "start") {
      site.Boot();
    } else if (verb == "pause" || verb == "resume") {
      site.SetPaused(verb == "pause");
    } else if (verb == "revoke") {
      world_->Revoke(site.name());
    } else {
      return Meaningless();
    }
    return absl::OkStatus();
  }

  // Once, and goes on until it has happened.
  absl::Status CutWhen(SiteMachine& site, const Words& words) {
    const std::string what = Joined(words, 3);
    bool done = false;
    int asked = 0;
    const auto cut = [&](const SiteId& who, std::string_view doing) {
      if (done || who != site.name() || doing != what) return false;
      // Of an upload or a download the second piece, if there is one.
      if ((doing == "upload" || doing == "download") && asked++ == 0 && parameters_ > 65'536) {
        return false;
      }
      return done = true;
    };
    (what == "upload" || what == "download" ? world_->network->cut_when
                                            : world_->network->cut_message) = cut;
    const absl::Status happened = GoOnUntil([&] { return done; }, what);
    world_->network->cut_when = world_->network->cut_message = nullptr;
    return happened;
  }

  // ---- what must be

  static std::string TextOf(const wire::RunEvent& event) {
    return StrCat(wire::Name(event.kind), event.round > 0 ? StrCat(" ", event.round) : "",
                  event.attempt > 0 ? StrCat("/", event.attempt) : "",
                  event.site.empty() ? "" : StrCat(" ", event.site.value), " ", event.text);
  }
  std::size_t CountEvents(const std::string& words) {
    std::size_t count = 0;
    for (const auto& [run, known] : world_->invariants->runs()) {
      count += std::count_if(
          known.events.begin(), known.events.end(),
          [&](const wire::RunEvent& event) { return TextOf(event).starts_with(words); });
    }
    return count;
  }

  absl::Status Expect(const Words& words) {
    const Invariants& seen = *world_->invariants;
    if (seen.runs().empty()) return NotMet("there is no run");
    const auto& run = seen.runs().begin()->second;
    const std::string what = Joined(words, 1);
    if (words[1] == "counted" && words.size() >= 3) {
      std::set<std::string> counted;
      for (const auto& [key, sites] : seen.counted()) {
        if (key.round != std::stoul(words[2])) continue;
        for (const SiteId& site : sites) counted.insert(site.value);
      }
      const std::set<std::string> expected(words.begin() + 3, words.end());
      const Words is(counted.begin(), counted.end());
      return counted == expected ? absl::OkStatus() : NotMet(StrCat("counted are ", Joined(is, 0)));
    }
    if (words[1] == "trained" && words.size() == 4) {
      const auto count = std::count_if(
          trace_.lines().begin(), trace_.lines().end(),
          [&](const TraceLine& line) { return line.from == words[2] && line.text == "trains"; });
      return std::to_string(count) == words[3] ? absl::OkStatus()
                                               : NotMet(StrCat("it trained ", count, " times"));
    }
    if (words[1] == "waiting") {
      const bool said = run.waiting.find(Joined(words, 2)) != std::string::npos;
      return said ? absl::OkStatus() : NotMet(StrCat("it says \"", run.waiting, "\""));
    }
    if (words[1] == "event")
      return CountEvents(Joined(words, 2)) > 0 ? absl::OkStatus() : NotMet(what);
    if (what.starts_with("no event ")) {
      return CountEvents(Joined(words, 3)) == 0 ? absl::OkStatus() : NotMet(what);
    }
    const std::map<std::string, bool> facts = {{"published", run.published.has_value()},
                                               {"not published", !run.published},
                                               {"failed", run.failed},
                                               {"ended", run.ended}};
    const auto fact = facts.find(what);
    if (fact == facts.end()) return Meaningless();
    return fact->second ? absl::OkStatus() : NotMet(what);
  }

  Trace& trace_;
  std::size_t sites_ = 0, parameters_ = 0;
  std::set<std::string> late_;
  std::string plan_;
  std::unique_ptr<World> world_;
};

}  // namespace

absl::Status PlayScenario(std::string_view text, Trace& trace) { return Player(trace).Play(text); }

}  // namespace consilium::simulation
