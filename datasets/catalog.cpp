#include "datasets/catalog.h"

#include <algorithm>

#include "common/base/status.h"

namespace consilium::datasets {
namespace {

// own_reason: what the file itself is refused for; standing: what it is refused for beside the
// others and the labels, computed anew by each Index(). `reason` is the one that counts.
const storage::Migrations kMigrations = {R"sql(
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files(
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  own_reason INTEGER NOT NULL,
  own_detail TEXT NOT NULL,
  standing INTEGER NOT NULL DEFAULT 0,
  reason INTEGER GENERATED ALWAYS AS (CASE own_reason WHEN 0 THEN standing ELSE own_reason END),
  sop_instance_uid TEXT NOT NULL,
  series_instance_uid TEXT NOT NULL,
  study_instance_uid TEXT NOT NULL,
  patient_id TEXT NOT NULL,
  modality TEXT NOT NULL,
  view_position TEXT NOT NULL,
  laterality TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  model TEXT NOT NULL,
  transfer_syntax TEXT NOT NULL,
  rows INTEGER NOT NULL,
  columns INTEGER NOT NULL,
  row_spacing_mm REAL NOT NULL,
  column_spacing_mm REAL NOT NULL);
CREATE TABLE labels(
  file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY(file_id, target)) WITHOUT ROWID;
)sql"};

bool IsWanted(const std::vector<std::string>& modalities, const std::string& modality) {
  return modalities.empty() ||
         std::find(modalities.begin(), modalities.end(), modality) != modalities.end();
}

absl::StatusOr<std::string> Setting(storage::Database& database, std::string_view name) {
  ASSIGN_OR_RETURN(auto query, database.Prepare("SELECT value FROM settings WHERE name = ?"));
  ASSIGN_OR_RETURN(const bool found, query.Bind(name).Step());
  return found ? query.Text(0) : std::string();
}

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

absl::StatusOr<Catalog> Catalog::Open(const fs::path& file) {
  ASSIGN_OR_RETURN(storage::Database database, storage::Database::Open(file, kMigrations));
  return Catalog(std::move(database));
}

namespace {

absl::StatusOr<Refusal> RefusalAt(const storage::Statement& row, int column) {
  const auto reason = RefusalNumbered(row.Int(column));
  if (!reason) {
    return absl::DataLossError(
        StrCat("the catalog holds the reason ", row.Int(column),
               " for refusing a file, which this program does not know; index the folder again"));
  }
  return *reason;
}

}  // namespace

absl::StatusOr<IndexReport> Catalog::Report() {
  IndexReport report;
  ASSIGN_OR_RETURN(auto query,
                   database_.Prepare("SELECT path, reason, own_detail FROM files ORDER BY path"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    ++report.files;
    ASSIGN_OR_RETURN(const Refusal reason, RefusalAt(query, 1));
    if (reason == Refusal::kNone) {
      ++report.accepted;
      continue;
    }
    ++report.by_reason[reason];
    report.refused.push_back({query.Text(0), {reason, query.Text(2)}});
  }
  ASSIGN_OR_RETURN(
      auto patients,
      database_.Prepare("SELECT COUNT(DISTINCT patient_id) FROM files WHERE reason = 0"));
  ASSIGN_OR_RETURN(const bool counted, patients.Step());
  report.patients = counted ? static_cast<std::uint64_t>(patients.Int(0)) : 0;
  ASSIGN_OR_RETURN(report.label_key, Setting(database_, "label_key"));
  report.has_labels = !report.label_key.empty();
  ASSIGN_OR_RETURN(report.targets, Targets());
  ASSIGN_OR_RETURN(const std::string unknown, Setting(database_, "labels_without_image"));
  if (!unknown.empty()) report.labels_without_image = std::stoull(unknown);
  return report;
}

absl::StatusOr<fs::path> Catalog::Folder() {
  ASSIGN_OR_RETURN(const std::string folder, Setting(database_, "folder"));
  return fs::path(folder);
}

absl::StatusOr<std::vector<std::string>> Catalog::Targets() {
  ASSIGN_OR_RETURN(const std::string targets, Setting(database_, "targets"));
  return SplitLines(targets);
}

absl::StatusOr<std::vector<CatalogImage>> Catalog::Images(
    std::string_view target, const std::vector<std::string>& modalities) {
  ASSIGN_OR_RETURN(auto query, database_.Prepare(R"sql(
      SELECT id, path, sop_instance_uid, patient_id, modality, size, modified_ns, value
      FROM files JOIN labels ON file_id = id
      WHERE reason = 0 AND target = ? ORDER BY path)sql"));
  query.Bind(target);
  std::vector<CatalogImage> images;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return images;
    if (!IsWanted(modalities, query.Text(4))) continue;
    images.push_back({query.Int(0), query.Text(1), query.Text(2), query.Text(3), query.Text(4),
                      static_cast<std::uint64_t>(query.Int(5)), query.Int(6),
                      static_cast<int>(query.Int(7))});
  }
}

absl::StatusOr<std::map<Refusal, std::uint64_t>> Catalog::Refusals(
    std::string_view target, const std::vector<std::string>& modalities) {
  ASSIGN_OR_RETURN(auto query, database_.Prepare(R"sql(
      SELECT reason, modality, value IS NULL, COUNT(*)
      FROM files LEFT JOIN labels ON file_id = id AND target = ?
      GROUP BY 1, 2, 3)sql"));
  query.Bind(target);
  std::map<Refusal, std::uint64_t> counts;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return counts;
    ASSIGN_OR_RETURN(Refusal reason, RefusalAt(query, 0));
    if (reason == Refusal::kNone && !IsWanted(modalities, query.Text(1))) {
      reason = Refusal::kUnwantedModality;
    } else if (reason == Refusal::kNone && query.Int(2) != 0) {
      reason = Refusal::kMissingLabel;
    }
    if (reason != Refusal::kNone) counts[reason] += static_cast<std::uint64_t>(query.Int(3));
  }
}

absl::Status Catalog::SetRefused(std::int64_t image_id, const Refused& refused) {
  return database_.Execute("UPDATE files SET own_reason = ?, own_detail = ? WHERE id = ?",
                           refused.reason, refused.detail, image_id);
}

}  // namespace consilium::datasets
