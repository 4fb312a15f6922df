#pragma once

// What a site remembers, in one folder of its own:
//
//   keys/       who the site is (common/identity)        policy.toml   optional, see policy.h
//   site.db     runs, tasks, evaluations, and the ledger of what left the building
//   models/     downloaded models, checked by hash        published/   models that passed the gate
//   catalog.db, cache/   the index of local images and their preprocessed pixels (datasets)
//   outbox/     sealed updates that the coordinator has not yet done with
//
// Thread-safe. Every change is committed when the call returns.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/storage/database.h"
#include "common/wire/protocol.h"
#include "site_agent/sealed_update.h"

namespace consilium::site_agent {

struct SiteFolder {
  fs::path root;

  fs::path Database() const { return root / "site.db"; }
  fs::path Policy() const { return root / "policy.toml"; }
  fs::path Models() const { return root / "models"; }
  fs::path Published() const { return root / "published"; }
  fs::path Outbox() const { return root / "outbox"; }
  fs::path Catalog() const { return root / "catalog.db"; }
  fs::path Cache() const { return root / "cache"; }
};

struct RunRecord {
  RunId run;
  std::string plan_toml;
  bool accepted = false;
  std::string reason;   // of a refusal
  std::string outcome;  // empty until the run has ended
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
  wire::UploadHeader header;  // whole from kSealed on; key, kind and base model before
  TaskState state = TaskState::kTraining;
  crypto::X25519PublicKey recipient{};
  Digest sha256;  // of the sealed file
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

class SiteState {
 public:
  enum class Access { kOwn, kLook };  // kLook: without the lock, for status; changes nothing
  // kFailedPrecondition when another process owns the folder.
  static absl::StatusOr<std::unique_ptr<SiteState>> Open(const fs::path& root, Access access);

  const SiteFolder& folder() const { return folder_; }

  absl::Status RecordInvite(const wire::Invite& invite, bool accepted, const std::string& reason,
                            Time now);
  // Also closes the run's tasks and empties its outbox.
  absl::Status RecordRunEnded(const wire::RunEnded& ended, Time now);
  absl::StatusOr<std::optional<RunRecord>> FindRun(const RunId& run);
  absl::StatusOr<std::vector<RunRecord>> Runs();

  // A task that was there before begins anew.
  absl::Status RecordTaskBegun(const wire::UploadHeader& header, std::uint64_t seed, Time now);
  // kCancelled, and the file is removed, when the attempt was closed in the meantime.
  absl::Status RecordSealed(const SealedUpdate& update, const crypto::X25519PublicKey& recipient,
                            Time now);
  absl::Status RecordAcknowledged(const AttemptKey& key, Time now);
  // Its end: kCounted, kNotCounted or kFailed. Removes the sealed file.
  absl::Status CloseTask(const AttemptKey& key, TaskState end, const std::string& reason, Time now);
  absl::StatusOr<std::optional<TaskRecord>> FindTask(const AttemptKey& key);
  absl::StatusOr<std::vector<TaskRecord>> Tasks();  // newest last

  absl::Status RecordEvaluation(const wire::EvaluationReport& report, Time now);
  // The same question was answered before.
  absl::StatusOr<std::optional<wire::EvaluationReport>> FindEvaluation(
      const wire::EvaluateRequest& request);

  // The same bytes of the same attempt are one line, however often they are sent.
  absl::Status RecordDeparture(const Departure& departure);
  absl::StatusOr<std::vector<Departure>> Departures();

 private:
  SiteState(SiteFolder folder, storage::Database database, std::optional<FolderLock> lock);
  // Removes files of which no task knows: sealed just before a crash, or closed just before one.
  absl::Status SweepOutbox();
  absl::StatusOr<std::vector<TaskRecord>> SelectTasks(std::string_view where,
                                                      const AttemptKey& key);

  const SiteFolder folder_;
  std::optional<FolderLock> lock_;
  std::mutex mutex_;
  storage::Database database_;
};

}  // namespace consilium::site_agent
