#pragma once

// What happens to a run (events), and what a run wants done (actions): the language between the
// round engine (round_engine.h) and who feeds it, the conductor and the simulation.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/metrics/evaluation_sums.h"
#include "common/metrics/preparation.h"
#include "common/metrics/shown_description.h"
#include "common/secagg/masking.h"
#include "common/wire/protocol.h"
#include "coordinator/unmasking.h"

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
  // Of a masked update, whose hash the aggregator has found to be proof.sha256.
  std::vector<std::uint64_t> masked_sums;
  secagg::UploadProof proof;
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
  Digest layout;  // SHA-256 of its safetensors header
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
  bool permanent = false;  // the same again would fail again (a result that is not finite): the
                           // attempt has failed. Else (a full disk) the run pauses, see kWaiting
};
// What Prepare asked for.
struct ModelPrepared {
  AttemptKey key;
  ModelId model;
};
struct PreparationFailed {
  AttemptKey key;
  std::string reason;
  bool permanent = false;  // the model takes no such scales: the run ends. Else (a full disk) it is
                           // tried again
};
struct EvaluationArrived {
  SiteId site;
  wire::EvaluationReport report;
};
struct SecureAnswered {
  SiteId site;
  wire::SecureAnswer answer;
};
// The site is at work on what it was asked for: it reports progress, or its upload moves on.
struct SiteProgressed {
  SiteId site;
  AttemptKey key;
};
struct SiteTrained {
  SiteId site;
  wire::Trained trained;
};
// After a restart: what the spool should hold of these sites is not there (the disk lost it). The
// attempt cannot be gone on with.
struct ContributionsMissing {
  AttemptKey key;
  std::set<SiteId> sites;
};
// Who belongs to the federation, by the roster in force.
struct RosterView {
  std::string federation;
  Digest hash;
  std::map<SiteId, crypto::Ed25519PublicKey> sites;  // admitted and not revoked
  std::map<SiteId, double> weight_caps;              // absent: none
};
// A new roster. A site that is no longer in it is lost; sessions under way go on under the one they
// began with.
struct RosterChanged {
  RosterView roster;
};
struct StopRequested {
  std::string by;
};
struct TimeCame {};  // a WakeAt is due

using Event =
    std::variant<SiteConnected, SiteDisconnected, InviteAnswered, ContributionStarted,
                 ContributionComplete, ContributionRefused, InitialModelReady, SiteTaskFailed,
                 AggregateReady, AggregateFailed, ModelPrepared, PreparationFailed,
                 EvaluationArrived, SecureAnswered, SiteProgressed, SiteTrained,
                 ContributionsMissing, RosterChanged, StopRequested, TimeCame>;

// ---- actions, to be carried out in their order

// To connected sites only. Of an Invite only `run` is set: the conductor, which has the signed
// plan, puts the rest in. The same message may come again after a reconnection: a site that has it
// already goes on.
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
  bool masked = false;  // takes kMaskedUpdate of `sites`; their weights are the engine's business
  // After a restart: what the spool holds of this very attempt counts. It must be all of `held`,
  // else ContributionsMissing follows.
  bool again = false;
  std::set<SiteId> held;
};
struct DropContribution {
  SiteId site;
  AttemptKey key;
};  // take what it has added out again; refuse the rest
struct Aggregate {
  AttemptKey key;
  std::set<SiteId> counted;
  std::shared_ptr<const Unmasking>
      unmasking;  // shared: an Action can be copied. Null: sealed updates
};                // close the attempt and make the candidate
struct AbandonAttempt {
  AttemptKey key;
};
// Make the model that is `base` with these scales (common/model/prepared_model.h).
struct Prepare {
  AttemptKey key;
  ModelId base;
  std::vector<metrics::Scale> scales;
};
struct Record {
  wire::RunEvent event;
};  // into the ledger and to those who watch; sequence is set there
struct StoreEvaluation {
  SiteId site;
  wire::EvaluationReport report;
};  // into the ledger (Ledger::Commit takes it from here)
// Of a secure evaluation: what all its sites' results are together.
struct PooledEvaluation {
  std::uint32_t round = 0;
  ModelId model;
  wire::EvaluationSplit split = wire::EvaluationSplit::kValidation;
  std::set<SiteId> sites;
  metrics::EvaluationSums sums;
};
struct StorePooledEvaluation {
  RunId run;
  PooledEvaluation evaluation;
};  // into the ledger, as StoreEvaluation
// What the images of all these sites are, small counts suppressed.
struct StoreDescription {
  RunId run;
  std::set<SiteId> sites;
  metrics::ShownDescription shown;
};  // into the ledger, as StoreEvaluation
// Into the audit log, in the same transaction; `details` is compact JSON.
struct Audit {
  std::string action, subject, details;
};
// What of the work under way (an attempt, or an evaluation's sessions) must survive a restart, in
// the order in which it happened. Played back by Start, they make the same work again: the same
// keys, tasks, session and deadline.
struct WorkOpened {  // the first of each work, and of each session of a masked evaluation
  AttemptKey key;
  Time opened{}, deadline{};
  std::uint32_t needed = 1, sessions = 0;
  std::map<SiteId, double> weights;  // the cohort
  std::optional<secagg::SessionConfig> secure;
  std::map<SiteId, crypto::Ed25519PublicKey> signing_keys;  // of the cohort, with `secure`
  bool operator==(const WorkOpened&) const = default;
};
struct WorkAnswered {  // taken by the session
  SiteId site;
  wire::SecureAnswer answer;
};
struct WorkUploaded {  // and held by the spool
  ContributionComplete contribution;
};
// Silent, and of a site that is out already or is not of the cohort: it is left out of the round's
// next attempts.
struct WorkLost {
  SiteId site;
  std::string reason;
  bool silent = false;  // what it delivered stays, it says nothing more
};
struct WorkStepClosed {  // of the session: advertise 0 ... agree 3; unmask 4 of a preparation,
                         // whose model is made then
  std::uint32_t step = 0;
};
using WorkRecord = std::variant<WorkOpened, WorkAnswered, WorkUploaded, WorkLost, WorkStepClosed>;
// Into the ledger. A WorkOpened takes the place of all records before it, the first of another
// session of the same evaluation, too: the earlier session is over. One without a cohort says that
// nothing is under way: no attempt (its key's attempt is 0), or no session of the evaluation. An
// answer or an upload alone need not be committed at once: who gave it gives it again when it is
// asked again. Whatever is told because of it needs it first.
struct KeepWork {
  WorkRecord record;
};
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

using Action = std::variant<Send, OpenAttempt, DropContribution, Aggregate, Prepare, AbandonAttempt,
                            Record, StoreEvaluation, StorePooledEvaluation, StoreDescription, Audit,
                            KeepWork, Publish, WakeAt, EndRun>;

}  // namespace consilium::coordinator
