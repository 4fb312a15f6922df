#pragma once

// What happens in a run, as a pure state machine: (state, event, now) -> (state, actions). No I/O,
// no threads, no clock, no randomness: the conductor feeds it and carries its actions out, the
// simulation does the same in one process.
//
//   inviting -> (initial model) -> training <-> evaluating -> final evaluation -> gate -> ended
//
// Rules:
// - A round is counted only with at least cohort.minimum_sites contributions, each from a site that
// was
//   sent this very attempt; nobody is counted twice, and only with the weight it enlisted with.
// - One deadline an attempt (cohort.round_deadline_s), and as much again for the evaluation. What
//   comes later is not taken.
// - A site that lost its connection is waited for absence_grace_s (its upload goes on where it
//   stopped), then lost for the attempt, as long as enough others are present; else until the
//   deadline.
// - An attempt below the minimum is repeated (three attempts a round), then the run ends as failed.
// A
//   restart of the coordinator repeats the attempt too, and is not counted as one of the three.
// - A site that arrives late is invited and joins the next round; an evaluation it may join at
// once.
// - When fewer than the minimum are connected the run waits (kWaiting says so) and does not fail.
// - The next round trains from the candidate just aggregated, better or not. A candidate that fewer
// than
//   the minimum could evaluate, or whose pooled AUROC cannot be computed, is never the best.
// - A stop (a condition of the plan, or a request) cuts training short, lets an evaluation finish,
// then
//   the best candidate is evaluated on the test sets and goes through the gate.
// - Events that are repeated, late, foreign or of unknown sites change nothing.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/metrics/binary_metrics.h"
#include "common/plan/plan.h"
#include "common/wire/protocol.h"

namespace consilium::coordinator {

// ---- events

struct SiteConnected {
  SiteId site;
};
struct SiteDisconnected {
  SiteId site;
};
struct InviteAnswered {
  SiteId site;
  wire::InviteAnswer answer;
};
struct ContributionStarted {
  SiteId site;
  AttemptKey key;
  double weight = 0;
};                             // first segment accepted
struct ContributionComplete {  // all of it added
  SiteId site;
  AttemptKey key;
  double weight = 0, loss = 0, train_seconds = 0, upload_seconds = 0;
  std::uint64_t bytes = 0;
};
struct ContributionRefused {
  SiteId site;
  AttemptKey key;
  std::string reason;
};  // NaN, wrong size, broken seal
struct InitialModelReady {
  AttemptKey key;
  ModelId model;
  std::uint64_t parameters = 0;
};
struct SiteTaskFailed {
  SiteId site;
  AttemptKey key;
  std::string reason;
};  // of an evaluation: attempt 0
struct AggregateReady {
  AttemptKey key;
  ModelId candidate;
  double seconds = 0;
};
struct AggregateFailed {
  AttemptKey key;
  std::string reason;
};  // disk full: the run pauses, see kWaiting
struct EvaluationArrived {
  SiteId site;
  wire::EvaluationReport report;
};
struct StopRequested {
  std::string by;
};
struct TimeCame {};  // a WakeAt is due

using Event =
    std::variant<SiteConnected, SiteDisconnected, InviteAnswered, ContributionStarted,
                 ContributionComplete, ContributionRefused, InitialModelReady, SiteTaskFailed,
                 AggregateReady, AggregateFailed, EvaluationArrived, StopRequested, TimeCame>;

// ---- actions, to be carried out in their order

// To connected sites only. An Invite's plan_toml is left empty: the conductor, which has the text,
// puts it in. The same message may come again after a reconnection: a site that has it already goes
// on.
struct Send {
  SiteId site;
  wire::ToSite message;
};
// From now on uploads for `key` are taken, from these sites, each once. Weights are scaled by
// weight_unit.
struct OpenAttempt {
  AttemptKey key;
  ModelId base;
  std::set<SiteId> sites;
  double weight_unit = 1;
  bool initial_model = false;
};
struct DropContribution {
  SiteId site;
  AttemptKey key;
};  // take what it has added out again; refuse the rest
struct Aggregate {
  AttemptKey key;
  std::set<SiteId> counted;
};  // close the attempt and make the candidate
struct AbandonAttempt {
  AttemptKey key;
};
struct Record {
  wire::RunEvent event;
};  // into the ledger and to those who watch; sequence is set there
struct StoreEvaluation {
  SiteId site;
  wire::EvaluationReport report;
};  // into the ledger (Ledger::Commit takes it from here)
struct Publish {
  ModelId model;
  std::uint32_t round = 0;
};  // stage published, signed record
struct WakeAt {
  Time time{};
};  // send TimeCame then; replaces an earlier one
struct EndRun {
  bool failed = false;
  std::string outcome;
};

using Action = std::variant<Send, OpenAttempt, DropContribution, Aggregate, AbandonAttempt, Record,
                            StoreEvaluation, Publish, WakeAt, EndRun>;

// ---- state: what must survive a restart is in the ledger's tables and comes back through Resume

enum class Phase {
  kInviting,
  kInitialModel,
  kTraining,
  kAggregating,
  kEvaluating,
  kFinalEvaluation,
  kEnded
};

enum class InviteState { kNotInvited, kInvited, kAccepted, kDeclined };

struct Participant {
  InviteState invite = InviteState::kNotInvited;
  std::string decline_reason;
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
};

struct RunState {
  RunId run;
  Phase phase = Phase::kInviting;
  Time started{};                        // of the run; zero before its first Start
  std::uint32_t round = 0, attempt = 0;  // the current ones
  std::uint32_t failed_attempts =
      0;  // of this round, below the minimum (not those that a restart cut off)
  std::uint64_t parameters = 0;      // of the model; 0: not known yet
  std::optional<ModelId> base;       // what the current round trains from
  std::optional<ModelId> candidate;  // what is being evaluated
  std::map<SiteId, Participant> participants;
  std::map<SiteId, metrics::BinarySums> evaluations;  // of `candidate`, in this phase
  std::optional<ModelId> best;
  std::uint32_t best_round = 0;
  double best_auroc = 0;    // pooled, validation
  std::string stop_reason;  // set once the run is on its way to the final evaluation
};

// The release gate's inputs from the last published model of the same plan name, if there is one:
// AUROC by site (test).
using PublishedAurocs = std::map<SiteId, double>;

class RoundEngine {
 public:
  // A new run, or one that goes on after a restart with the state that the ledger holds.
  RoundEngine(plan::Plan plan, RunState state, PublishedAurocs last_published);

  // Call once before any event: the actions with which the run begins, or goes on.
  std::vector<Action> Start(const std::set<SiteId>& enrolled, const std::set<SiteId>& connected,
                            Time now);
  // Carry the actions out only when the ledger has committed them with state(). After the end only
  // a site that connects is still answered (RunEnded).
  std::vector<Action> On(const Event& event, Time now);

  const RunState& state() const { return state_; }
  bool ended() const { return state_.phase == Phase::kEnded; }

 private:
  enum class TaskState { kOpen, kDone, kLost };
  struct Task {
    TaskState state = TaskState::kOpen;
    bool sent = false;   // the site has been asked
    double weight = 0;   // that it enlisted with
    std::string reason;  // why it was lost
  };
  // What the sites have been asked for: a first model, an attempt's updates, or evaluations
  // (attempt 0).
  struct Work {
    AttemptKey key;
    Time opened{}, deadline{};
    std::size_t needed = 1;
    std::map<SiteId, Task> tasks;
  };

  void Handle(const SiteConnected& event);
  void Handle(const SiteDisconnected& event);
  void Handle(const InviteAnswered& event);
  void Handle(const ContributionStarted& event);
  void Handle(const ContributionComplete& event);
  void Handle(const ContributionRefused& event);
  void Handle(const InitialModelReady& event);
  void Handle(const SiteTaskFailed& event);
  void Handle(const AggregateReady& event);
  void Handle(const AggregateFailed& event);
  void Handle(const EvaluationArrived& event);
  void Handle(const StopRequested& event);
  void Handle(const TimeCame& event);
  std::vector<Action> Finish();  // what every step ends with

  // Each returns whether it moved the run on.
  bool Settle();
  bool EndIfTooManyDeclined();
  bool SettleInviting();
  bool SettleInitialModel();
  bool SettleTraining();
  bool SettleEvaluation();
  void CheckTimes();
  void OnDeadline();

  void InviteSite(const SiteId& site);
  void AskNextForInitialModel();
  void OpenRound(std::uint32_t round);
  void OpenAttempt();
  void CloseAttempt();
  void FailAttempt(const std::string& reason);
  void AbandonAttempt(const std::string& reason);
  void OpenEvaluation(std::uint32_t round, std::size_t needed);
  void JoinEvaluation(const SiteId& site);
  void FinishEvaluation();
  void JudgeCandidate();
  std::optional<double> PooledValues(std::string* text,
                                     std::map<std::string, double>* values) const;
  void JudgeBest();
  std::string StopCondition(double auroc) const;  // empty: go on
  void RequestStop(const std::string& reason);
  void BeginFinalEvaluation();
  void End(bool failed, const std::string& outcome,
           std::optional<ModelId> published = std::nullopt);

  void BeginWork(AttemptKey key, std::size_t needed);
  Task* OpenTask(const SiteId& site,
                 const AttemptKey& key);  // null: none that was sent and is open
  bool TakesWeight(const SiteId& site, Task& task, double weight);
  void SendTask(const SiteId& site, Task& task);
  void Lose(const SiteId& site, Task& task, const std::string& reason);
  bool LoseAbsent();
  void CloseFor(const SiteId& site, bool counted, const std::string& reason);
  void SendTo(const SiteId& site, wire::ToSite message);
  void Note(wire::RunEventKind kind, std::string text = {},
            std::map<std::string, double> values = {}, const SiteId& site = {});

  bool InCohort(const SiteId& site) const;
  bool Evaluating() const;
  bool Connected(const SiteId& site) const { return connected_.contains(site); }
  std::optional<Time> AbsentUntil(
      const SiteId& site) const;  // the end of its grace; none: connected
  std::size_t Count(TaskState state) const;
  std::size_t Present() const;  // tasks done, or open at a connected site
  std::vector<SiteId> Accepted() const;
  std::size_t AcceptedAndConnected() const;
  double Weight(const Participant& participant) const;
  std::optional<Time> WallTimeEnd() const;
  std::string WaitingFor() const;  // empty: nothing out of the ordinary
  std::string WaitingForSites(std::string_view what) const;
  std::optional<Time> NextWake() const;

  plan::Plan plan_;
  RunState state_;
  PublishedAurocs last_published_;
  Time now_{};
  std::vector<Action> actions_;  // of the step that is being made
  std::set<SiteId> connected_;
  std::map<SiteId, Time> absent_since_;  // accepted sites
  std::optional<Work> work_;
  std::set<SiteId> tried_;                          // failed to make the initial model
  std::map<SiteId, wire::AttemptClosed> closings_;  // the last of each site, for when it reconnects
  std::optional<Time> enough_since_;                // kInviting: the minimum had accepted
  std::optional<Time> aggregate_again_;             // after a failure of ours (a full disk)
  std::string aggregate_failure_;
  std::string waiting_;  // what kWaiting said last
  std::optional<Time> wake_;
  std::optional<wire::RunEnded> ended_message_;
  bool stop_was_requested_ = false;
};

}  // namespace consilium::coordinator
