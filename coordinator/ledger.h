#pragma once

// What the coordinator must not forget, in one SQLite file: members, plans, runs, what happened in
// them, and models. What the ledger has committed is true; all else is rebuilt from it.
//
// Thread-compatible: the caller locks. Time is passed in. Errors are those of
// common/storage/database.h, and those named here.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/identity/roster.h"
#include "common/metrics/binary_metrics.h"
#include "common/plan/plan.h"
#include "common/wire/protocol.h"
#include "coordinator/round_events.h"
#include "coordinator/run_state.h"

namespace consilium::coordinator {

using identity::Name;
using identity::Role;

struct Member {
  std::string name;
  Role role = Role::kSite;
  Digest tls_key;  // SHA-256 of its TLS key (SubjectPublicKeyInfo): a renewed certificate keeps it
  crypto::Ed25519PublicKey signing_key{};
  Time enrolled{};
  std::optional<Time> admitted;  // since when the roster lists it; none: it waits
  std::optional<Time> revoked;
  double weight_cap = 0;  // as it was invited; 0: none. What counts is the roster's.
};

struct Invitation {
  Digest token_hash;  // SHA-256 of the token; the token itself is kept nowhere
  std::string name;
  Role role = Role::kSite;
  Time expires{};
  double weight_cap = 0;  // 0: none
};

enum class ModelStage { kInitial = 1, kCandidate = 2, kPublished = 3, kWithdrawn = 4 };
std::string_view Name(ModelStage stage);  // "initial", "candidate", "published", "withdrawn"

struct ModelEntry {
  ModelId id;
  ModelStage stage = ModelStage::kCandidate;
  RunId run;  // that made it first
  std::uint32_t round = 0;
  std::optional<ModelId> parent;  // what it was trained from
  std::uint64_t file_size = 0, parameters = 0;
  Time created{};
  std::string record_json;  // the signed record; empty before publication
};

struct SubmittedPlan {
  std::string name;
  PlanHash hash;
  std::string toml;
  std::string researcher;
  wire::PlanNonce nonce{};
  crypto::Signature signature{};  // over wire::PlanText
};

struct Evaluation {
  SiteId site;
  wire::EvaluationReport report;
};

// The signed record of a model that the same step publishes.
struct Publication {
  ModelId model;
  std::string record_json;
};

// A site's word on the head of the log.
struct Countersignature {
  SiteId site;
  wire::LogSignature signature;
};

class Ledger {
 public:
  // Opens or makes the file; its folder must be there.
  static absl::StatusOr<Ledger> Open(const fs::path& file);
  Ledger(Ledger&&) noexcept;
  Ledger& operator=(Ledger&&) noexcept;
  ~Ledger();

  // ---- federation and members

  // Once. kFailedPrecondition when the ledger belongs to a federation of another name; nothing when
  // it is the same.
  absl::Status SetFederation(std::string_view name, Time now);
  absl::StatusOr<std::string> FederationName();  // kNotFound before SetFederation

  absl::Status AddInvitation(const Invitation& invitation, Time now);
  // Spends the invitation: of any number of callers exactly one gets it. kPermissionDenied when it
  // is unknown, used or expired (says which).
  absl::StatusOr<Invitation> TakeInvitation(const Digest& token_hash, Time now);
  // The same without spending it.
  absl::StatusOr<Invitation> FindInvitation(const Digest& token_hash, Time now);
  // Spends the invitation and adds the member, with an entry in the log, or does nothing of it.
  // Errors of TakeInvitation and AddMember; kInvalidArgument when the invitation is for another
  // name or role.
  absl::Status Enrol(const Digest& token_hash, const Member& member, Time now);
  // A member that enrols again under its name with another key replaces the one that waits or is
  // admitted; the old key is revoked in the same step. kFailedPrecondition when the name is held in
  // another role; kAlreadyExists when one of its keys was a member's before.
  absl::Status AddMember(const Member& member);
  // kPermissionDenied when no member holds this key, or it is revoked (says which). A member that
  // waits to be admitted is found: see `admitted`. One index look-up.
  absl::StatusOr<Member> FindMember(const Digest& tls_key);
  // Revoked ones too. kNotFound: nobody ever held this key.
  absl::StatusOr<Member> MemberWithKey(const Digest& tls_key);
  // In force at once, whatever the roster says. kNotFound when no such member is there.
  absl::Status RevokeMember(std::string_view name, Time now);
  absl::StatusOr<std::vector<Member>> Members();  // by name, those that wait and revoked ones too

  // How long the certificates of members last; 90 days unless it was set.
  absl::Status SetCertificateLife(Duration life);
  absl::StatusOr<Duration> CertificateLife();

  // ---- the roster. The caller has verified it (identity/roster.h).

  // Takes a newer one into force, marks its members as admitted, and revokes those that were and
  // that it lists no longer. kFailedPrecondition when it is not newer, or of another federation.
  absl::Status SetRoster(const identity::SignedRoster& roster, Time now);
  absl::StatusOr<std::string> RosterFile();       // kNotFound before the first
  absl::StatusOr<std::uint64_t> RosterVersion();  // 0 before the first; cheap

  // ---- runs

  // Names the run "<plan name>-<counter>" ("chest-opacity-0003"), records kSubmitted as its first
  // event, kWaiting as its second if earlier runs have not ended, and the submission in the log.
  // The caller has verified the signature. kAlreadyExists when a run was submitted with this nonce
  // before.
  absl::StatusOr<RunId> SubmitRun(const plan::Plan& plan, const SubmittedPlan& submitted, Time now);
  absl::StatusOr<std::vector<RunId>> QueuedRuns();         // never started, oldest first
  absl::StatusOr<std::vector<RunId>> ActiveRuns();         // started and not ended, oldest first
  absl::StatusOr<SubmittedPlan> PlanOf(const RunId& run);  // kNotFound
  // What a site that took part is told of a run that has ended; none while it has not, or of a run
  // in which the site had no part.
  absl::StatusOr<std::optional<wire::RunEnded>> EndOf(const RunId& run, const SiteId& site);
  // All that RoundEngine needs to begin or to go on, with the records of the work under way.
  // kNotFound; kDataLoss, naming the run, when a record is damaged.
  absl::StatusOr<RunState> LoadRunState(const RunId& run);

  // Keeps one step of the engine in one transaction (one fsync): the state, every Record,
  // StoreEvaluation, StorePooledEvaluation, StoreDescription, KeepWork and Audit of `actions` (the latter as entries
  // of the log, by "coordinator"), what the events say about attempts and contributions, and the
  // stage and record of a model that `actions` Publish (then `publication` is needed). EndRun and
  // AbandonAttempt remove the run's records of work. Call it before anything of `actions` is
  // carried out. Returns the Records' events, numbered: sequences rise by one in each run.
  // kNotFound when there is no such run. After any other failure call it with the same step before
  // any other of the run: one that did reach the disk is not kept twice.
  absl::StatusOr<std::vector<wire::RunEvent>> Commit(
      const RunState& state, std::span<const Action> actions,
      const std::optional<Publication>& publication = std::nullopt);
  // Events with a sequence above `after`, in order, at most `limit`.
  absl::StatusOr<std::vector<wire::RunEvent>> Events(const RunId& run, std::uint64_t after,
                                                     std::size_t limit = 1000);
  absl::StatusOr<std::vector<Evaluation>> Evaluations(const RunId& run);
  absl::StatusOr<std::vector<PooledEvaluation>> PooledEvaluations(const RunId& run);
  // None: the run has described nothing (yet).
  absl::StatusOr<std::optional<StoreDescription>> DescriptionOf(const RunId& run);
  // Over secagg::SurvivorsText of a training's session, or a preparation's (round 0 here), as sent
  // to the sites (Commit takes them from there). Empty: the session did not come so far.
  absl::StatusOr<std::map<SiteId, crypto::Signature>> SurvivorSignatures(const AttemptKey& key);
  // The model that was published last from a plan of this name, and its AUROC by site on the test
  // sets, if the sites' own were seen. Sites too small to show are left out.
  absl::StatusOr<LastPublished> LastPublishedOf(std::string_view plan_name);

  // ---- models. The file is in place (fsynced, renamed, folder fsynced) before the row that names
  // it.

  // Adding the same model again changes nothing (a round repeated after a crash makes the same
  // one).
  absl::Status AddModel(const ModelEntry& model);
  // kNotFound; kFailedPrecondition for a step that cannot be (only candidate -> published ->
  // withdrawn).
  absl::Status SetStage(const ModelId& model, ModelStage stage, std::string_view record_json = {});
  // Lower-case hexadecimal, whole or a beginning of at least 4. kNotFound; kInvalidArgument when
  // several begin so.
  absl::StatusOr<ModelEntry> FindModel(std::string_view hex);
  absl::StatusOr<std::vector<ModelEntry>> ListModels();  // newest first

  // ---- for people and other programs, as JSON text

  // Everything about a run: {run, plan, state, submitted, started, ended, outcome, participants[],
  // rounds[], final, events[]}. Metrics of sites too small to show are {"suppressed": true}. With
  // masked updates an attempt and its round have "secure": {cohort, threshold, survivors,
  // recovered, transcript, steps[]} (null otherwise), and an evaluation {pooled, sites: {}, secure:
  // true, evaluated_by[], compared, worse}.
  //
  // participants[], a site each: {site, invite: "not invited"|"invited"|"accepted"|"declined",
  // reason (of declining), train_patients, train_examples, refused_files, refusals: {reason:
  // files}}.
  // rounds[].sites[], every site that was asked in any attempt of the round, or evaluated its
  // candidate, by name: {site, attempt (the last one that it was asked in; null: none), asked,
  // trained: null | {patients, examples, seconds, before: nothing was trained again}, uploaded,
  // counted, lost: null | why, evaluated (its candidate on the validation patients)}.
  // rounds[].attempts[].contributions[] say the same of each attempt, without `evaluated`, and in
  // more detail: {..., state: "asked"|"received"|"counted"|"lost", reason, weight, loss,
  // train_seconds, upload_seconds, bytes}. `final` has `evaluated_by[]` always.
  // `description`, once a plan with [describe] has one: {sites[], shown:
  // metrics::ToJson(ShownDescription)}.
  absl::StatusOr<std::string> RunJson(const RunId& run);
  absl::StatusOr<std::string> RunsJson();    // a list, newest first
  absl::StatusOr<std::string> ModelsJson();  // a list, newest first

  // ---- the audit log: a chain (wire::ExtendedBy). Entries are never changed or removed.

  struct LogHead {
    std::uint64_t number = 0;  // of the last entry
    Digest head;
  };
  // Its number is given here.
  absl::Status AddLogEntry(Time time, std::string_view actor, std::string_view action,
                           std::string_view subject, std::string_view details = {});
  absl::StatusOr<LogHead> Head();
  // Entries from `from` on, in order, at most `limit`.
  absl::StatusOr<std::vector<wire::LogEntry>> LogEntries(std::uint64_t from,
                                                         std::size_t limit = 1000);
  absl::StatusOr<std::vector<wire::LogEntry>> LogEntriesAbout(std::string_view subject);
  // The head after entry `number` (0: 32 zero bytes). kNotFound.
  absl::StatusOr<Digest> HeadAfter(std::uint64_t number);
  // The caller has verified it. kFailedPrecondition: not the head that this log had after that
  // entry.
  absl::Status AddCountersignature(const Countersignature& signature);
  // Of each site the latest up to entry `up_to`.
  absl::StatusOr<std::vector<Countersignature>> Countersignatures(
      std::uint64_t up_to = ~std::uint64_t{0} >> 1);
  // Recomputes the whole chain. kDataLoss naming the first entry that does not fit.
  absl::Status VerifyLog();

 private:
  struct Impl;
  explicit Ledger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::coordinator
