#pragma once

// What happens in a run, as a pure state machine: (state, event, now) -> (state, actions). No I/O, no threads, no clock,
// no randomness: the conductor feeds it and carries its actions out, the simulation does the same in one process.
//
//   inviting -> (initial model) -> training <-> evaluating -> final evaluation -> gate -> ended
//
// Rules: a round is counted only with at least cohort.minimum_sites contributions, each from a site that was sent this very
// attempt; nobody is counted twice; one deadline a round; a site that lost its connection is waited for absence_grace_s (its
// upload goes on where it stopped), then lost for the attempt, as long as enough others remain; else until the deadline. An
// attempt below the minimum is repeated (three attempts a round) and then the run ends as failed. A site that arrives late
// is invited and joins the next round. When fewer than the minimum are connected the run waits (kWaiting says so) and does not fail.

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

struct SiteConnected { SiteId site; };
struct SiteDisconnected { SiteId site; };
struct InviteAnswered { SiteId site; wire::InviteAnswer answer; };
struct ContributionStarted { SiteId site; AttemptKey key; double weight = 0; };   // first segment accepted
struct ContributionComplete {                                                   // all of it added
  SiteId site;
  AttemptKey key;
  double weight = 0, loss = 0, train_seconds = 0, upload_seconds = 0;
  std::uint64_t bytes = 0;
};
struct ContributionRefused { SiteId site; AttemptKey key; std::string reason; };  // NaN, wrong size, broken seal
struct InitialModelReady { AttemptKey key; ModelId model; std::uint64_t parameters = 0; };
struct SiteTaskFailed { SiteId site; AttemptKey key; std::string reason; };         // of an evaluation: attempt 0
struct AggregateReady { AttemptKey key; ModelId candidate; double seconds = 0; };
struct AggregateFailed { AttemptKey key; std::string reason; };                   // disk full: the run pauses, see kWaiting
struct EvaluationArrived { SiteId site; wire::EvaluationReport report; };
struct StopRequested { std::string by; };
struct TimeCame {};                                                              // a WakeAt is due

using Event = std::variant<SiteConnected, SiteDisconnected, InviteAnswered, ContributionStarted, ContributionComplete,
                           ContributionRefused, InitialModelReady, SiteTaskFailed, AggregateReady, AggregateFailed,
                           EvaluationArrived, StopRequested, TimeCame>;

// ---- actions, to be carried out in their order

// To connected sites only. An Invite's plan_toml is left empty: the conductor, which has the text, puts it in. The same
// message may come again after a reconnection: a site that has it already goes on.
struct Send { SiteId site; wire::ToSite message; };
// From now on uploads for `key` are taken, from these sites, each once. Weights are scaled by weight_unit.
struct OpenAttempt { AttemptKey key; ModelId base; std::set<SiteId> sites; double weight_unit = 1; bool initial_model = false; };
struct DropContribution { SiteId site; AttemptKey key; };        // take what it has added out again; refuse the rest
struct Aggregate { AttemptKey key; std::set<SiteId> counted; };  // close the attempt and make the candidate
struct AbandonAttempt { AttemptKey key; };
struct Record { wire::RunEvent event; };                         // into the ledger and to those who watch; sequence is set there
struct StoreEvaluation { SiteId site; wire::EvaluationReport report; };   // into the ledger (Ledger::Commit takes it from here)
struct Publish { ModelId model; std::uint32_t round = 0; };      // stage published, signed record
struct WakeAt { Time time{}; };                                  // send TimeCame then; replaces an earlier one
struct EndRun { bool failed = false; std::string outcome; };

using Action = std::variant<Send, OpenAttempt, DropContribution, Aggregate, AbandonAttempt, Record, StoreEvaluation, Publish,
                            WakeAt, EndRun>;

// ---- state: what must survive a restart is in the ledger's tables and comes back through Resume

enum class Phase { kInviting, kInitialModel, kTraining, kAggregating, kEvaluating, kFinalEvaluation, kEnded };

enum class InviteState { kNotInvited, kInvited, kAccepted, kDeclined };

struct Participant {
  InviteState invite = InviteState::kNotInvited;
  std::string decline_reason;
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
};

struct RunState {
  RunId run;
  Phase phase = Phase::kInviting;
  Time started{};                          // of the run; zero before its first Start
  std::uint32_t round = 0, attempt = 0;    // the current ones
  std::uint32_t failed_attempts = 0;       // of this round, below the minimum (not those that a restart cut off)
  std::uint64_t parameters = 0;            // of the model; 0: not known yet
  std::optional<ModelId> base;             // what the current round trains from
  std::optional<ModelId> candidate;        // what is being evaluated
  std::map<SiteId, Participant> participants;
  std::map<SiteId, metrics::BinarySums> evaluations;   // of `candidate`, in this phase
  std::optional<ModelId> best;
  std::uint32_t best_round = 0;
  double best_auroc = 0;                   // pooled, validation
  std::string stop_reason;                 // set once the run is on its way to the final evaluation
};

// The release gate's inputs from the last published model of the same plan name, if there is one: AUROC by site (test).
using PublishedAurocs = std::map<SiteId, double>;

class RoundEngine {
 public:
  // A new run, or one that goes on after a restart with the state that the ledger holds.
  RoundEngine(plan::Plan plan, RunState state, PublishedAurocs last_published);

  // Call once before any event: the actions with which the run begins, or goes on.
  std::vector<Action> Start(const std::set<SiteId>& enrolled, const std::set<SiteId>& connected, Time now);
  std::vector<Action> On(const Event& event, Time now);

  const RunState& state() const { return state_; }
  bool ended() const { return state_.phase == Phase::kEnded; }

 private:
  plan::Plan plan_;
  RunState state_;
  PublishedAurocs last_published_;
};

}  // namespace consilium::coordinator
