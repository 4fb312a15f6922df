// What a site keeps of its tasks: what it trained, and what it has in the outbox.

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "site_agent/site_state.h"
#include "site_agent/site_state_rows.h"

namespace consilium::site_agent {
namespace {

constexpr std::string_view kTaskColumns =
    "SELECT run, round, attempt, kind, state, base_model, seed, plaintext_size, weight, loss,"
    " train_seconds, layout_header, envelope_header, recipient, sha256, outbox_file, reason,"
    " began_us, proof_signature FROM task ";

TaskRecord ReadTask(const storage::Statement& row, const fs::path& outbox) {
  TaskRecord task;
  wire::UploadHeader& header = task.header;
  header.key.run = RunId(row.Text(0));
  header.key.round = static_cast<std::uint32_t>(row.Int(1));
  header.key.attempt = static_cast<std::uint32_t>(row.Int(2));
  header.kind = static_cast<wire::ContributionKind>(row.Int(3));
  task.state = static_cast<TaskState>(row.Int(4));
  header.base_model = ToDigest(row.Blob(5));
  task.seed = static_cast<std::uint64_t>(row.Int(6));
  header.plaintext_size = static_cast<std::uint64_t>(row.Int(7));
  header.weight = row.Real(8);
  header.loss = row.Real(9);
  header.train_seconds = row.Real(10);
  header.layout_header = std::string(AsText(row.Blob(11)));
  header.envelope_header = ToArray<decltype(header.envelope_header)>(row.Blob(12));
  task.recipient = ToArray<crypto::X25519PublicKey>(row.Blob(13));
  task.sha256 = ToDigest(row.Blob(14));
  if (const std::string file = row.Text(15); !file.empty()) task.file = outbox / file;
  task.reason = row.Text(16);
  task.began = FromMicros(row.Int(17));
  header.proof.signature = ToArray<crypto::Signature>(row.Blob(18));
  return task;
}

void RemoveFiles(const std::vector<TaskRecord>& tasks, const std::vector<TrainedRecord>& trained) {
  for (const TaskRecord& task : tasks) {
    if (!task.file.empty()) Discard(task.file);
  }
  for (const TrainedRecord& update : trained) Remove(update.file).IgnoreError();
}

}  // namespace

std::string_view Name(TaskState state) {
  switch (state) {
    case TaskState::kTraining:
      return "training";
    case TaskState::kSealed:
      return "sealed";
    case TaskState::kAcknowledged:
      return "acknowledged";
    case TaskState::kCounted:
      return "counted";
    case TaskState::kNotCounted:
      return "not counted";
    case TaskState::kFailed:
      return "failed";
  }
  return "unknown";
}

// Removes files of which no row knows: made just before a crash, or closed just before one.
absl::Status SiteState::SweepOutbox() {
  std::set<fs::path> known;
  ASSIGN_OR_RETURN(const auto tasks, Tasks());
  for (const TaskRecord& task : tasks) known.insert(task.file);
  ASSIGN_OR_RETURN(auto rows, database_.Prepare("SELECT outbox_file FROM trained"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) break;
    known.insert(folder_.Outbox() / rows.Text(0));
  }
  ASSIGN_OR_RETURN(const auto files, ListFolder(folder_.Outbox()));
  for (const FolderEntry& file : files) {
    if (!known.contains(file.path)) RETURN_IF_ERROR(Remove(file.path));
  }
  return absl::OkStatus();
}

// Removes what optimizers remember of runs that have ended, or that nobody knows.
absl::Status SiteState::SweepOptimizers() {
  if (!Exists(folder_.Optimizer())) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto folders, ListFolder(folder_.Optimizer()));
  for (const FolderEntry& folder : folders) {
    ASSIGN_OR_RETURN(const auto run, FindRun(RunId(folder.path.filename().string())));
    if (!run || !run->outcome.empty()) RETURN_IF_ERROR(RemoveTree(folder.path));
  }
  return absl::OkStatus();
}

absl::Status SiteState::RecordTaskBegun(const wire::UploadHeader& header, std::uint64_t seed,
                                        Time now) {
  const std::lock_guard lock(mutex_);
  return database_.Execute(
      "INSERT OR REPLACE INTO task (run, round, attempt, kind, state, base_model, seed, began_us,"
      " changed_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      header.key.run.value, header.key.round, header.key.attempt, header.kind, TaskState::kTraining,
      ByteView(header.base_model.bytes), static_cast<std::int64_t>(seed), Micros(now), Micros(now));
}

absl::Status SiteState::RecordSealed(const OutboxFile& update,
                                     const crypto::X25519PublicKey& recipient, Time now) {
  const std::lock_guard lock(mutex_);
  const wire::UploadHeader& header = update.header();
  RETURN_IF_ERROR(database_.Execute(
      "UPDATE task SET state = ?, plaintext_size = ?, weight = ?, loss = ?, train_seconds = ?,"
      " layout_header = ?, envelope_header = ?, recipient = ?, sha256 = ?, outbox_file = ?,"
      " proof_signature = ?, changed_us = ? WHERE run = ? AND round = ? AND attempt = ? AND state "
      "= ?",
      TaskState::kSealed, header.plaintext_size, header.weight, header.loss, header.train_seconds,
      AsBytes(header.layout_header), ByteView(header.envelope_header), ByteView(recipient),
      ByteView(update.sha256().bytes), update.path().filename().string(),
      ByteView(header.proof.signature), Micros(now), header.key.run.value, header.key.round,
      header.key.attempt, TaskState::kTraining));
  ASSIGN_OR_RETURN(const auto tasks,
                   SelectTasks("WHERE run = ? AND round = ? AND attempt = ?", header.key));
  if (!tasks.empty() && tasks.front().state == TaskState::kSealed) return absl::OkStatus();
  Remove(update.path()).IgnoreError();
  return absl::CancelledError("the attempt was closed while its update was being sealed");
}

absl::Status SiteState::RecordAcknowledged(const AttemptKey& key, Time now) {
  const std::lock_guard lock(mutex_);
  // Only forwards: the coordinator may have closed the attempt before its receipt was read.
  return database_.Execute(
      "UPDATE task SET state = ?, changed_us = ?"
      " WHERE run = ? AND round = ? AND attempt = ? AND state = ?",
      TaskState::kAcknowledged, Micros(now), key.run.value, key.round, key.attempt,
      TaskState::kSealed);
}

absl::Status SiteState::CloseTask(const AttemptKey& key, TaskState end, const std::string& reason,
                                  Time now) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto tasks,
                   SelectTasks("WHERE run = ? AND round = ? AND attempt = ?", key));
  const bool delivered = !tasks.empty() && (tasks.front().state == TaskState::kAcknowledged ||
                                            tasks.front().state == TaskState::kCounted);
  if (end == TaskState::kFailed && delivered) return absl::OkStatus();
  std::vector<TrainedRecord> trained;
  if (end == TaskState::kCounted) {
    ASSIGN_OR_RETURN(trained, SelectTrained(key.run, key.round));
  }
  RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(
        database_.Execute("UPDATE task SET state = ?, reason = ?, outbox_file = '', changed_us = ?"
                          " WHERE run = ? AND round = ? AND attempt = ?",
                          end, reason, Micros(now), key.run.value, key.round, key.attempt));
    return trained.empty() ? absl::OkStatus() : DeleteTrained(key.run, key.round);
  }));
  RemoveFiles(tasks, trained);
  return absl::OkStatus();
}

absl::Status SiteState::CloseOlderTasks(const AttemptKey& newest, Time now) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto tasks, SelectTasks("WHERE run = ? AND round <= ? AND attempt >= ?",
                                           {newest.run, newest.round, 0}));
  std::erase_if(tasks, [&](const TaskRecord& task) {
    return task.state > TaskState::kAcknowledged || !(task.header.key < newest);
  });
  std::vector<TrainedRecord> trained;
  if (newest.round > 0) {
    ASSIGN_OR_RETURN(trained, SelectTrained(newest.run, newest.round - 1));
  }
  if (tasks.empty() && trained.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(database_.Execute(
        "UPDATE task SET state = ?, reason = 'a newer attempt began', outbox_file = '',"
        " changed_us = ? WHERE run = ? AND state <= ? AND (round < ? OR (round = ? AND attempt < "
        "?))",
        TaskState::kNotCounted, Micros(now), newest.run.value, TaskState::kAcknowledged,
        newest.round, newest.round, newest.attempt));
    return trained.empty() ? absl::OkStatus() : DeleteTrained(newest.run, newest.round - 1);
  }));
  RemoveFiles(tasks, trained);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TaskRecord>> SiteState::SelectTasks(std::string_view where,
                                                               const AttemptKey& key) {
  ASSIGN_OR_RETURN(auto rows, database_.Prepare(StrCat(kTaskColumns, where,
                                                       " ORDER BY began_us, run, round, attempt")));
  rows.Bind(key.run.value, key.round, key.attempt);
  std::vector<TaskRecord> tasks;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return tasks;
    tasks.push_back(ReadTask(rows, folder_.Outbox()));
  }
}

absl::StatusOr<std::optional<TaskRecord>> SiteState::FindTask(const AttemptKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto tasks, SelectTasks("WHERE run = ? AND round = ? AND attempt = ?", key));
  if (tasks.empty()) return std::optional<TaskRecord>();
  return std::optional<TaskRecord>(std::move(tasks.front()));
}

absl::StatusOr<std::vector<TaskRecord>> SiteState::Tasks() {
  const std::lock_guard lock(mutex_);
  return SelectTasks("WHERE run >= ? AND round >= ? AND attempt >= ?", AttemptKey{});
}

absl::StatusOr<bool> SiteState::TrainedElsewhere(const AttemptKey& key, const ModelId& base,
                                                 std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT 1 FROM task WHERE run = ? AND round <> ?"
                                               " AND base_model = ? AND seed = ? LIMIT 1"));
  row.Bind(key.run.value, key.round, ByteView(base.bytes), static_cast<std::int64_t>(seed));
  return row.Step();
}

// ---- what was trained

absl::Status SiteState::RecordTrained(const TrainedRecord& trained, Time now) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(
      database_.Execute("INSERT OR REPLACE INTO trained SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
                        " WHERE NOT EXISTS (SELECT 1 FROM run WHERE run = ? AND outcome <> '')",
                        trained.run.value, trained.round, ByteView(trained.base.bytes),
                        static_cast<std::int64_t>(trained.seed), trained.patients, trained.examples,
                        trained.loss, trained.seconds, AsBytes(trained.layout_header),
                        trained.file.filename().string(), Micros(now), trained.run.value));
  ASSIGN_OR_RETURN(const auto kept, SelectTrained(trained.run, trained.round));
  if (!kept.empty() && kept.back().round == trained.round) return absl::OkStatus();
  Remove(trained.file).IgnoreError();
  return absl::CancelledError("the run ended while its update was being kept");
}

absl::StatusOr<std::vector<TrainedRecord>> SiteState::SelectTrained(const RunId& run,
                                                                    std::uint32_t last) {
  ASSIGN_OR_RETURN(
      auto rows, database_.Prepare("SELECT run, round, base_model, seed, patients, examples, loss,"
                                   " seconds, layout_header, outbox_file FROM trained"
                                   " WHERE run = ? AND round <= ? ORDER BY round"));
  rows.Bind(run.value, last);
  std::vector<TrainedRecord> records;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return records;
    records.push_back({RunId(rows.Text(0)), static_cast<std::uint32_t>(rows.Int(1)),
                       ToDigest(rows.Blob(2)), static_cast<std::uint64_t>(rows.Int(3)),
                       static_cast<std::uint64_t>(rows.Int(4)),
                       static_cast<std::uint64_t>(rows.Int(5)), rows.Real(6), rows.Real(7),
                       std::string(AsText(rows.Blob(8))), folder_.Outbox() / rows.Text(9)});
  }
}

absl::Status SiteState::DeleteTrained(const RunId& run, std::uint32_t last) {
  return database_.Execute("DELETE FROM trained WHERE run = ? AND round <= ?", run.value, last);
}

absl::StatusOr<std::optional<TrainedRecord>> SiteState::FindTrained(const RunId& run,
                                                                    std::uint32_t round,
                                                                    const ModelId& base,
                                                                    std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto records, SelectTrained(run, round));
  if (records.empty()) return std::optional<TrainedRecord>();
  TrainedRecord& last = records.back();
  const bool same = last.round == round && last.base == base && last.seed == seed;
  return same ? std::optional(std::move(last)) : std::nullopt;
}

absl::Status SiteState::ForgetTrained(const RunId& run, std::uint32_t round) {
  const std::lock_guard lock(mutex_);
  return database_.Execute("DELETE FROM trained WHERE run = ? AND round = ?", run.value, round);
}

}  // namespace consilium::site_agent
