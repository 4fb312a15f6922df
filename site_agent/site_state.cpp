#include "site_agent/site_state.h"

#include <charconv>
#include <utility>

#include "common/base/status.h"
#include "common/metrics/task_sums.h"
#include "site_agent/site_state_rows.h"

namespace consilium::site_agent {
namespace {

const storage::Migrations kMigrations = {R"sql(
CREATE TABLE run (
  run TEXT PRIMARY KEY,
  plan_toml TEXT NOT NULL,
  accepted INTEGER NOT NULL,
  reason TEXT NOT NULL,
  outcome TEXT NOT NULL DEFAULT '',
  published_model BLOB,
  seen_us INTEGER NOT NULL,
  ended_us INTEGER
);
CREATE TABLE task (
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  state INTEGER NOT NULL,
  base_model BLOB NOT NULL,
  seed INTEGER NOT NULL,
  plaintext_size INTEGER NOT NULL DEFAULT 0,
  weight REAL NOT NULL DEFAULT 0,
  loss REAL NOT NULL DEFAULT 0,
  train_seconds REAL NOT NULL DEFAULT 0,
  layout_header BLOB NOT NULL DEFAULT x'',
  envelope_header BLOB NOT NULL DEFAULT x'',
  recipient BLOB NOT NULL DEFAULT x'',
  sha256 BLOB NOT NULL DEFAULT x'',
  outbox_file TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  began_us INTEGER NOT NULL,
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (run, round, attempt)
);
CREATE TABLE evaluation (
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  model BLOB NOT NULL,
  split INTEGER NOT NULL,
  sums_json TEXT NOT NULL,
  seconds REAL NOT NULL,
  made_us INTEGER NOT NULL,
  PRIMARY KEY (run, round, model, split)
);
CREATE TABLE departure (
  number INTEGER PRIMARY KEY,
  time_us INTEGER NOT NULL,
  receiver TEXT NOT NULL,
  what TEXT NOT NULL,
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  UNIQUE (what, run, round, attempt, sha256)
);
CREATE TRIGGER departure_kept BEFORE DELETE ON departure
  BEGIN SELECT RAISE(ABORT, 'the ledger of what left the building is append-only'); END;
CREATE TRIGGER departure_fixed BEFORE UPDATE ON departure
  BEGIN SELECT RAISE(ABORT, 'the ledger of what left the building is append-only'); END;
)sql",
                                         R"sql(
ALTER TABLE run ADD COLUMN researcher TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN train_patients INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN train_examples INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN refused_files INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN proof_signature BLOB NOT NULL DEFAULT x'';
CREATE TABLE submission (
  nonce BLOB PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  plan BLOB NOT NULL,
  researcher TEXT NOT NULL
);
CREATE TABLE secure_session (
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  purpose INTEGER NOT NULL,
  state INTEGER NOT NULL,
  context BLOB NOT NULL,
  model BLOB NOT NULL,
  sealed BLOB NOT NULL,
  reason TEXT NOT NULL,
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (run, round, attempt, purpose)
);
CREATE TABLE unmasking (
  transcript BLOB PRIMARY KEY,
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  purpose INTEGER NOT NULL,
  model BLOB NOT NULL,
  sharers TEXT NOT NULL,
  survivors TEXT NOT NULL,
  made_us INTEGER NOT NULL
);
CREATE TABLE release (
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  purpose INTEGER NOT NULL,
  model BLOB NOT NULL,
  survivors TEXT NOT NULL,
  PRIMARY KEY (run, round, purpose, model)
);
CREATE TRIGGER unmasking_kept BEFORE DELETE ON unmasking
  BEGIN SELECT RAISE(ABORT, 'an unmasking is never forgotten'); END;
CREATE TRIGGER unmasking_fixed BEFORE UPDATE ON unmasking
  BEGIN SELECT RAISE(ABORT, 'an unmasking is never changed'); END;
CREATE TRIGGER release_kept BEFORE DELETE ON release
  BEGIN SELECT RAISE(ABORT, 'a release is never forgotten'); END;
CREATE TRIGGER release_fixed BEFORE UPDATE ON release
  BEGIN SELECT RAISE(ABORT, 'a release is never changed'); END;
CREATE TABLE log_head (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  number INTEGER NOT NULL,
  head BLOB NOT NULL,
  fork TEXT NOT NULL
);
)sql",
                                         R"sql(
ALTER TABLE run ADD COLUMN refusals TEXT NOT NULL DEFAULT '';
CREATE TABLE trained (
  run TEXT NOT NULL,
  round INTEGER NOT NULL,
  base_model BLOB NOT NULL,
  seed INTEGER NOT NULL,
  patients INTEGER NOT NULL,
  examples INTEGER NOT NULL,
  loss REAL NOT NULL,
  seconds REAL NOT NULL,
  layout_header BLOB NOT NULL,
  outbox_file TEXT NOT NULL,
  made_us INTEGER NOT NULL,
  PRIMARY KEY (run, round)
);
)sql",
                                         R"sql(
CREATE TABLE description (
  question BLOB PRIMARY KEY,
  sums BLOB NOT NULL,
  made_us INTEGER NOT NULL
);
)sql",
                                         R"sql(
CREATE TABLE preparation (
  run TEXT PRIMARY KEY,
  question BLOB NOT NULL,
  sums BLOB NOT NULL,
  made_us INTEGER NOT NULL
);
)sql"};

// "9 burned-in-annotation", one reason a line.
std::string ToText(const std::map<std::string, std::uint64_t>& refusals) {
  std::string text;
  for (const auto& [reason, files] : refusals) StrAppend(&text, files, " ", reason, "\n");
  return text;
}

std::map<std::string, std::uint64_t> ToRefusals(std::string_view text) {
  std::map<std::string, std::uint64_t> refusals;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t space = line.find(' ');
    std::uint64_t files = 0;
    std::from_chars(line.data(), line.data() + std::min(space, line.size()), files);
    if (space != std::string_view::npos) refusals[std::string(line.substr(space + 1))] = files;
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return refusals;
}

constexpr std::string_view kRunColumns =
    "SELECT run, plan_toml, accepted, reason, outcome, published_model, seen_us, researcher,"
    " train_patients, train_examples, refused_files, refusals FROM run ";

RunRecord ReadRun(const storage::Statement& row) {
  RunRecord run;
  run.run = RunId(row.Text(0));
  run.plan_toml = row.Text(1);
  run.consent = static_cast<Consent>(row.Int(2));
  run.reason = row.Text(3);
  run.outcome = row.Text(4);
  if (!row.IsNull(5)) run.published_model = ToDigest(row.Blob(5));
  run.seen = FromMicros(row.Int(6));
  run.researcher = row.Text(7);
  run.train_patients = static_cast<std::uint64_t>(row.Int(8));
  run.train_examples = static_cast<std::uint64_t>(row.Int(9));
  run.refused_files = static_cast<std::uint64_t>(row.Int(10));
  run.refusals = ToRefusals(row.Text(11));
  return run;
}

}  // namespace

std::string_view Name(Consent consent) {
  switch (consent) {
    case Consent::kDeclined:
      return "declined";
    case Consent::kAccepted:
      return "accepted";
    case Consent::kWaiting:
      return "waiting";
  }
  return "unknown";
}

SiteState::SiteState(SiteFolder folder, storage::Database database, std::optional<FolderLock> lock)
    : folder_(std::move(folder)), lock_(std::move(lock)), database_(std::move(database)) {}

absl::StatusOr<std::unique_ptr<SiteState>> SiteState::Open(const fs::path& root, Access access) {
  SiteFolder folder{root};
  std::optional<FolderLock> lock;
  if (access == Access::kOwn) {
    ASSIGN_OR_RETURN(lock, FolderLock::Acquire(root));
    for (const fs::path& sub :
         {folder.Models(), folder.Published(), folder.Outbox(), folder.Cache()}) {
      RETURN_IF_ERROR(EnsureFolder(sub));
    }
  } else if (!Exists(folder.Database())) {
    return absl::NotFoundError(StrCat("\"", root.filename().string(),
                                      "\" is not a site's state folder: it has no site.db"));
  }
  ASSIGN_OR_RETURN(auto database, storage::Database::Open(folder.Database(), kMigrations));
  // What is erased (a session's sealed secrets) is overwritten.
  RETURN_IF_ERROR(database.Execute("PRAGMA secure_delete = ON"));
  std::unique_ptr<SiteState> state(
      new SiteState(std::move(folder), std::move(database), std::move(lock)));
  if (access == Access::kOwn) {
    RETURN_IF_ERROR(state->SweepOutbox());
    RETURN_IF_ERROR(state->SweepOptimizers());
  }
  return state;
}

absl::Status SiteState::BindPlan(const wire::Invite& invite, const PlanHash& plan) {
  const std::lock_guard lock(mutex_);
  return database_.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(database_.Execute("INSERT OR IGNORE INTO submission VALUES (?, ?, ?, ?)",
                                      ByteView(invite.nonce), invite.run.value,
                                      ByteView(plan.bytes), invite.researcher));
    ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT nonce, plan, researcher FROM submission"
                                                 " WHERE run = ?"));
    ASSIGN_OR_RETURN(const bool found, row.Bind(invite.run.value).Step());
    if (!found) {
      return absl::PermissionDeniedError(
          "the plan's signature was already used for another run: a plan that is submitted again "
          "must be signed again");
    }
    if (ToArray<wire::PlanNonce>(row.Blob(0)) != invite.nonce || ToDigest(row.Blob(1)) != plan ||
        row.Text(2) != invite.researcher) {
      return absl::PermissionDeniedError(
          StrCat("the plan of run ", invite.run.value,
                 " is not the one this site was first shown: a changed plan is a new run"));
    }
    return absl::OkStatus();
  });
}

absl::Status SiteState::RecordInvite(const wire::Invite& invite, Consent consent,
                                     const wire::InviteAnswer& answer, Time now) {
  const std::lock_guard lock(mutex_);
  return database_.Execute(
      "INSERT INTO run (run, plan_toml, accepted, reason, seen_us, researcher, train_patients,"
      " train_examples, refused_files, refusals) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (run) DO UPDATE SET plan_toml = excluded.plan_toml,"
      " accepted = excluded.accepted, reason = excluded.reason, researcher = excluded.researcher,"
      " train_patients = excluded.train_patients, train_examples = excluded.train_examples,"
      " refused_files = excluded.refused_files, refusals = excluded.refusals",
      invite.run.value, invite.plan_toml, consent, answer.reason, Micros(now), invite.researcher,
      answer.train_patients, answer.train_examples, answer.refused_files, ToText(answer.refusals));
}

absl::Status SiteState::RecordRunEnded(const wire::RunEnded& ended, Time now) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto tasks, SelectTasks("WHERE run = ? AND round >= ? AND attempt >= ?",
                                                 AttemptKey{ended.run, 0, 0}));
  ASSIGN_OR_RETURN(const auto trained, SelectTrained(ended.run, kEveryRound));
  std::optional<ByteView> published;
  if (ended.published_model) published = ByteView(ended.published_model->bytes);
  RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(database_.Execute(
        "UPDATE task SET state = ?, reason = 'the run ended', outbox_file = '', changed_us = ?"
        " WHERE run = ? AND state <= ?",
        TaskState::kNotCounted, Micros(now), ended.run.value, TaskState::kAcknowledged));
    RETURN_IF_ERROR(EraseSessions(ended.run, std::nullopt, now));
    RETURN_IF_ERROR(DeleteTrained(ended.run, kEveryRound));
    RETURN_IF_ERROR(database_.Execute("DELETE FROM preparation WHERE run = ?", ended.run.value));
    return database_.Execute(
        "UPDATE run SET outcome = ?, published_model = ?, ended_us = ? WHERE run = ?",
        ended.outcome.empty() ? "ended" : ended.outcome, published, Micros(now), ended.run.value);
  }));
  for (const TaskRecord& task : tasks) {
    if (!task.file.empty()) Remove(task.file).IgnoreError();
  }
  for (const TrainedRecord& update : trained) Remove(update.file).IgnoreError();
  RemoveSpare(folder_.Outbox());
  RemoveTree(folder_.Optimizer() / ended.run.value).IgnoreError();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RunRecord>> SiteState::FindRun(const RunId& run) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare(StrCat(kRunColumns, "WHERE run = ?")));
  ASSIGN_OR_RETURN(const bool found, row.Bind(run.value).Step());
  if (!found) return std::optional<RunRecord>();
  return std::optional<RunRecord>(ReadRun(row));
}

absl::StatusOr<plan::Plan> SiteState::PlanOf(const RunRecord& run) {
  constexpr std::size_t kMost = 16;
  const std::lock_guard lock(mutex_);
  if (const auto known = plans_.find(run.run);
      known != plans_.end() && known->second.first == run.plan_toml) {
    return known->second.second;
  }
  ASSIGN_OR_RETURN(plan::Plan plan, plan::ParsePlan(run.plan_toml));
  if (plans_.size() >= kMost) plans_.clear();
  plans_.insert_or_assign(run.run, std::pair(run.plan_toml, plan));
  return plan;
}

absl::StatusOr<std::vector<RunRecord>> SiteState::Runs() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto rows, database_.Prepare(StrCat(kRunColumns, "ORDER BY seen_us, run")));
  std::vector<RunRecord> runs;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return runs;
    runs.push_back(ReadRun(rows));
  }
}

absl::Status SiteState::RecordEvaluation(const wire::EvaluationReport& report, Time now) {
  const std::lock_guard lock(mutex_);
  return database_.Execute("INSERT OR REPLACE INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?)",
                           report.run.value, report.round, ByteView(report.model.bytes),
                           report.split, metrics::ToJson(report.sums), report.seconds, Micros(now));
}

absl::StatusOr<std::optional<wire::EvaluationReport>> SiteState::FindEvaluation(
    const wire::EvaluateRequest& request) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row,
                   database_.Prepare("SELECT sums_json, seconds FROM evaluation"
                                     " WHERE run = ? AND round = ? AND model = ? AND split = ?"));
  row.Bind(request.run.value, request.round, ByteView(request.model.bytes), request.split);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<wire::EvaluationReport>();
  ASSIGN_OR_RETURN(metrics::TaskSums sums, metrics::TaskSumsFromJson(row.Text(0)));
  wire::EvaluationReport report{request.run,   request.round,   request.model,
                                request.split, std::move(sums), row.Real(1)};
  return std::optional<wire::EvaluationReport>(std::move(report));
}

absl::Status SiteState::RecordDeparture(const Departure& departure) {
  const std::lock_guard lock(mutex_);
  return database_.Execute(
      "INSERT OR IGNORE INTO departure (time_us, receiver, what, run, round, attempt, bytes, "
      "sha256)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      Micros(departure.time), departure.receiver, departure.what, departure.key.run.value,
      departure.key.round, departure.key.attempt, departure.bytes,
      ByteView(departure.sha256.bytes));
}

absl::StatusOr<std::vector<Departure>> SiteState::Departures() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto rows,
                   database_.Prepare("SELECT time_us, receiver, what, run, round, attempt, bytes,"
                                     " sha256 FROM departure ORDER BY number"));
  std::vector<Departure> departures;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rows.Step());
    if (!found) return departures;
    departures.push_back({FromMicros(rows.Int(0)),
                          rows.Text(1),
                          rows.Text(2),
                          {RunId(rows.Text(3)), static_cast<std::uint32_t>(rows.Int(4)),
                           static_cast<std::uint32_t>(rows.Int(5))},
                          static_cast<std::uint64_t>(rows.Int(6)),
                          ToDigest(rows.Blob(7))});
  }
}

}  // namespace consilium::site_agent
