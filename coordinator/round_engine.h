#pragma once

// What happens in a run, as a pure state machine: (state, event, now) -> (state, actions). No I/O,
// no threads, no clock, no randomness: the conductor feeds it and carries its actions out, the
// simulation does the same in one process.
//
//   inviting -> (initial model) -> training <-> evaluating -> final evaluation -> gate -> ended
//   inviting -> (initial model) -> preparing -> training ..., of a plan with a [table]
//   inviting -> describing -> ended, of a plan with [describe]
//
// Rules:
// - A round is counted only with at least cohort.minimum_sites contributions, each from a site that
//   was sent this very attempt; nobody is counted twice, and only with the weight it enlisted with.
// - One deadline an attempt (cohort.round_deadline_s), and as much again for the evaluation. What
//   comes later is not taken.
// - One rule of liveness, and no timeouts for steps: a site that lost its connection is waited for
//   absence_grace_s (its upload goes on where it stopped), one that is connected and owes something
//   (a model, an update, results, the answer to a step) for silence_s since its last sign of life
//   (an answer, progress, its upload moving on, connecting) or since it was asked. Then it is lost,
//   as long as enough others are present; else it is waited for until the deadline.
// - An attempt below the minimum is repeated (three attempts a round), then the run ends as failed.
// - A restart of the coordinator goes on inside the attempt or evaluation: its sites, session, what
//   they answered and what they uploaded are in the ledger (KeepWork) and in the spool. The time
//   that the coordinator was away is not the sites' fault: they get absence_grace_s + silence_s at
//   least. Only where the records do not fit, or the spool has lost what it should hold
//   (ContributionsMissing), the attempt is repeated; that is not one of the three.
// - A site whose answer, update or shares were garbage is left out of the next attempts at the same
//   round (and of the rounds that begin from the same base because the sum was being opened), if
//   the others that accepted are enough; the same of the sessions of an evaluation.
// - A site that arrives late is invited and joins the next round; a sealed evaluation it may join
//   at once.
// - While the run does not move by itself, kWaiting says for what, on whom and until when.
// - When fewer than the minimum are connected the run waits (kWaiting says so) and does not fail.
// - The next round trains from the candidate just aggregated, better or not. A candidate that fewer
//   than the minimum could evaluate, or whose pooled AUROC cannot be computed, is never the best.
// - A stop (a condition of the plan, or a request) cuts training short, lets an evaluation finish,
//   then the best candidate is evaluated on the test sets and goes through the gate.
// - With masked updates (the default) an attempt, and each evaluation, is a session of secure
//   aggregation (common/secagg): advertise, share, upload, agree, unmask. At least
//   max(threshold, cohort.minimum_sites) sites must be connected for it to begin and be left when
//   the uploads are closed, else the attempt has failed. Every attempt has fresh keys. The
//   coordinator sees neither one site's update nor one site's evaluation.
//   - A step is closed when every site that is still in has answered; who is away or silent is lost
//     by the rule above.
//   - agree is closed when enough have signed and the others that are connected had 5 s more, for
//     only who signed may unmask. That is no timeout but a courtesy. unmask is closed as soon as
//     enough answered; when some of their shares are wrong, more answers are waited for. In both
//     losing a site helps nobody, so each is waited for until the deadline, or for silence_s when
//     the step began later than that before it.
//   - Once shares have been asked for in "unmask" a site may never open the same updates with
//     another set of sites: when that attempt fails, the next ROUND begins from the same base. Such
//     a spent round counts as one of the three attempts, and as one of stop.rounds unless it is the
//     last.
//   - The session of an evaluation that fails before that is repeated twice at most, until the
//     evaluation's deadline; after that the candidate cannot be the best.
// - The preparation of a plan with a table is one such evaluation, too, of nothing but the sites'
//   training rows. Of what it adds up to only the scales are kept, in the model; a preparation that
//   fails ends the run.
// - A description (plan.describe) is one such evaluation, of nothing but the sites' own images. What
//   the sum shows is suppressed here (metrics/shown_description.h), before anything is kept of it.
// - Weights are capped as the roster says.
// - Events that are repeated, late, foreign or of unknown sites change nothing.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/metrics/evaluation_sums.h"
#include "common/metrics/preparation.h"
#include "common/metrics/shown_description.h"
#include "common/metrics/task_sums.h"
#include "common/plan/plan.h"
#include "common/secagg/coordinator_session.h"
#include "common/secagg/masking.h"
#include "common/wire/protocol.h"
#include "coordinator/round_events.h"
#include "coordinator/run_state.h"
#include "coordinator/unmasking.h"

namespace consilium::coordinator {

class RoundEngine {
 public:
  // A new run, or one that goes on after a restart with the state that the ledger holds.
  RoundEngine(plan::Plan plan, RunState state, LastPublished last_published);

  // Call once before any event: the actions with which the run begins, or goes on.
  std::vector<Action> Start(RosterView roster, const std::set<SiteId>& connected, Time now);
  // Carry the actions out only when the ledger has committed them with state(). After the end only
  // a site that connects is still answered (RunEnded).
  std::vector<Action> On(const Event& event, Time now);

  const RunState& state() const { return state_; }
  bool ended() const { return state_.phase == Phase::kEnded; }
  // What the run waits for, on whom and until when, as kWaiting said it; empty: it moves by itself.
  const std::string& waiting() const { return waiting_; }
  // Connected sites that owe something and gave a sign of life not long ago.
  std::set<SiteId> AtWork() const;

 private:
  enum class TaskState { kOpen, kDone, kLost };
  struct Task {
    TaskState state = TaskState::kOpen;
    bool sent = false;     // the site has been asked
    bool trained = false;  // and said so
    double weight = 0;     // that it enlisted with
    std::string reason;    // why it was lost
  };
  // The session of secure aggregation under way.
  struct Secure {
    secagg::CoordinatorSession session;
    std::size_t asked = 0;             // sites that the present step was begun with
    Time begun{};                      // the present step
    std::optional<Time> enough_since;  // kAgreeing: the threshold had signed
    std::set<SiteId> silent;           // say nothing more; what they delivered stays
    std::size_t opened_with = 0;       // answers with which the sum could not be opened
    std::map<SiteId, std::vector<std::uint64_t>> masked_sums;
  };
  // What opening the masked sums beside an attempt's updates, or those of an evaluation, gave.
  struct OpenedSum {
    std::set<SiteId> sharers, survivors;
    Digest transcript;
    std::uint32_t threshold = 0;
    std::vector<std::uint64_t> sums;
    std::shared_ptr<const Unmasking> unmasking;  // shared with the actions; of an attempt
  };
  // What the sites have been asked for: a first model, an attempt's updates, or evaluations
  // (attempt 0).
  struct Work {
    AttemptKey key;
    Time opened{}, deadline{};
    std::size_t needed = 1;
    std::map<SiteId, Task> tasks;
    std::optional<Secure> secure;
    std::optional<OpenedSum> sum;  // then `secure` is gone
    // Masked evaluations
    std::uint32_t sessions = 0;  // begun
    std::optional<metrics::EvaluationSums> pooled;
    std::optional<metrics::ShownDescription> described;
    std::vector<metrics::Scale> scales;  // of a preparation: the model is being made
    std::string failure;                 // why there will be none
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
  void Handle(const ModelPrepared& event);
  void Handle(const PreparationFailed& event);
  void Handle(const EvaluationArrived& event);
  void Handle(const SecureAnswered& event);
  void Handle(const SiteProgressed& event);
  void Handle(const SiteTrained& event);
  void Handle(const ContributionsMissing& event);
  void Handle(const RosterChanged& event);
  void Handle(const StopRequested& event);
  void Handle(const TimeCame& event);
  std::vector<Action> Finish();  // what every step ends with
  void SignOfLife(const SiteId& site) { signs_[site] = now_; }

  // ---- a restart, and what makes it possible (round_engine_restart.cpp)

  void GoOn(const std::vector<WorkRecord>& records);
  void GoOnWithAttempt(absl::Status restored);
  // Makes work_ as it was. kNotFound: nothing was under way. kDataLoss: the records do not fit.
  absl::Status Restore(const std::vector<WorkRecord>& records);
  absl::Status Restore(const WorkOpened& opened);
  absl::Status CheckConfig(const WorkOpened& opened) const;
  absl::Status PlayBack(const WorkOpened& again);
  absl::Status PlayBack(const WorkAnswered& answered);
  absl::Status PlayBack(const WorkUploaded& uploaded);
  absl::Status PlayBack(const WorkLost& lost);
  absl::Status PlayBack(const WorkStepClosed& closed);
  absl::Status CheckRestored() const;
  void AggregateAgain();
  AttemptKey WorkKey() const;  // of the work that the state speaks of
  void Keep(WorkRecord record) { actions_.push_back(KeepWork{std::move(record)}); }
  void KeepOpened();                // work_, or that there is none
  void Resume(const SiteId& site);  // one that has connected again goes on with its task

  // Each returns whether it moved the run on.
  bool Settle();
  bool EndIfTooManyDeclined();
  bool SettleInviting();
  bool SettleInitialModel();
  bool SettleTraining();
  bool SettleEvaluation();
  bool SettleSecure();
  bool SettleSecureEvaluation();
  void CheckTimes();
  void OnDeadline();

  void InviteSite(const SiteId& site);
  void AskNextForInitialModel();
  void OpenRound(std::uint32_t round);
  void OpenAttempt();
  void CloseAttempt();
  // `counted`: as one of the three.
  void FailAttempt(const std::string& reason, bool counted = true);
  void BeginNextRoundFromSameBase();
  void AbandonAttempt(const std::string& reason);
  void OpenEvaluation(std::uint32_t round, std::size_t needed);
  void AskForEvaluations();  // sealed ones, that are not here yet
  void JoinEvaluation(const SiteId& site);
  void FinishEvaluation();
  // The federation's scales of a table's columns, before the first round.
  bool NeedsPreparation() const;
  void BeginPreparation();
  void TakePooledPreparation();
  absl::Status OpenScales();
  void MakePrepared();
  void FinishPreparation();  // which failed
  void AuditPreparation(const ModelId& model);
  void BeginDescription();
  void FinishDescription();
  void JudgeCandidate();
  std::optional<double> PooledValues(std::string* text,
                                     std::map<std::string, double>* values) const;
  std::size_t Evaluated() const;  // sites whose results the candidate has
  void JudgeBest();
  std::string StopCondition(double headline) const;  // empty: go on
  void RequestStop(const std::string& reason);
  void BeginFinalEvaluation();
  void End(bool failed, const std::string& outcome,
           std::optional<ModelId> published = std::nullopt);

  // ---- secure sessions (round_engine_secure.cpp)

  bool Masked() const { return plan_.aggregation.updates == plan::Updates::kMasked; }
  void BeginSession(secagg::SessionConfig config);
  secagg::SessionConfig TrainingConfig() const;
  secagg::SessionConfig EvaluationConfig() const;
  void CloseStep();
  void BeginStep();
  void FailSession(const std::string& reason);
  absl::Status OpenSession();
  void OpenSums();
  absl::StatusOr<OpenedSum> TakeMasksOut(std::vector<secagg::Mask> masks) const;
  std::map<std::string, double> MeansOfSums() const;  // beside the updates
  void TakePooledEvaluation();
  void TakePooledDescription();
  void OpenEvaluationSession();
  void LeaveLate();
  void NoteStep(std::string_view step, std::size_t answered, std::map<std::string, double> values);
  void SendNotice(const SiteId& site);
  void ResumeSession(const SiteId& site);  // that has connected again
  absl::Status TakeAnswer(const SiteId& site, const wire::SecureAnswer& answer);
  absl::Status TakeSums(const SiteId& site, const wire::MaskedSums& sums);
  absl::Status TakeUpload(const ContributionComplete& event);
  bool Opening() const;  // the uploads of a session are closed
  bool EnoughToCloseStep() const;
  Time StepDeadline() const;
  std::set<SiteId> Enlisted() const;  // may take part, and connected or within their grace
  std::size_t Needed(std::size_t cohort, std::size_t minimum) const;
  std::uint32_t ThresholdOf(std::size_t cohort) const;
  std::size_t MinimumSites() const;       // of a cohort
  std::size_t EvaluationMinimum() const;  // of the evaluation under way
  wire::EvaluationSplit Split() const;

  // ---- the audit log's details (round_engine_audit.cpp)

  void AuditOpening();
  void AuditAggregate(const ModelId& candidate);
  void AuditEvaluation();
  void AuditDescription();
  void AuditPublication();
  void AuditEnd(bool failed, const std::string& outcome, const std::optional<ModelId>& published);

  void BeginWork(AttemptKey key, std::size_t needed);
  Task* OpenTask(const SiteId& site,
                 const AttemptKey& key);  // null: none that was sent and is open
  bool TakesWeight(const SiteId& site, Task& task, double weight);
  void SendTask(const SiteId& site, Task& task);
  void Lose(const SiteId& site, Task& task, const std::string& reason);
  // The site goes on with its task no more: an open one is lost, what it has delivered stays.
  void Leave(const SiteId& site, const std::string& reason);
  void Expel(const SiteId& site, const std::string& reason);  // delivered or not
  // What it sent was garbage. It is out of this attempt already.
  void LeaveOut(const SiteId& site, const std::string& reason);
  void ApplyRoster();
  bool LoseAbsent();
  void CloseFor(const SiteId& site, bool counted, const std::string& reason);
  void SendTo(const SiteId& site, wire::ToSite message);
  void Note(wire::RunEventKind kind, std::string text = {},
            std::map<std::string, double> values = {}, const SiteId& site = {});

  bool Describing() const { return state_.phase == Phase::kDescribing; }
  bool Preparing() const { return state_.phase == Phase::kPreparing; }
  bool InCohort(const SiteId& site) const;
  bool Evaluating() const;
  bool Connected(const SiteId& site) const { return connected_.contains(site); }
  std::optional<Time> AbsentUntil(
      const SiteId& site) const;             // the end of its grace; none: connected
  bool Owes(const SiteId& site) const;       // the coordinator waits for something of this site
  Time GivenUpAt(const SiteId& site) const;  // one that owes something, when nothing is heard of it
  bool Silent(const SiteId& site) const;     // connected, owes something, and its time is over
  std::size_t Count(TaskState state) const;
  std::size_t Present() const;  // tasks done, or open at a connected site
  std::vector<SiteId> Accepted() const;
  std::vector<SiteId> Eligible() const;  // accepted, without those that are left out
  std::size_t EligibleAndConnected() const;
  double Weight(const SiteId& site, const Participant& participant) const;
  std::optional<Time> WallTimeEnd() const;
  std::string WaitingFor() const;  // empty: nothing out of the ordinary
  std::string WaitingForAbsent() const;
  std::string WaitingForSites(std::string_view what, std::optional<Time> deadline = {}) const;
  std::optional<Time> NextWake() const;
  std::optional<Time> SessionWake() const;

  plan::Plan plan_;
  RunState state_;
  LastPublished last_published_;
  RosterView roster_;
  Time now_{};
  std::vector<Action> actions_;  // of the step that is being made
  std::set<SiteId> connected_;
  std::map<SiteId, Time> absent_since_;  // accepted sites
  std::map<SiteId, Time> signs_;         // of life, or when it was asked for something
  std::optional<Work> work_;
  std::map<SiteId, std::string> left_out_;  // of the round's next attempts, and why
  std::set<SiteId> tried_;                  // failed to make the initial model
  Closings closings_;                       // for when a site reconnects
  std::optional<Time> enough_since_;        // kInviting: the minimum had accepted
  std::optional<Time> aggregate_again_;     // after a failure of ours (a full disk)
  std::string aggregate_failure_;
  std::string waiting_;  // what kWaiting said last
  std::optional<Time> wake_;
  std::optional<wire::RunEnded> ended_message_;
  bool stop_was_requested_ = false;
};

}  // namespace consilium::coordinator
