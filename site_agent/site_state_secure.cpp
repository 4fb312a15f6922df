// What a site keeps of its secure sessions, and of the coordinator's audit log.

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "site_agent/site_state.h"
#include "site_agent/site_state_rows.h"

namespace consilium::site_agent {
namespace {

// One name a line: the grammar of names has no line break.
std::string ToText(const std::set<SiteId>& sites) {
  return absl::StrJoin(sites, "\n",
                       [](std::string* out, const SiteId& site) { out->append(site.value); });
}

std::set<SiteId> ToSites(const std::string& text) {
  std::set<SiteId> sites;
  for (const absl::string_view name : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    sites.insert(SiteId(std::string(ToStd(name))));
  }
  return sites;
}

// What one site's result would be the same in: a round's update in every attempt, and the sums of
// one model on one split in every round.
std::uint32_t ReleasedRound(const secagg::SessionKey& key) {
  return key.purpose == secagg::Purpose::kTraining ? key.attempt.round : 0;
}

Bytes PackedSums(const std::vector<std::uint64_t>& sums) {
  Bytes packed(8 * sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) StoreLe64(packed.data() + 8 * i, sums[i]);
  return packed;
}

std::vector<std::uint64_t> UnpackedSums(const Bytes& packed) {
  std::vector<std::uint64_t> sums;
  for (std::size_t i = 0; i + 8 <= packed.size(); i += 8) {
    sums.push_back(LoadLe64(packed.data() + i));
  }
  return sums;
}

}  // namespace

absl::Status SiteState::SaveSession(const secagg::SessionKey& key, const SessionRecord& record,
                                    Time now) {
  const std::lock_guard lock(mutex_);
  const AttemptKey& attempt = key.attempt;
  return database_.Execute(
      "INSERT OR REPLACE INTO secure_session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      attempt.run.value, attempt.round, attempt.attempt, key.purpose, record.state,
      ByteView(record.context.bytes), ByteView(record.model.bytes), ByteView(record.sealed),
      record.reason, Micros(now));
}

absl::StatusOr<std::optional<SessionRecord>> SiteState::FindSession(const secagg::SessionKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT state, context, model, sealed, reason"
                                               " FROM secure_session WHERE run = ? AND round = ?"
                                               " AND attempt = ? AND purpose = ?"));
  const AttemptKey& attempt = key.attempt;
  row.Bind(attempt.run.value, attempt.round, attempt.attempt, key.purpose);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<SessionRecord>();
  return std::optional<SessionRecord>({static_cast<SessionState>(row.Int(0)), ToDigest(row.Blob(1)),
                                       ToDigest(row.Blob(2)), row.Blob(3), row.Text(4)});
}

absl::Status SiteState::EndSession(const secagg::SessionKey& key, SessionState end,
                                   const std::string& reason, Time now) {
  const std::lock_guard lock(mutex_);
  const AttemptKey& attempt = key.attempt;
  return database_.Execute(
      "UPDATE secure_session SET state = ?, sealed = x'', reason = ?, changed_us = ?"
      " WHERE run = ? AND round = ? AND attempt = ? AND purpose = ? AND state <= ?",
      end, reason, Micros(now), attempt.run.value, attempt.round, attempt.attempt, key.purpose,
      SessionState::kOpened);
}

absl::Status SiteState::EraseSessions(const RunId& run,
                                      const std::optional<secagg::SessionKey>& except, Time now) {
  const secagg::SessionKey kept = except.value_or(secagg::SessionKey{});
  return database_.Execute(
      "UPDATE secure_session SET state = ?, sealed = x'', reason = ?, changed_us = ?"
      " WHERE run = ? AND state <= ?"
      " AND NOT (run = ? AND round = ? AND attempt = ? AND purpose = ?)",
      SessionState::kClosed, except ? "another session of the run began" : "the run ended",
      Micros(now), run.value, SessionState::kOpened, kept.attempt.run.value, kept.attempt.round,
      kept.attempt.attempt, kept.purpose);
}

absl::Status SiteState::CloseSessions(const RunId& run,
                                      const std::optional<secagg::SessionKey>& except, Time now) {
  const std::lock_guard lock(mutex_);
  return EraseSessions(run, except, now);
}

absl::Status SiteState::RecordUnmasking(const secagg::UnmaskRecord& record, ByteView sealed_answer,
                                        Time now) {
  const std::lock_guard lock(mutex_);
  const AttemptKey& attempt = record.key.attempt;
  const std::string survivors = ToText(record.survivors);
  return database_.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(auto released, SelectRelease(record.key, record.model, now));
    const absl::Status once =
        database_.Execute("INSERT INTO unmasking VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          ByteView(record.transcript.bytes), attempt.run.value, attempt.round,
                          attempt.attempt, record.key.purpose, ByteView(record.model.bytes),
                          ToText(record.sharers), survivors, Micros(now));
    if (absl::IsAlreadyExists(once)) {
      return absl::AlreadyExistsError(
          "this site has given its shares for this very session before, and never does so twice");
    }
    RETURN_IF_ERROR(once);
    if (!released && record.key.purpose != secagg::Purpose::kDescription) {
      RETURN_IF_ERROR(database_.Execute(
          "INSERT INTO release VALUES (?, ?, ?, ?, ?)", attempt.run.value,
          ReleasedRound(record.key), record.key.purpose, ByteView(record.model.bytes), survivors));
    }
    if (released && *released != record.survivors) {
      return absl::PermissionDeniedError(
          "the same quantity was opened before with another set of survivors");
    }
    return database_.Execute(
        "UPDATE secure_session SET state = ?, sealed = ?, changed_us = ?"
        " WHERE run = ? AND round = ? AND attempt = ? AND purpose = ?",
        SessionState::kOpened, sealed_answer, Micros(now), attempt.run.value, attempt.round,
        attempt.attempt, record.key.purpose);
  });
}

absl::StatusOr<std::optional<std::set<SiteId>>> SiteState::SelectRelease(
    const secagg::SessionKey& key, const ModelId& model, Time now) {
  const bool description = key.purpose == secagg::Purpose::kDescription;
  ASSIGN_OR_RETURN(auto row,
                   database_.Prepare(description ? "SELECT survivors FROM unmasking WHERE purpose ="
                                                   " ? AND made_us > ? ORDER BY made_us DESC"
                                                 : "SELECT survivors FROM release WHERE run = ? AND"
                                                   " round = ? AND purpose = ? AND model = ?"));
  if (description) {
    row.Bind(key.purpose, Micros(now - kDescriptionLasts));
  } else {
    row.Bind(key.attempt.run.value, ReleasedRound(key), key.purpose, ByteView(model.bytes));
  }
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<std::set<SiteId>>();
  return std::optional<std::set<SiteId>>(ToSites(row.Text(0)));
}

absl::StatusOr<std::optional<std::set<SiteId>>> SiteState::FindRelease(
    const secagg::SessionKey& key, const ModelId& model, Time now) {
  const std::lock_guard lock(mutex_);
  return SelectRelease(key, model, now);
}

// ---- what its images are, and its table on average

absl::Status SiteState::RecordDescription(const KeptDescription& description) {
  const std::lock_guard lock(mutex_);
  return database_.Execute("INSERT OR REPLACE INTO description VALUES (?, ?, ?)",
                           ByteView(description.question.bytes),
                           ByteView(PackedSums(description.sums)), Micros(description.made));
}

absl::StatusOr<std::vector<KeptDescription>> SiteState::Descriptions(Time now) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT question, sums, made_us FROM description"
                                               " WHERE made_us > ? ORDER BY made_us"));
  row.Bind(Micros(now - kDescriptionLasts));
  std::vector<KeptDescription> descriptions;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return descriptions;
    KeptDescription& kept = descriptions.emplace_back();
    kept.question = ToDigest(row.Blob(0));
    kept.sums = UnpackedSums(row.Blob(1));
    kept.made = FromMicros(row.Int(2));
  }
}

absl::Status SiteState::RecordPreparation(const RunId& run, const Digest& question,
                                          const std::vector<std::uint64_t>& sums, Time now) {
  const std::lock_guard lock(mutex_);
  return database_.Execute("INSERT OR REPLACE INTO preparation VALUES (?, ?, ?, ?)", run.value,
                           ByteView(question.bytes), ByteView(PackedSums(sums)), Micros(now));
}

absl::StatusOr<std::optional<std::vector<std::uint64_t>>> SiteState::FindPreparation(
    const RunId& run, const Digest& question) {
  using Sums = std::optional<std::vector<std::uint64_t>>;
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT sums FROM preparation WHERE run = ? AND "
                                               "question = ?"));
  ASSIGN_OR_RETURN(const bool found, row.Bind(run.value, ByteView(question.bytes)).Step());
  return found ? Sums(UnpackedSums(row.Blob(0))) : Sums();
}

// ---- the audit log

absl::StatusOr<std::optional<LogHead>> SiteState::FindLogHead() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT number, head FROM log_head"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<LogHead>();
  return std::optional<LogHead>({static_cast<std::uint64_t>(row.Int(0)), ToDigest(row.Blob(1))});
}

absl::Status SiteState::RecordLogHead(const LogHead& head) {
  const std::lock_guard lock(mutex_);
  return database_.Execute(
      "INSERT INTO log_head VALUES (1, ?, ?, '')"
      " ON CONFLICT (only) DO UPDATE SET number = excluded.number, head = excluded.head",
      head.number, ByteView(head.head.bytes));
}

absl::StatusOr<std::string> SiteState::LogFork() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto row, database_.Prepare("SELECT fork FROM log_head"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  return found ? row.Text(0) : std::string();
}

absl::Status SiteState::RecordLogFork(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  return database_.Execute("UPDATE log_head SET fork = ?", reason);
}

absl::Status SiteState::ForgetLog() {
  const std::lock_guard lock(mutex_);
  return database_.Execute("DELETE FROM log_head");
}

}  // namespace consilium::site_agent
