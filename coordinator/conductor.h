#pragma once

// Carries runs out: feeds the round engine with what happens, commits each of its steps to the
// ledger, and only then does what it asks for. One run at a time, in the order of submission; a run
// that a stop or a crash cut off goes on at the next start.
//
// Events come from any thread into an inbox. Nothing happens by itself: whoever owns the conductor
// makes it step the engine (StepOnce) and make models (MakeOnce: seconds of work for large ones).
// Start has two threads do that; a simulation calls both itself. Neither ever waits: what has to
// be tried again is due at NextStep. What another process may write into the ledger (a roster, a
// revocation) is looked up every Parts::federation_watch while sites are connected.

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "coordinator/aggregator.h"
#include "coordinator/authority.h"
#include "coordinator/model_store.h"
#include "coordinator/roster_in_force.h"
#include "coordinator/round_engine.h"
#include "coordinator/run_watch.h"
#include "coordinator/shared_ledger.h"
#include "coordinator/site_queue.h"

namespace consilium::coordinator {

class Conductor;

struct PlanSubmission {
  std::string toml;
  wire::PlanNonce nonce{};
  crypto::Signature signature{};  // over wire::PlanText
};

// One call of a site's upload. Used by one thread; must not outlive the conductor.
class SiteUpload {
 public:
  std::uint32_t next_segment() const { return next_; }
  std::uint32_t segments() const { return segments_; }
  // The next segment, sealed or masked, as it came. True: the contribution is whole. Errors are
  // Aggregator's.
  absl::StatusOr<bool> Add(ByteView segment);

 private:
  friend class Conductor;
  ContributionComplete Complete() const;
  void Tell(std::uint32_t index);  // the engine, that segment `index` is here
  Conductor* conductor_ = nullptr;
  std::shared_ptr<Aggregator> aggregator_;  // shared: the attempt may be closed meanwhile
  SiteId site_;
  wire::UploadHeader header_;
  std::uint32_t next_ = 0, segments_ = 0;
  bool begun_ = false;  // the engine was told
  Time started_{};
};

class Conductor {
 public:
  // The parts must outlive the conductor.
  struct Parts {
    SharedLedger& ledger;
    ModelStore& models;
    const Authority& authority;
    const Clock& clock;
    fs::path spool;
    int threads = 0;  // that make a model; 0: as many as the machine has
    // A revocation or a new roster is seen after this at the latest.
    Duration federation_watch = std::chrono::milliseconds(250);
  };
  // Goes on with the run that a stop or a crash cut off at the first StepOnce.
  static absl::StatusOr<std::unique_ptr<Conductor>> Open(Parts parts);
  // Open, and two threads that make it go.
  static absl::StatusOr<std::unique_ptr<Conductor>> Start(Parts parts);
  // Stops after the step and the model that are being made; runs go on at the next start.
  ~Conductor();
  void Stop();

  // ---- what makes it go; not after Start. StepOnce and NextStep on one thread, MakeOnce on the
  // same or another.

  // Takes what has come in, and a wake-up, a look at the roster or a write to be tried again that
  // is due, and makes one step of it. False: there was nothing to do. Never waits: a step that the
  // ledger does not take (a full disk) is tried again later, and until then no other is made.
  bool StepOnce();
  // When StepOnce will have something to do although nothing comes in; in the past: now.
  std::optional<Time> NextStep() const;
  // Makes one model, or removes files that are no longer needed. False: there was nothing to do.
  bool MakeOnce();

  // ---- sites. The roster is sent to each site that connects, before anything else, and a newer
  // one as soon as the ledger has it; everything that is open is sent again.

  // A second connection of a site replaces the first, whose queue is closed.
  std::shared_ptr<SiteQueue> Connect(const SiteId& site, const Digest& tls_key);
  void Disconnect(const SiteId& site, const std::shared_ptr<SiteQueue>& queue);
  // A Hello first: the site hears of the runs that ended while it was away.
  void Receive(const SiteId& site, const wire::FromSite& message);
  // kFailedPrecondition when no attempt is open, or another one; else as Aggregator::Begin.
  // kOutOfRange, naming the segment to go on from, when header.first_segment is another. When
  // next_segment() == segments() the contribution is whole and counts; there is nothing to send.
  absl::StatusOr<SiteUpload> BeginUpload(const SiteId& site, const wire::UploadHeader& header);

  // ---- researchers

  // kInvalidArgument with all faults of the plan, one a line; kPermissionDenied when the plan is
  // not signed with the key that the roster has for the researcher; kAlreadyExists when it was
  // submitted before with this nonce.
  absl::StatusOr<RunId> Submit(const PlanSubmission& submission, const std::string& researcher);
  // kNotFound; kFailedPrecondition when it has ended.
  absl::Status StopRun(const RunId& run, const std::string& by);
  absl::StatusOr<std::shared_ptr<RunWatch>> Watch(const RunId& run, std::uint64_t after);

 private:
  friend class SiteUpload;
  struct StopOrder {
    RunId run;
    std::string by;
  };
  struct LookForRun {};
  struct LogSigned {};  // the site may get more of the log
  using Input = std::variant<Event, StopOrder, LookForRun, LogSigned>;
  struct ActiveRun {
    plan::Plan plan;
    SubmittedPlan submitted;
    std::unique_ptr<RoundEngine> engine;
  };
  // One that the ledger does not have yet.
  struct UncommittedStep {
    std::vector<Action> actions;
    std::optional<ActiveRun> queued;  // a queued run that is ended; none: of run_
  };
  struct Connection {
    std::shared_ptr<SiteQueue> queue;  // shared with the call that drains it
    Digest tls_key;
    std::uint64_t log_signed = 0;      // the last entry under which this site's signature is kept
    bool log_sent = false;             // an extension is on its way, its signature is not here yet
    std::uint64_t roster_version = 0;  // that was sent to it last
  };

  explicit Conductor(Parts parts);
  void Post(Input input);

  // Threads of Start.
  void KeepStepping();
  void KeepMaking();
  bool WaitForStep();  // false: stopping

  // What StepOnce does.
  void Step(const std::vector<Input>& inputs);
  void StepRun(const std::vector<Input>& inputs);
  bool TakeUpNextRun();
  absl::StatusOr<ActiveRun> Prepare(const RunId& run);
  // What RunState says of its base.
  struct ModelShape {
    std::uint64_t parameters = 0, frozen = 0;
    Digest layout;
  };
  absl::StatusOr<ModelShape> ShapeOf(const ModelId& model,
                                     const std::vector<std::string>& frozen) const;
  // kInvalidArgument: the plan's initial model is not here, or what it freezes does not fit it.
  absl::Status CheckInitial(const plan::Model& model) const;
  // A plan with adapters begins from its initial model completed by them: made here, so that all
  // sites train from the same bytes.
  absl::StatusOr<ModelId> MakeAdapted(Ledger& ledger, const RunId& run, const plan::Plan& plan);
  void EndQueuedRun(const StopOrder& order);
  void Complete(UncommittedStep step);
  void TryToCommit();
  absl::StatusOr<std::vector<wire::RunEvent>> Commit(const RunState& state,
                                                     const std::vector<Action>& actions);
  bool FederationWatchIsDue(Time now) const;  // mutex_ is held
  void CarryOut(const std::vector<Action>& actions);
  void Do(const Send& action);
  void Do(const OpenAttempt& action);
  void Do(const DropContribution& action);
  void Do(const Aggregate& action);
  void Do(const coordinator::Prepare& action);
  void Do(const AbandonAttempt& action);
  void Do(const WakeAt& action);
  void Do(const EndRun& action);
  void Do(const Record& action);
  void Do(const StoreEvaluation&) {}  // committed already, as the next four
  void Do(const StorePooledEvaluation&) {}
  void Do(const StoreDescription&) {}
  void Do(const Audit&) {}
  void Do(const KeepWork&) {}
  void Do(const Publish& action);
  void Announce(const RunId& run, const std::vector<wire::RunEvent>& events);

  // Who belongs to the federation, and the audit log (conductor_federation.cpp).
  std::vector<Input> WithRosterFirst(std::vector<Input> came);
  bool TakeUpRoster();
  void TellEnds(const SiteId& site, const std::vector<RunId>& open);
  void CloseRevoked(const std::vector<Member>& members);
  void ExtendLogs();
  void KeepSignature(const SiteId& site, const wire::LogSignature& signature);
  absl::Status CheckPlanSignature(const PlanSubmission& submission, const std::string& researcher);

  // What MakeOnce does.
  void Make(std::function<void()> job);
  absl::StatusOr<MadeModel> MakeModel(const Aggregate& action, double rate, ModelStage stage,
                                      std::optional<ModelId> parent);
  absl::StatusOr<ModelId> MakePrepared(const coordinator::Prepare& action);
  void MakeInitialModel(const SiteId& site, const AttemptKey& key);
  void RemoveSuperseded();

  std::shared_ptr<Aggregator> CurrentAttempt(const AttemptKey& key);
  absl::StatusOr<std::shared_ptr<Aggregator>> OpenAggregator(const OpenAttempt& action);
  void EmptySpool();
  void KeepSpoolOf(const AttemptKey& key);  // and remove the files of other attempts
  void NoteProgress(const SiteId& site, const AttemptKey& key);

  Parts parts_;
  RosterInForce rosters_;

  // Never held when the ledger is asked.
  mutable std::mutex mutex_;  // all to the next empty line
  std::condition_variable input_came_, job_came_;
  std::vector<Input> inbox_;
  std::deque<std::function<void()>> jobs_;
  std::map<SiteId, Connection> connections_;
  std::multimap<RunId, std::weak_ptr<RunWatch>> watches_;
  std::shared_ptr<const identity::SignedRoster> roster_;  // that the sites were told; shared: see
                                                          // RosterInForce
  std::shared_ptr<Aggregator> aggregator_;
  std::optional<Time> wake_;
  std::map<SiteId, Time> progressed_;  // when the engine was told last
  bool stopping_ = false;

  // Of the thread that steps.
  bool run_is_over_ = false;  // since the last step
  std::optional<ActiveRun> run_;
  RosterView view_;                             // that the engine was told
  std::optional<UncommittedStep> uncommitted_;  // then no other step is made
  std::vector<Action> kept_back_;               // KeepWork that is committed with the next step
  std::optional<Time> ledger_failed_;           // when it was tried last
  Time federation_watched_{};

  std::thread stepping_, making_;  // of Start
};

}  // namespace consilium::coordinator
