// The tables, the federation and models. Members are in ledger_members.cpp, runs in
// ledger_runs.cpp, the audit log in ledger_log.cpp, JSON in ledger_json.cpp.

#include "coordinator/ledger.h"

#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {

const storage::Migrations kLedgerMigrations = {R"(
  CREATE TABLE federation (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, created INTEGER NOT NULL);
  CREATE TABLE members (
    certificate TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, enrolled INTEGER NOT NULL,
    revoked INTEGER);
  CREATE UNIQUE INDEX members_active ON members (name) WHERE revoked IS NULL;
  CREATE TABLE invitations (
    token_hash TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, made INTEGER NOT NULL,
    expires INTEGER NOT NULL, used INTEGER);
  CREATE TABLE plans (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, toml TEXT NOT NULL, at_specificity REAL NOT NULL);
  CREATE TABLE runs (
    run TEXT PRIMARY KEY, number INTEGER NOT NULL, plan_name TEXT NOT NULL,
    plan TEXT NOT NULL REFERENCES plans (hash), researcher TEXT NOT NULL, submitted INTEGER NOT NULL,
    started INTEGER NOT NULL DEFAULT 0, ended INTEGER, phase INTEGER NOT NULL DEFAULT 0,
    round INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0, parameters INTEGER NOT NULL DEFAULT 0,
    base TEXT, candidate TEXT, best TEXT, best_round INTEGER NOT NULL DEFAULT 0,
    best_auroc REAL NOT NULL DEFAULT 0, stop_reason TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '', failed INTEGER NOT NULL DEFAULT 0, published TEXT,
    last_sequence INTEGER NOT NULL DEFAULT 0, UNIQUE (plan_name, number));
  CREATE TABLE participation (
    run TEXT NOT NULL REFERENCES runs (run), site TEXT NOT NULL, invite INTEGER NOT NULL, reason TEXT NOT NULL,
    train_patients INTEGER NOT NULL, train_examples INTEGER NOT NULL, refused_files INTEGER NOT NULL,
    PRIMARY KEY (run, site)) WITHOUT ROWID;
  CREATE TABLE rounds (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, opened INTEGER NOT NULL, closed INTEGER,
    candidate TEXT, PRIMARY KEY (run, round)) WITHOUT ROWID;
  CREATE TABLE attempts (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    opened INTEGER NOT NULL, closed INTEGER, failure TEXT,
    PRIMARY KEY (run, round, attempt)) WITHOUT ROWID;
  CREATE TABLE contributions (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT NOT NULL,
    state INTEGER NOT NULL, reason TEXT NOT NULL DEFAULT '', weight REAL, loss REAL, train_seconds REAL,
    upload_seconds REAL, bytes INTEGER, PRIMARY KEY (run, round, attempt, site)) WITHOUT ROWID;
  CREATE TABLE models (
    model TEXT PRIMARY KEY, stage INTEGER NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL, parent TEXT,
    file_size INTEGER NOT NULL, parameters INTEGER NOT NULL, created INTEGER NOT NULL,
    record TEXT NOT NULL DEFAULT '');
  CREATE TABLE evaluations (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, model TEXT NOT NULL, split INTEGER NOT NULL,
    site TEXT NOT NULL, sums TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (run, round, model, split, site));
  CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (run), sequence INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,
    round INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT NOT NULL, text TEXT NOT NULL,
    "values" TEXT NOT NULL, PRIMARY KEY (run, sequence)) WITHOUT ROWID;
  CREATE TABLE audit (
    entry INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL);
)",
                                               // Members have keys of their own and are admitted
                                               // by a roster; the log is a chain. Members of
                                               // before enrol again.
                                               R"(
  ALTER TABLE federation ADD COLUMN certificate_life INTEGER NOT NULL DEFAULT 7776000000000;
  DROP INDEX members_active;
  DROP TABLE members;
  CREATE TABLE members (
    tls_key TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, signing_key TEXT NOT NULL,
    enrolled INTEGER NOT NULL, admitted INTEGER, revoked INTEGER, weight_cap REAL NOT NULL DEFAULT 0);
  ALTER TABLE invitations ADD COLUMN weight_cap REAL NOT NULL DEFAULT 0;
  CREATE UNIQUE INDEX members_active ON members (name) WHERE revoked IS NULL;
  CREATE TABLE rosters (
    version INTEGER PRIMARY KEY, hash TEXT NOT NULL, file TEXT NOT NULL, accepted INTEGER NOT NULL);
  ALTER TABLE runs ADD COLUMN nonce TEXT;
  ALTER TABLE runs ADD COLUMN signature TEXT NOT NULL DEFAULT '';
  ALTER TABLE runs ADD COLUMN evaluation_attempt INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN opening INTEGER NOT NULL DEFAULT 0;
  CREATE UNIQUE INDEX runs_nonce ON runs (nonce);
  CREATE TABLE pooled_evaluations (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, model TEXT NOT NULL, split INTEGER NOT NULL,
    sites TEXT NOT NULL, sums TEXT NOT NULL, compared INTEGER NOT NULL, worse INTEGER NOT NULL,
    PRIMARY KEY (run, round, model, split));
  CREATE TABLE survivor_signatures (
    run TEXT NOT NULL REFERENCES runs (run), round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    site TEXT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY (run, round, attempt, site)) WITHOUT ROWID;
  ALTER TABLE audit RENAME TO audit_unchained;
  CREATE TABLE log (
    number INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, details TEXT NOT NULL, head TEXT NOT NULL);
  CREATE INDEX log_subject ON log (subject);
  CREATE TABLE log_signatures (
    site TEXT NOT NULL, number INTEGER NOT NULL, head TEXT NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (site, number)) WITHOUT ROWID;
)",
                                               // A restart goes on inside the attempt; who took
                                               // part in what, and why files were refused.
                                               R"(
  CREATE TABLE work (
    run TEXT NOT NULL REFERENCES runs (run), number INTEGER NOT NULL, kind INTEGER NOT NULL,
    record TEXT NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID;
  ALTER TABLE runs ADD COLUMN steps INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE participation ADD COLUMN refusals TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE contributions ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE contributions ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE contributions ADD COLUMN trained_patients INTEGER;
  ALTER TABLE contributions ADD COLUMN trained_examples INTEGER;
  ALTER TABLE contributions ADD COLUMN trained_seconds REAL;
  ALTER TABLE contributions ADD COLUMN trained_before INTEGER;
  UPDATE contributions SET uploaded = bytes IS NOT NULL,
    asked = state != 4 OR bytes IS NOT NULL OR EXISTS (
      SELECT 1 FROM events e WHERE e.run = contributions.run AND e.round = contributions.round AND
      e.attempt = contributions.attempt AND e.site = contributions.site AND e.kind = 7);
)",
                                               // Masked sums are too many for a text.
                                               "ALTER TABLE work ADD COLUMN sums BLOB;",
                                               // What sites' images are together, as it may be
                                               // shown.
                                               R"(
  CREATE TABLE descriptions (
    run TEXT PRIMARY KEY REFERENCES runs (run), sites TEXT NOT NULL, shown TEXT NOT NULL);
)"};

namespace {

constexpr char kModelColumns[] =
    "model, stage, run, round, parent, file_size, parameters, created, record";

absl::StatusOr<ModelEntry> ModelAt(const storage::Statement& row) {
  ModelEntry model;
  ASSIGN_OR_RETURN(model.id, DigestAt(row, 0));
  model.stage = static_cast<ModelStage>(row.Int(1));
  model.run = RunId(row.Text(2));
  model.round = static_cast<std::uint32_t>(row.Int(3));
  ASSIGN_OR_RETURN(model.parent, OptionalDigestAt(row, 4));
  model.file_size = static_cast<std::uint64_t>(row.Int(5));
  model.parameters = static_cast<std::uint64_t>(row.Int(6));
  model.created = FromMicros(row.Int(7));
  model.record_json = row.Text(8);
  return model;
}

}  // namespace

std::string_view Name(ModelStage stage) {
  switch (stage) {
    case ModelStage::kInitial:
      return "initial";
    case ModelStage::kCandidate:
      return "candidate";
    case ModelStage::kPublished:
      return "published";
    case ModelStage::kWithdrawn:
      return "withdrawn";
  }
  return "";
}

absl::StatusOr<Digest> DigestAt(const storage::Statement& row, int column) {
  auto digest = Digest::FromHex(row.Text(column));
  if (!digest.ok()) return absl::DataLossError("the ledger holds a hash that is not one");
  return digest;
}

absl::StatusOr<std::optional<ModelId>> OptionalDigestAt(const storage::Statement& row, int column) {
  if (row.IsNull(column)) return std::optional<ModelId>();
  ASSIGN_OR_RETURN(Digest digest, DigestAt(row, column));
  return std::optional<ModelId>(digest);
}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;
Ledger::~Ledger() = default;

absl::StatusOr<Ledger> Ledger::Open(const fs::path& file) {
  ASSIGN_OR_RETURN(auto database, storage::Database::Open(file, kLedgerMigrations));
  return Ledger(std::make_unique<Impl>(std::move(database)));
}

// ---- federation

absl::Status Ledger::SetFederation(std::string_view name, Time now) {
  const auto held = FederationName();
  if (held.ok() && *held == name) return absl::OkStatus();
  if (held.ok()) {
    return absl::FailedPreconditionError(
        StrCat("this ledger belongs to the federation \"", *held, "\", not to \"", name,
               "\": use another state folder for another federation"));
  }
  if (held.status().code() != absl::StatusCode::kNotFound) return held.status();
  return impl_->db.Execute("INSERT INTO federation (one, name, created) VALUES (1, ?, ?)", name,
                           ToMicros(now));
}

absl::StatusOr<std::string> Ledger::FederationName() {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT name FROM federation"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("this ledger has no federation yet: create one first");
  return row.Text(0);
}

// ---- models

absl::Status Ledger::AddModel(const ModelEntry& model) {
  return impl_->db.Execute(
      StrCat("INSERT INTO models (", kModelColumns,
             ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model) DO NOTHING"),
      model.id.Hex(), model.stage, model.run.value, model.round, HexOrNull(model.parent),
      model.file_size, model.parameters, ToMicros(model.created), model.record_json);
}

absl::Status Ledger::SetStage(const ModelId& model, ModelStage stage,
                              std::string_view record_json) {
  return impl_->db.Transact([&] { return impl_->ChangeStage(model, stage, record_json); });
}

absl::Status Ledger::Impl::ChangeStage(const ModelId& model, ModelStage stage,
                                       std::string_view record_json) {
  ASSIGN_OR_RETURN(auto row, db.Prepare("SELECT stage FROM models WHERE model = ?"));
  row.Bind(model.Hex());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError(StrCat("no model ", model.Short(), " is in the registry"));
  const auto held = static_cast<ModelStage>(row.Int(0));
  if (held == stage) return absl::OkStatus();
  const bool possible = (held == ModelStage::kCandidate && stage == ModelStage::kPublished) ||
                        (held == ModelStage::kPublished && stage == ModelStage::kWithdrawn);
  if (!possible) {
    return absl::FailedPreconditionError(
        StrCat("model ", model.Short(), " is ", Name(held), " and cannot become ", Name(stage)));
  }
  return db.Execute(
      "UPDATE models SET stage = ?1, record = CASE ?2 WHEN '' THEN record ELSE ?2 END "
      "WHERE model = ?3",
      stage, record_json, model.Hex());
}

absl::StatusOr<ModelEntry> Ledger::FindModel(std::string_view hex) {
  if (hex.size() < 4 || hex.size() > 64 ||
      hex.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat("\"", hex.substr(0, 64),
               "\" is no model: give 4 to 64 of the hexadecimal characters of its hash"));
  }
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kModelColumns,
                                                      " FROM models WHERE model >= ?1 AND "
                                                      "substr(model, 1, ?2) = ?1 LIMIT 2")));
  row.Bind(hex, hex.size());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError(StrCat("no model in the registry begins with ", hex));
  ASSIGN_OR_RETURN(ModelEntry model, ModelAt(row));
  ASSIGN_OR_RETURN(const bool another, row.Step());
  if (another) {
    return absl::InvalidArgumentError(
        StrCat("several models begin with ", hex, ": give more characters of the hash"));
  }
  return model;
}

absl::StatusOr<std::vector<ModelEntry>> Ledger::ListModels() {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare(StrCat("SELECT ", kModelColumns,
                                            " FROM models ORDER BY created DESC, rowid DESC")));
  std::vector<ModelEntry> models;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return models;
    ASSIGN_OR_RETURN(ModelEntry model, ModelAt(row));
    models.push_back(std::move(model));
  }
}

}  // namespace consilium::coordinator
