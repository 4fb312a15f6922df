#pragma once

// The ledger's tables, and how values stand in them: times as microseconds since 1970, digests as
// hexadecimal text. Only for ledger*.cpp.

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/storage/database.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

extern const storage::Migrations kLedgerMigrations;

// Of a contribution, derived from the events of its run.
enum class ContributionState { kAsked = 1, kReceived = 2, kCounted = 3, kLost = 4 };

struct Ledger::Impl {
  explicit Impl(storage::Database database) : db(std::move(database)) {}

  // The last entry of the log; number 0 and zeros when it is empty.
  absl::StatusOr<LogHead> Head();
  // Inside a transaction (Transact is not reentrant).
  absl::Status AppendLog(Time time, std::string_view actor, std::string_view action,
                         std::string_view subject, std::string_view details = {});

  absl::Status CheckNonceIsNew(const wire::PlanNonce& nonce);
  absl::StatusOr<Time> TimeOf(const RunId& run, std::span<const Action> actions);
  absl::Status Keep(const RunId& run, const Action& action, Time time);
  absl::Status KeepSurvivorSignatures(std::span<const Action> actions);
  struct StepMark {
    std::int64_t steps = 0;  // committed so far
    std::uint64_t last_sequence = 0;
  };
  absl::StatusOr<StepMark> LastStep(const RunId& run);
  absl::Status SaveState(const RunState& state);
  absl::Status SaveParticipants(const RunState& state);
  absl::Status SaveEvent(const RunId& run, const wire::RunEvent& event);
  absl::Status FollowEvent(const RunId& run, const wire::RunEvent& event);
  absl::Status CloseCutOffAttempts(const RunId& run, std::int64_t time);
  absl::Status KeepWork(const RunId& run, const WorkRecord& record);
  absl::Status ForgetWork(const RunId& run);
  absl::StatusOr<std::vector<WorkRecord>> LoadWork(const RunId& run);  // kDataLoss names the run
  absl::Status LoseOpenContributions(const AttemptKey& key, std::string_view reason);
  absl::Status SaveEvaluation(const Evaluation& evaluation);
  absl::Status SavePooledEvaluation(const RunId& run, const PooledEvaluation& evaluation);
  absl::Status SaveDescription(const StoreDescription& description);
  absl::Status EndRun(const RunId& run, const wire::RunEvent& ended);
  absl::Status ChangeStage(const ModelId& model, ModelStage stage, std::string_view record_json);

  storage::Database db;
  // Of the run whose step was kept last: only what changed is written again.
  RunId participants_of;
  std::map<SiteId, Participant> participants;
  // A step whose transaction failed, and may have reached the disk nevertheless.
  struct Uncertain {
    RunId run;
    StepMark before;
  };
  std::optional<Uncertain> uncertain;
};

inline std::int64_t ToMicros(Time time) { return time.time_since_epoch().count(); }
inline Time FromMicros(std::int64_t micros) { return Time{Duration{micros}}; }
inline std::optional<std::string> HexOrNull(const std::optional<ModelId>& id) {
  return id ? std::optional<std::string>(id->Hex()) : std::nullopt;
}
absl::StatusOr<Digest> DigestAt(const storage::Statement& row, int column);
absl::StatusOr<std::optional<ModelId>> OptionalDigestAt(const storage::Statement& row, int column);

// A key or signature of `N` bytes in hexadecimal.
template <std::size_t N>
absl::StatusOr<std::array<std::uint8_t, N>> ArrayAt(const storage::Statement& row, int column) {
  const absl::StatusOr<Bytes> bytes = FromHex(row.Text(column));
  if (!bytes.ok() || bytes->size() != N) {
    return absl::DataLossError("the ledger holds a key or signature that is not one");
  }
  std::array<std::uint8_t, N> array;
  std::copy(bytes->begin(), bytes->end(), array.begin());
  return array;
}

}  // namespace consilium::coordinator
