#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/disk/simulated_vfs.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/network.h"
#include "tests/simulation/site_machine.h"

namespace consilium::simulation {
namespace {

constexpr double kFirstSubmission_s = 1;
constexpr double kSettling_s = 400;  // after the last run's end: everybody hears of it

wire::PlanNonce NonceOf(std::uint64_t seed, std::size_t index) {
  const Digest digest = crypto::Sha256(StrCat("nonce ", seed, " ", index));
  wire::PlanNonce nonce;
  std::copy_n(digest.bytes.begin(), nonce.size(), nonce.begin());
  return nonce;
}

std::size_t DrawSites(SeededRandom& random) {
  const double kind = random.Uniform();
  if (kind < 0.9) return 3 + random.Below(3);
  if (kind < 0.99) return 1 + random.Below(9);
  if (kind < 0.9995) return 10 + random.Below(15);
  return 25 + random.Below(76);
}

std::size_t DrawParameters(SeededRandom& random) {
  // Rarely so many that an upload is of several segments (65,536 values each).
  return random.Chance(0.02) ? 140'000 : 8 + random.Below(40);
}

}  // namespace

World::World(Options given, Trace& traced)
    : options(std::move(given)),
      trace(traced),
      random(options.seed, "world"),
      refusals(options.seed, "refusals"),
      randomness((FederationKeys::Get(), options.seed)),
      disk(options.seed, nullptr),
      use_disk(disk) {
  RegisterSimulatedVfs();
  SeededRandom drawing(options.seed, "drawing");
  weather = Weather::Drawn(drawing);
  if (options.weather) weather = *options.weather;
  const std::size_t count = options.sites > 0 ? options.sites : DrawSites(drawing);
  parameters = options.parameters > 0 ? options.parameters : DrawParameters(drawing);
  invariants = std::make_unique<Invariants>(*this);
  network = std::make_unique<Network>(*this);
  coordinator = std::make_unique<CoordinatorMachine>(*this);
  for (std::size_t i = 0; i < count; ++i) {
    const SiteId name = FederationKeys::SiteNamed(i);
    if (!options.plans && drawing.Chance(0.1)) weight_caps[name] = drawing.Uniform(10, 60);
    sites_.push_back(std::make_unique<SiteMachine>(*this, name));
  }
  if (options.plans) {
    plans_ = *options.plans;
  } else {
    DrawPlans();
    DrawDescriptions();
    DrawTables();
  }
}

World::~World() {
  sites_.clear();
  coordinator.reset();
}

void World::DrawPlans() {
  SeededRandom drawing(options.seed, "plans");
  const std::size_t runs = 1 + drawing.Below(3);
  for (std::size_t i = 0; i < runs; ++i) plans_.push_back(DrawPlan(drawing, static_cast<int>(i)));
}

// Of its own draws, so that the other plans of a seed stay what they are.
void World::DrawDescriptions() {
  SeededRandom drawing(options.seed, "descriptions");
  if (sites_.size() < 3 || !drawing.Chance(0.4)) return;
  for (std::size_t i = 0, count = 1 + drawing.Below(2); i < count; ++i) {
    std::string toml =
        StrCat("[plan]\nname = \"describe\"\n[describe]\nsmallest_count = ", 5 + drawing.Below(10),
               "\n[cohort]\nround_deadline_s = ", drawing.Uniform(60, 600),
               "\nabsence_grace_s = ", drawing.Uniform(2, 50), "\n");
    if (drawing.Chance(0.5)) toml += "[target]\nname = \"opacity\"\n";
    plans_.insert(plans_.begin() + drawing.Below(plans_.size() + 1), std::move(toml));
  }
}

// Runs of a table, half of them of survival; of their own draws likewise.
void World::DrawTables() {
  SeededRandom drawing(options.seed, "tables");
  if (sites_.size() < 3 || !drawing.Chance(0.3)) return;
  const bool survival = drawing.Chance(0.5);
  const double deadline = drawing.Uniform(60, 600);
  std::string toml = StrCat(
      "[plan]\nname = \"table\"\nseed = ", drawing.Below(1000), "\n[target]\n",
      survival ? "task = \"survival\"\ntime = \"days\"\nevent = \"died\"\n" : "name = \"died\"\n",
      "[data]\nsource = \"table\"\n[model]\narchitecture = \"logistic\"\n[cohort]\nminimum_sites "
      "= ",
      3 + drawing.Below((sites_.size() - 3) / 2 + 1), "\nround_deadline_s = ", deadline,
      "\nabsence_grace_s = ", drawing.Uniform(2, 0.9 * deadline),
      "\n[stop]\nrounds = ", 1 + drawing.Below(4), "\n[gate]\n",
      survival ? "minimum_concordance = " : "minimum_auroc = ", drawing.Uniform(0.3, 0.6));
  if (drawing.Chance(0.3)) StrAppend(&toml, "\nmaximum_site_drop = ", drawing.Uniform(0, 0.3));
  toml += "\n[table]\nname = \"patients\"\n";
  for (const char* name : {"age", "pressure"}) {
    StrAppend(&toml, "[[table.columns]]\nname = \"", name, "\"\nminimum = ", drawing.Below(50),
              "\nmaximum = ", 100 + drawing.Below(100), "\n");
  }
  plans_.insert(plans_.begin() + drawing.Below(plans_.size() + 1), std::move(toml));
}

std::string World::DrawPlan(SeededRandom& drawing, int index) {
  const std::size_t sites = sites_.size();
  const bool masked = sites >= 3 && drawing.Chance(0.7);
  const std::size_t fewest = masked ? 3 : 2;
  const std::size_t minimum =
      sites <= fewest ? fewest : fewest + drawing.Below((sites - fewest) / 2 + 1);
  const double deadline = drawing.Chance(0.3) ? drawing.Uniform(30, 60) : drawing.Uniform(60, 600);
  const std::size_t rounds = 3 + drawing.Below(10);
  const char* weights[] = {"examples", "patients", "equal"};
  std::string toml = StrCat(
      "[plan]\nname = \"p", drawing.Chance(0.5) ? 0 : index, "\"\nseed = ", drawing.Below(1000),
      "\n[target]\nname = \"opacity\"\n[data]\nmodalities = [\"DX\"]\n[cohort]\nminimum_sites = ",
      minimum, "\nround_deadline_s = ", deadline,
      "\nabsence_grace_s = ", drawing.Uniform(2, 0.9 * deadline), "\n[stop]\nrounds = ", rounds);
  if (drawing.Chance(0.2)) StrAppend(&toml, "\npatience = ", 1 + drawing.Below(rounds));
  if (drawing.Chance(0.1)) StrAppend(&toml, "\ntarget_auroc = 0.9");
  StrAppend(&toml, "\n[gate]\nminimum_auroc = ", drawing.Uniform(0.4, 0.8));
  if (drawing.Chance(0.3)) StrAppend(&toml, "\nmaximum_site_drop = ", drawing.Uniform(0, 0.3));
  StrAppend(&toml, "\n[aggregation]\nweight = \"", weights[drawing.Below(3)],
            "\"\nserver_learning_rate = ", drawing.Chance(0.7) ? 1 : drawing.Uniform(0.2, 1.5),
            "\nupdates = \"", masked ? "masked" : "sealed", "\"\n");
  if (masked && drawing.Chance(0.3)) {
    StrAppend(&toml, "[secure_aggregation]\nclip_norm = ", drawing.Uniform(0.1, 2), "\n");
  }
  return toml;
}

SiteMachine& World::site(const SiteId& name) {
  for (const auto& machine : sites_) {
    if (machine->name() == name) return *machine;
  }
  CONSILIUM_CHECK(false);
}

bool World::Strikes(double chance, Fault fault) {
  if (chance <= 0 || !Stormy() || !random.Chance(chance)) return false;
  faults.Count(fault);
  return true;
}

Duration World::Delay() {
  const double longest = Stormy() ? weather.longest_delay_s : 0.05;
  return FromSeconds(random.Uniform(0.0005, longest));
}

// ---- the course

void World::Begin() {
  coordinator->Install();
  for (const auto& machine : sites_) machine->Install();
  coordinator->Boot();
  SeededRandom drawing(options.seed, "arrivals");
  for (const auto& machine : sites_) {
    if (!options.sites_start) break;
    double at = drawing.Uniform(0, 3);
    if (Strikes(weather.late_site * 0.3, Fault::kLateSite)) {
      at = drawing.Uniform(0, weather.clear_after_s);
    }
    events.After(FromSeconds(at), [site = machine.get()] { site->Boot(); });
  }
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    events.After(FromSeconds(kFirstSubmission_s + (i == 0 ? 0 : drawing.Uniform(0, 60))),
                 [this, i] { Submit(plans_[i]); });
  }
  PlanWeather();
}

void World::Submit(const std::string& toml) {
  coordinator::PlanSubmission submission{.toml = toml,
                                         .nonce = NonceOf(options.seed, submissions_.size())};
  const Bytes text =
      wire::PlanText(kFederation, kResearcher, submission.nonce, crypto::Sha256(submission.toml));
  submission.signature = crypto::Sign(FederationKeys::Get().researcher(), text).value();
  submissions_.push_back(std::move(submission));
  TrySubmit(submissions_.size() - 1);
}

// A researcher who has no answer asks again, with the same nonce.
void World::TrySubmit(std::size_t index) {
  const coordinator::PlanSubmission& submission = submissions_[index];
  const auto later = [&] {
    events.After(std::chrono::seconds(2), [this, index] { TrySubmit(index); });
  };
  if (!coordinator->alive()) return later();
  auto run = coordinator->conductor().Submit(submission, kResearcher);
  if (!coordinator->Alive()) return later();
  if (absl::IsInvalidArgument(run.status())) {
    return invariants->Violate("alive", StrCat("a plan is refused: ", run.status().ToString()));
  }
  // It was taken, and the answer lost: which run it is, the log says.
  if (absl::IsAlreadyExists(run.status())) run = RunSubmittedAs(submission.nonce);
  if (!run.ok()) return later();
  trace.Arrow(Now(), kResearcher, kCoordinatorMachine, "submits", " ", run->value);
  invariants->OnSubmitted(*run, submission.toml);
  coordinator->Wake();
}

absl::StatusOr<RunId> World::RunSubmittedAs(const wire::PlanNonce& nonce) {
  return coordinator->ledger().With([&](coordinator::Ledger& ledger) -> absl::StatusOr<RunId> {
    ASSIGN_OR_RETURN(const auto entries, ledger.LogEntries(1, 100'000));
    for (const wire::LogEntry& entry : entries) {
      if (entry.action != "submit") continue;
      ASSIGN_OR_RETURN(const auto plan, ledger.PlanOf(RunId(entry.subject)));
      if (plan.nonce == nonce) return RunId(entry.subject);
    }
    return absl::NotFoundError("the submission is not in the log");
  });
}

bool World::AllRunsEnded() {
  if (invariants->runs().size() < plans_.size()) return false;
  return std::all_of(invariants->runs().begin(), invariants->runs().end(),
                     [](const auto& run) { return run.second.ended; });
}

void World::StopRuns() {
  if (!coordinator->alive()) return;
  for (const auto& [run, known] : invariants->runs()) {
    if (known.ended) continue;
    trace.Arrow(Now(), kResearcher, kCoordinatorMachine, "stops", " ", run.value);
    coordinator->conductor().StopRun(run, kResearcher).IgnoreError();
    if (!coordinator->Alive()) return;
    coordinator->Wake();
  }
}

void World::Revoke(const SiteId& name) {
  if (!coordinator->alive()) return;
  SiteMachine& machine = site(name);
  std::vector<SiteId> without = revoked_;
  without.push_back(name);
  const identity::SignedRoster roster =
      FederationKeys::Get().RosterOf(sites_.size(), roster_version_ + 1, weight_caps, without);
  const absl::Status done = coordinator->ledger().With([&](coordinator::Ledger& ledger) {
    RETURN_IF_ERROR(ledger.RevokeMember(name.value, coordinator->clock().Now()));
    return ledger.SetRoster(roster, coordinator->clock().Now());
  });
  if (!coordinator->Alive() || !done.ok()) return;
  trace.Note(Now(), "operator", "revokes ", name.value);
  ++roster_version_;
  revoked_ = without;
  machine.revoked = true;
  coordinator->Wake();
}

bool World::DoNext(Time until) { return !invariants->violated() && events.DoNext(until); }

double World::LongestRun() const {
  double longest = 0;
  for (const std::string& toml : plans_) {
    const plan::Plan plan = plan::ParsePlan(toml).value();
    // Each round three attempts, and three sessions of its evaluation.
    longest += (plan.stop.rounds + 2.0) * 8 * (plan.cohort.round_deadline_s + 60);
  }
  return longest;
}

// Nothing happens any more in fair weather, and the run has said that it waits.
bool World::OnlyWaits() const {
  if (Stormy()) return false;
  for (const auto& [run, known] : invariants->runs()) {
    if (known.ended || known.waiting.empty()) continue;  // or its turn has not come
    const double quiet = Seconds(events.now() - known.last_event);
    return quiet > 3 * known.plan.cohort.round_deadline_s + 600;
  }
  return false;
}

Outcome World::Run() {
  Begin();
  const Time end = kBeginning + FromSeconds(weather.clear_after_s + LongestRun());
  while (DoNext(end) && !AllRunsEnded() && !OnlyWaits()) continue;
  if (!invariants->violated() && !AllRunsEnded()) {
    // Fewer sites than a run needs: it says so, and a stop ends it. The others wait for their turn.
    const auto waits = [](const auto& run) {
      return !run.second.ended && !run.second.waiting.empty();
    };
    if (std::ranges::none_of(invariants->runs(), waits)) {
      invariants->Violate("alive", "no run ends in fair weather, and none says what it waits for");
    }
    if (invariants->runs().size() < plans_.size()) {
      invariants->Violate("alive", "a plan could not be submitted in fair weather");
    }
    StopRuns();
    const Time stopped = events.now() + FromSeconds(LongestRun());
    while (DoNext(stopped) && !AllRunsEnded()) continue;
    if (!invariants->violated() && !AllRunsEnded()) {
      invariants->Violate("alive", "a run that was stopped in fair weather does not end");
    }
  }
  const Time settled = std::max(events.now(), kBeginning + FromSeconds(weather.clear_after_s)) +
                       FromSeconds(kSettling_s);
  while (DoNext(settled)) continue;
  return Finish();
}

Outcome World::Finish() {
  if (!invariants->violated()) {
    if (coordinator->alive()) {
      invariants->AtEnd(*coordinator);
    } else {
      invariants->Violate("alive", "the coordinator does not come back in fair weather");
    }
  }
  Outcome outcome{.seed = options.seed,
                  .trace_hash = trace.hash(),
                  .events = events.done(),
                  .sites = sites_.size(),
                  .simulated_seconds = Now(),
                  .faults = faults,
                  .violations = invariants->violations()};
  for (const auto& [run, known] : invariants->runs()) {
    ++outcome.runs;
    outcome.rounds += known.rounds;
    outcome.attempts += known.attempts;
    outcome.published += known.published ? 1 : 0;
    outcome.waiting += known.waiting.empty() ? 0 : 1;
  }
  return outcome;
}

}  // namespace consilium::simulation
