#pragma once

// Plays sites and conductor to a RoundEngine, one event at a time, and keeps what it said.

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/round_engine.h"
#include "tests/coordinator/work_journal.h"

namespace consilium::coordinator {

inline const SiteId kEast{"east"}, kNorth{"north"}, kSouth{"south"};

inline ModelId ModelNumber(std::uint8_t number) {
  ModelId id;
  id.bytes[0] = number;
  id.bytes[31] = 0xab;
  return id;
}

// `each` positives and `each` negatives whose AUROC is `auroc` to 1/each.
inline metrics::BinarySums SumsWithAuroc(double auroc, int each = 100) {
  metrics::BinarySums sums;
  const int below = static_cast<int>(std::lround(auroc * each));
  for (int i = 0; i < each; ++i) {
    sums.Add(0.8, true);
    sums.Add(i < below ? 0.2 : 0.95, false);
  }
  sums.patients = static_cast<std::uint64_t>(2 * each);
  return sums;
}

inline plan::Plan ShortPlan() {
  plan::Plan plan;
  plan.name = "chest";
  plan.seed = 7;
  plan.aggregation.updates = plan::Updates::kSealed;
  plan.cohort.minimum_sites = 2;
  plan.cohort.round_deadline_s = 600;
  plan.cohort.absence_grace_s = 60;
  plan.gate.minimum = 0.7;
  plan.gate.minimum_sites = 2;
  plan.stop.rounds = 2;
  return plan;
}

// Of sites whose keys do not matter.
inline RosterView RosterOf(const std::set<SiteId>& sites) {
  RosterView roster;
  roster.federation = "thorax";
  for (const SiteId& site : sites) roster.sites[site] = {};
  return roster;
}

class Scene {
 public:
  explicit Scene(plan::Plan plan = ShortPlan(), LastPublished published = {})
      : plan_(std::move(plan)), published_(std::move(published)) {
    RunState state;
    state.run = RunId("chest-0001");
    engine_.emplace(plan_, state, published_);
  }

  void Start(const std::set<SiteId>& connected = {kEast, kNorth, kSouth},
             const std::set<SiteId>& enrolled = {kEast, kNorth, kSouth}) {
    Start(RosterOf(enrolled), connected);
  }
  void Start(RosterView roster, const std::set<SiteId>& connected) {
    Take(engine_->Start(std::move(roster), connected, now_));
  }
  // The coordinator is killed and comes back with what the ledger holds.
  void Restart(const std::set<SiteId>& connected = {}) {
    RunState state = engine_->state();
    state.work = journal_.records();
    engine_.emplace(plan_, std::move(state), published_);
    wake_.reset();
    Start(connected);
  }
  void Do(const Event& event) { Take(engine_->On(event, now_)); }
  // Without the wake-ups on the way.
  void DoLater(double seconds, const Event& event) {
    now_ += FromSeconds(seconds);
    Do(event);
  }
  void Sleep(double seconds) { now_ += FromSeconds(seconds); }
  void Wait(double seconds) {  // delivering the wake-ups on the way
    const Time until = now_ + FromSeconds(seconds);
    while (wake_ && *wake_ <= until) {
      now_ = *wake_;
      wake_.reset();
      Do(TimeCame{});
    }
    now_ = until;
  }

  void Accept(const SiteId& site, std::uint64_t examples = 100) {
    Do(InviteAnswered{site, {state().run, true, {}, examples / 2, examples, 0}});
  }
  void Decline(const SiteId& site, const std::string& reason) {
    Do(InviteAnswered{site, {state().run, false, reason}});
  }
  // Everybody accepts and the first model is made.
  void BeginTraining(const std::set<SiteId>& sites = {kEast, kNorth, kSouth}) {
    Start(sites);
    for (const SiteId& site : sites) Accept(site);
    Do(InitialModelReady{Key(), ModelNumber(0), 1000, {}});
  }
  AttemptKey Key() const { return {state().run, state().round, state().attempt}; }
  void Complete(const SiteId& site, double weight = 100) {
    Do(ContributionStarted{site, Key(), weight});
    Do(ContributionComplete{site, Key(), weight, 0.5, 3, 1, 4000, {}, {}});
  }
  void AggregateIsReady(std::uint8_t model) { Do(AggregateReady{Key(), ModelNumber(model), 0.1}); }
  void Evaluate(const SiteId& site, double auroc, int each = 100) {
    wire::EvaluationReport report;
    report.run = state().run;
    const bool test = state().phase == Phase::kFinalEvaluation;
    report.round = test ? state().best_round : state().round;
    report.model = *state().candidate;
    report.split = test ? wire::EvaluationSplit::kTest : wire::EvaluationSplit::kValidation;
    report.sums = SumsWithAuroc(auroc, each);
    report.seconds = 0.2;
    Do(EvaluationArrived{site, report});
  }
  // One whole round of the three sites.
  void Round(std::uint8_t model, double auroc) {
    for (const SiteId& site : {kEast, kNorth, kSouth}) Complete(site);
    AggregateIsReady(model);
    for (const SiteId& site : {kEast, kNorth, kSouth}) Evaluate(site, auroc);
  }

  const RunState& state() const { return engine_->state(); }
  const RoundEngine& engine() const { return *engine_; }
  Time now() const { return now_; }
  std::optional<Time> wake() const { return wake_; }
  // Of the last step.
  template <class T>
  std::vector<T> Last() const {
    return Of<T>(last_);
  }
  // Of the whole run.
  template <class T>
  std::vector<T> All() const {
    return Of<T>(all_);
  }
  template <class T>
  std::vector<T> LastSentTo(const SiteId& site) const {
    std::vector<T> found;
    for (const Send& send : Last<Send>()) {
      if (send.site != site) continue;
      if (const T* message = std::get_if<T>(&send.message)) found.push_back(*message);
    }
    return found;
  }
  std::vector<wire::RunEvent> Events(wire::RunEventKind kind) const {
    std::vector<wire::RunEvent> found;
    for (const Record& record : All<Record>()) {
      if (record.event.kind == kind) found.push_back(record.event);
    }
    return found;
  }
  std::string LastText(wire::RunEventKind kind) const {
    const auto events = Events(kind);
    return events.empty() ? "" : events.back().text;
  }
  std::string Outcome() const {
    const auto ends = All<EndRun>();
    return ends.empty() ? "" : ends.back().outcome;
  }

 private:
  template <class T>
  static std::vector<T> Of(const std::vector<Action>& actions) {
    std::vector<T> found;
    for (const Action& action : actions) {
      if (const T* match = std::get_if<T>(&action)) found.push_back(*match);
    }
    return found;
  }
  void Take(std::vector<Action> actions) {
    last_ = std::move(actions);
    journal_.Keep(last_);
    all_.insert(all_.end(), last_.begin(), last_.end());
    for (const WakeAt& wake : Last<WakeAt>()) wake_ = wake.time;
  }

  plan::Plan plan_;
  LastPublished published_;
  std::optional<RoundEngine> engine_;
  Time now_{std::chrono::seconds(1'800'000'000)};
  std::vector<Action> last_, all_;
  std::optional<Time> wake_;
  WorkJournal journal_;
};

}  // namespace consilium::coordinator
