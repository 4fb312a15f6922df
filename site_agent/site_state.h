#pragma once

// What a site remembers, in one folder of its own:
//
//   keys/       who the site is (common/identity)        policy.toml   optional, see policy.h
//   site.db     runs, tasks, evaluations, secure sessions, what was opened with whom, the audit
//               log's head, and the ledger of what left the building
//   approvals/  the operator's word on runs, see approvals.h
//   paused      there while all work rests
//   models/     downloaded models, checked by hash
//   published/  models that passed the gate
//   personal/   the site's own models beside them (personal_model.h), which never leave
//   catalog.db, cache/   the index of local images and their preprocessed pixels (datasets)
//   optimizer/  what its optimizers remember between the rounds of a run (optimizer_memory.h)
//   outbox/     sealed and masked updates that the coordinator has not yet done with, and what was
//               trained, sealed for the site itself
//
// Thread-safe. Every change is committed when the call returns.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/plan/plan.h"
#include "common/secagg/site_session.h"
#include "common/storage/database.h"
#include "common/wire/protocol.h"
#include "site_agent/outbox_file.h"
#include "site_agent/trained_update.h"

namespace consilium::site_agent {

struct SiteFolder {
  fs::path root;

  fs::path Database() const { return root / "site.db"; }
  fs::path Policy() const { return root / "policy.toml"; }
  fs::path Models() const { return root / "models"; }
  fs::path Published() const { return root / "published"; }
  fs::path Personal() const { return root / "personal"; }
  fs::path Optimizer() const { return root / "optimizer"; }
  fs::path Outbox() const { return root / "outbox"; }
  fs::path Catalog() const { return root / "catalog.db"; }
  fs::path Cache() const { return root / "cache"; }
  fs::path Approvals() const { return root / "approvals"; }
  fs::path Paused() const { return root / "paused"; }
};

// The site's answer to an invitation. The numbers are stored: append only.
enum class Consent { kDeclined = 0, kAccepted = 1, kWaiting = 2 };  // kWaiting: for the operator
std::string_view Name(Consent consent);

struct RunRecord {
  RunId run;
  std::string plan_toml;
  std::string researcher;
  Consent consent = Consent::kDeclined;
  std::string reason;  // of a refusal
  // What the site has for it, and enlisted with.
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
  std::map<std::string, std::uint64_t> refusals;  // of the refused files, by reason
  std::string outcome;                            // empty until the run has ended
  std::optional<ModelId> published_model;
  Time seen{};
};

// The numbers are stored: append only.
enum class TaskState {
  kTraining = 1,      // begun; begun again when the process ends before it is sealed
  kSealed = 2,        // in the outbox
  kAcknowledged = 3,  // the coordinator holds all of it; kept until it says what became of it
  kCounted = 4,
  kNotCounted = 5,
  kFailed = 6,
};
std::string_view Name(TaskState state);

struct TaskRecord {
  // From kSealed on whole, but for what OutboxFile::Restore takes from the file; key, kind and base
  // model before.
  wire::UploadHeader header;
  TaskState state = TaskState::kTraining;
  crypto::X25519PublicKey recipient{};
  Digest sha256;  // of the file
  fs::path file;  // in the outbox; empty when there is none
  std::uint64_t seed = 0;
  std::string reason;
  Time began{};
};

// One line of the ledger of what left the building.
struct Departure {
  Time time{};
  std::string receiver;  // the coordinator's address
  std::string what;      // "sealed update", "evaluation sums (test)" ...
  AttemptKey key;
  std::uint64_t bytes = 0;
  Digest sha256;
};

// A secure session on the site's disk. The numbers are stored: append only.
enum class SessionState {
  kGoing = 1,
  kOpened = 2,   // the site has given its shares, once and for all
  kRefused = 3,  // it failed one of the site's checks, or the site could not go on
  kClosed = 4,   // the coordinator has done with it, or went on to another
};

struct SessionRecord {
  SessionState state = SessionState::kGoing;
  Digest context;      // secagg::ContextHash of its config
  ModelId model;       // of its config
  Bytes sealed;        // kGoing: the session; kOpened: the answers given. Else empty
  std::string reason;  // kRefused, kClosed
};

// How far this site has followed the coordinator's audit log.
struct LogHead {
  std::uint64_t number = 0;
  Digest head;
};

// What was asked (wire::QuestionOf), and the site's own counts (metrics::ToRing).
struct KeptDescription {
  Digest question;
  std::vector<std::uint64_t> sums;
  Time made{};
};
inline constexpr Duration kDescriptionLasts = std::chrono::hours(30 * 24);

class SiteState {
 public:
  enum class Access { kOwn, kLook };  // kLook: without the lock, for status; changes nothing
  // kFailedPrecondition when another process owns the folder.
  static absl::StatusOr<std::unique_ptr<SiteState>> Open(const fs::path& root, Access access);

  const SiteFolder& folder() const { return folder_; }

  // Binds the submission to the run, for good. kPermissionDenied when the run was bound to another
  // submission or plan, or the submission to another run.
  absl::Status BindPlan(const wire::Invite& invite, const PlanHash& plan);
  // A later answer to the same invitation replaces the earlier one.
  absl::Status RecordInvite(const wire::Invite& invite, Consent consent,
                            const wire::InviteAnswer& answer, Time now);
  // Also closes the run's tasks, forgets what was trained for it and empties its outbox.
  absl::Status RecordRunEnded(const wire::RunEnded& ended, Time now);
  absl::StatusOr<std::optional<RunRecord>> FindRun(const RunId& run);
  absl::StatusOr<std::vector<RunRecord>> Runs();
  // The run's plan, read once from its text: each message of a round asks for it.
  absl::StatusOr<plan::Plan> PlanOf(const RunRecord& run);

  // A task that was there before begins anew.
  absl::Status RecordTaskBegun(const wire::UploadHeader& header, std::uint64_t seed, Time now);
  // kCancelled, and the file is removed, when the attempt was closed in the meantime.
  absl::Status RecordSealed(const OutboxFile& update, const crypto::X25519PublicKey& recipient,
                            Time now);
  absl::Status RecordAcknowledged(const AttemptKey& key, Time now);
  // Its end: kCounted, kNotCounted or kFailed. Removes the sealed file and, when it was counted,
  // what was trained for the round and before. What the coordinator holds, or has counted, fails no
  // more: nothing is done.
  absl::Status CloseTask(const AttemptKey& key, TaskState end, const std::string& reason, Time now);
  // A newer attempt of the run began: the end of all before it, whose closing may never come, and
  // of what was trained for earlier rounds.
  absl::Status CloseOlderTasks(const AttemptKey& newest, Time now);
  absl::StatusOr<std::optional<TaskRecord>> FindTask(const AttemptKey& key);
  absl::StatusOr<std::vector<TaskRecord>> Tasks();  // newest last

  // Whether the run has a task of another round with this base and seed: it would be the same
  // update again.
  absl::StatusOr<bool> TrainedElsewhere(const AttemptKey& key, const ModelId& base,
                                        std::uint64_t seed);

  // ---- what was trained (trained_update.h)

  // In place of what there was for the round. kCancelled, and the file is removed, when the run has
  // ended in the meantime.
  absl::Status RecordTrained(const TrainedRecord& trained, Time now);
  absl::StatusOr<std::optional<TrainedRecord>> FindTrained(const RunId& run, std::uint32_t round,
                                                           const ModelId& base, std::uint64_t seed);
  // Its file turned out to be of no use.
  absl::Status ForgetTrained(const RunId& run, std::uint32_t round);

  absl::Status RecordEvaluation(const wire::EvaluationReport& report, Time now);
  // The same question was answered before.
  absl::StatusOr<std::optional<wire::EvaluationReport>> FindEvaluation(
      const wire::EvaluateRequest& request);

  // ---- what its images are. A description that is asked for again within kDescriptionLasts is the
  // same one, so that the difference of two shows nobody.

  absl::Status RecordDescription(const KeptDescription& description);
  // Those that last still, oldest first.
  absl::StatusOr<std::vector<KeptDescription>> Descriptions(Time now);

  // ---- what its table is on average (metrics::ToRing of PreparationSums). One that is asked for
  // again in its run is the same one. Forgotten when the run has ended.

  absl::Status RecordPreparation(const RunId& run, const Digest& question,
                                 const std::vector<std::uint64_t>& sums, Time now);
  absl::StatusOr<std::optional<std::vector<std::uint64_t>>> FindPreparation(const RunId& run,
                                                                            const Digest& question);

  // ---- secure sessions (secure_sessions.h)

  // `sealed`: for the disk, never in the clear.
  absl::Status SaveSession(const secagg::SessionKey& key, const SessionRecord& record, Time now);
  absl::StatusOr<std::optional<SessionRecord>> FindSession(const secagg::SessionKey& key);
  // Its end; erases what was kept of it. One that has ended before stays as it is.
  absl::Status EndSession(const secagg::SessionKey& key, SessionState end,
                          const std::string& reason, Time now);
  // Closes all sessions of the run but `except`.
  absl::Status CloseSessions(const RunId& run, const std::optional<secagg::SessionKey>& except,
                             Time now);
  // The one-shot record and the answer that goes with it (sealed), at once: from here on the
  // session is kOpened, its secrets are erased, and the quantity may be opened again with these
  // survivors only. kAlreadyExists: this transcript was answered before; kPermissionDenied: the
  // quantity was opened with others.
  absl::Status RecordUnmasking(const secagg::UnmaskRecord& record, ByteView sealed_answer,
                               Time now);
  // With whom the quantity that this session adds up was opened, if it was. All descriptions within
  // kDescriptionLasts are one quantity, whatever run they are of.
  absl::StatusOr<std::optional<std::set<SiteId>>> FindRelease(const secagg::SessionKey& key,
                                                              const ModelId& model, Time now);

  // ---- the coordinator's audit log (log_follower.h)
  absl::StatusOr<std::optional<LogHead>> FindLogHead();
  absl::Status RecordLogHead(const LogHead& head);
  // Why this site believes the coordinator's log no more; empty: it does.
  absl::StatusOr<std::string> LogFork();
  absl::Status RecordLogFork(const std::string& reason);
  // The operator's word: begin anew with whatever log the coordinator shows next.
  absl::Status ForgetLog();

  // The same bytes of the same attempt are one line, however often they are sent.
  absl::Status RecordDeparture(const Departure& departure);
  absl::StatusOr<std::vector<Departure>> Departures();

 private:
  static constexpr std::uint32_t kEveryRound = 0xffffffffu;
  SiteState(SiteFolder folder, storage::Database database, std::optional<FolderLock> lock);
  absl::Status EraseSessions(const RunId& run, const std::optional<secagg::SessionKey>& except,
                             Time now);
  absl::StatusOr<std::optional<std::set<SiteId>>> SelectRelease(const secagg::SessionKey& key,
                                                                const ModelId& model, Time now);
  absl::Status SweepOutbox();
  absl::Status SweepOptimizers();
  absl::StatusOr<std::vector<TaskRecord>> SelectTasks(std::string_view where,
                                                      const AttemptKey& key);
  // Of the run, of the rounds up to `last`.
  absl::StatusOr<std::vector<TrainedRecord>> SelectTrained(const RunId& run, std::uint32_t last);
  absl::Status DeleteTrained(const RunId& run, std::uint32_t last);

  const SiteFolder folder_;
  std::optional<FolderLock> lock_;
  std::mutex mutex_;
  std::map<RunId, std::pair<std::string, plan::Plan>> plans_;  // by run: the text, and what it says
  storage::Database database_;
};

}  // namespace consilium::site_agent
