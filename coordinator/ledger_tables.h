#pragma once

// The ledger's tables, and how values stand in them: times as microseconds since 1970, digests as
// hexadecimal text. Only for ledger*.cpp.

#include <optional>
#include <string>

#include "common/base/status.h"
#include "common/storage/database.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

extern const storage::Migrations kLedgerMigrations;

// Of a contribution, derived from the events of its run.
enum class ContributionState { kAsked = 1, kReceived = 2, kCounted = 3, kLost = 4 };

struct Ledger::Impl {
  explicit Impl(storage::Database database) : db(std::move(database)) {}

  absl::StatusOr<std::uint64_t> NextSequence(const RunId& run);
  absl::Status SaveState(const RunState& state);
  absl::Status SaveParticipants(const RunState& state);
  absl::Status SaveEvent(const RunId& run, const wire::RunEvent& event);
  absl::Status FollowEvent(const RunId& run, const wire::RunEvent& event);
  absl::Status LoseOpenContributions(const AttemptKey& key, std::string_view reason);
  absl::Status SaveEvaluation(const Evaluation& evaluation);
  absl::Status EndRun(const RunId& run, const wire::RunEvent& ended);
  absl::Status ChangeStage(const ModelId& model, ModelStage stage, std::string_view record_json);

  storage::Database db;
};

inline std::int64_t ToMicros(Time time) { return time.time_since_epoch().count(); }
inline Time FromMicros(std::int64_t micros) { return Time{Duration{micros}}; }
inline std::optional<std::string> HexOrNull(const std::optional<ModelId>& id) {
  return id ? std::optional<std::string>(id->Hex()) : std::nullopt;
}
absl::StatusOr<Digest> DigestAt(const storage::Statement& row, int column);
absl::StatusOr<std::optional<ModelId>> OptionalDigestAt(const storage::Statement& row, int column);

}  // namespace consilium::coordinator
