#include "site_agent/prediction_journal.h"

#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

const storage::Migrations kMigrations = {
    "CREATE TABLE scored (model BLOB NOT NULL, instance BLOB NOT NULL, time INTEGER NOT NULL,"
    " PRIMARY KEY (model, instance)) WITHOUT ROWID"};

}  // namespace

absl::StatusOr<PredictionJournal> PredictionJournal::Open(const fs::path& file) {
  ASSIGN_OR_RETURN(storage::Database database, storage::Database::Open(file, kMigrations));
  return PredictionJournal(std::move(database));
}

absl::StatusOr<bool> PredictionJournal::Has(const ModelId& model, const Digest& instance) {
  ASSIGN_OR_RETURN(storage::Statement statement,
                   database_.Prepare("SELECT 1 FROM scored WHERE model = ? AND instance = ?"));
  return statement.Bind(ByteView(model.bytes), ByteView(instance.bytes)).Step();
}

absl::Status PredictionJournal::Add(const ModelId& model, const Digest& instance, Time now) {
  return database_.Execute("INSERT OR IGNORE INTO scored VALUES (?, ?, ?)", ByteView(model.bytes),
                           ByteView(instance.bytes), now.time_since_epoch().count());
}

}  // namespace consilium::site_agent
