#include "datasets/catalog.h"

#include <algorithm>

#include "common/base/status.h"
#include "datasets/dicom/header.h"
#include "datasets/requirements.h"

namespace consilium::datasets {
namespace {

// Version 1 held identifiers. Its tables are made for whoever has none, so that all catalogs come
// to version 2 by one way: what was there is counted and dropped.
constexpr std::string_view kVersion1 = R"sql(
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files(id INTEGER PRIMARY KEY);
CREATE TABLE labels(file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE);
)sql";

// own_reason: what the file itself is refused for; standing: what it is refused for beside the
// others and the labels, computed anew by each Index(). `reason` is the one that counts.
constexpr std::string_view kVersion2 = R"sql(
PRAGMA secure_delete = ON;
CREATE TABLE erased(files INTEGER NOT NULL);
INSERT INTO erased SELECT COUNT(*) FROM files;
DROP TABLE labels;
DROP TABLE files;
DROP TABLE settings;
CREATE TABLE settings(name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE key(name TEXT NOT NULL);
CREATE TABLE files(
  id INTEGER PRIMARY KEY,
  path_hash BLOB NOT NULL UNIQUE,
  sealed_path BLOB NOT NULL,
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
  sex TEXT NOT NULL,
  age INTEGER,
  modality TEXT NOT NULL,
  view_position TEXT NOT NULL,
  laterality TEXT NOT NULL,
  body_part TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  model TEXT NOT NULL,
  transfer_syntax TEXT NOT NULL,
  rows INTEGER NOT NULL,
  columns INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  row_spacing_mm REAL NOT NULL,
  column_spacing_mm REAL NOT NULL,
  slice_thickness_mm REAL NOT NULL);
CREATE TABLE labels(
  file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY(file_id, target)) WITHOUT ROWID;
)sql";

// What segmentations are of, and labels that are words: a label has either a value or the hash of a
// word. Files that were no images (Refusal 42) are read anew, for segmentations are among them.
constexpr std::string_view kVersion3 = R"sql(
DELETE FROM files WHERE own_reason = 42;
ALTER TABLE labels RENAME TO old_labels;
CREATE TABLE labels(
  file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  value INTEGER,
  word BLOB,
  PRIMARY KEY(file_id, target)) WITHOUT ROWID;
INSERT INTO labels SELECT file_id, target, value, NULL FROM old_labels;
DROP TABLE old_labels;
CREATE TABLE segmented_instances(
  file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  instance TEXT NOT NULL,
  PRIMARY KEY(file_id, instance)) WITHOUT ROWID;
CREATE TABLE segments(
  file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  label BLOB NOT NULL,
  PRIMARY KEY(file_id, label)) WITHOUT ROWID;
)sql";

// Of words that are numbers, or stand for a missing value: the number, or nothing, sealed (a column
// of numbers may be anything, too). The labels are put in anew by each Index().
constexpr std::string_view kVersion4 = "ALTER TABLE labels ADD COLUMN number BLOB;";

const storage::Migrations kMigrations = {kVersion1, kVersion2, kVersion3, kVersion4};

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

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

fs::path Catalog::KeyFile(const fs::path& catalog_file) {
  return catalog_file.parent_path() / "pseudonym.key";
}

absl::StatusOr<Catalog> Catalog::Open(const fs::path& file) {
  bool made = false;
  ASSIGN_OR_RETURN(const crypto::Secret key,
                   deidentification::LoadOrMakeSiteKey(KeyFile(file), &made));
  ASSIGN_OR_RETURN(auto pseudonyms, deidentification::Pseudonymiser::Create(key));
  ASSIGN_OR_RETURN(auto cipher, CatalogCipher::Create(key));
  ASSIGN_OR_RETURN(storage::Database database, storage::Database::Open(file, kMigrations));
  Catalog catalog(std::move(database), std::move(pseudonyms), std::move(cipher));
  RETURN_IF_ERROR(catalog.Prepare());
  return catalog;
}

absl::Status Catalog::Prepare() {
  RETURN_IF_ERROR(database_.Execute("PRAGMA secure_delete = ON"));
  std::string name;
  std::int64_t erased = 0;
  {
    ASSIGN_OR_RETURN(auto key, database_.Prepare("SELECT name FROM key"));
    ASSIGN_OR_RETURN(const bool known, key.Step());
    if (known) name = key.Text(0);
    ASSIGN_OR_RETURN(auto query, database_.Prepare("SELECT SUM(files) FROM erased"));
    ASSIGN_OR_RETURN(const bool counted, query.Step());
    if (counted) erased = query.Int(0);
  }
  if (name == pseudonyms_.KeyName()) return absl::OkStatus();
  if (!name.empty()) return EraseOfAnotherKey();
  // A new catalog, or one of version 1, whose freed pages go back to the system.
  if (erased > 0) RETURN_IF_ERROR(database_.Execute("VACUUM"));
  return database_.Execute("INSERT INTO key(name) VALUES(?)", pseudonyms_.KeyName());
}

absl::Status Catalog::EraseOfAnotherKey() {
  return database_.Transact([&]() -> absl::Status {
    RETURN_IF_ERROR(database_.Execute("INSERT INTO erased SELECT COUNT(*) FROM files"));
    RETURN_IF_ERROR(database_.Execute("DELETE FROM files"));
    RETURN_IF_ERROR(database_.Execute("DELETE FROM settings"));
    return database_.Execute("UPDATE key SET name = ?", pseudonyms_.KeyName());
  });
}

absl::StatusOr<std::string> Catalog::Setting(std::string_view name) {
  ASSIGN_OR_RETURN(auto query, database_.Prepare("SELECT sealed FROM settings WHERE name = ?"));
  ASSIGN_OR_RETURN(const bool found, query.Bind(name).Step());
  if (!found) return std::string();
  return cipher_.Open(StrCat("setting ", name), query.Blob(0));
}

absl::Status Catalog::Set(std::string_view name, std::string_view value) {
  ASSIGN_OR_RETURN(const Bytes sealed, cipher_.Seal(StrCat("setting ", name), value));
  return database_.Execute("INSERT OR REPLACE INTO settings(name, sealed) VALUES(?,?)", name,
                           sealed);
}

absl::StatusOr<IndexReport> Catalog::Report() {
  IndexReport report;
  ASSIGN_OR_RETURN(auto query,
                   database_.Prepare("SELECT reason, own_detail, sealed_path FROM files"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) break;
    ++report.files;
    ASSIGN_OR_RETURN(const Refusal reason, RefusalAt(query, 0));
    if (reason == Refusal::kNone) {
      ++report.accepted;
      continue;
    }
    ++report.by_reason[reason];
    ASSIGN_OR_RETURN(std::string path, cipher_.Open("path", query.Blob(2)));
    report.refused.push_back({std::move(path), {reason, query.Text(1)}});
  }
  std::sort(report.refused.begin(), report.refused.end(),
            [](const FileRefusal& a, const FileRefusal& b) { return a.path < b.path; });
  ASSIGN_OR_RETURN(
      auto patients,
      database_.Prepare("SELECT COUNT(DISTINCT patient_id) FROM files WHERE reason = 0"));
  ASSIGN_OR_RETURN(const bool counted, patients.Step());
  report.patients = counted ? static_cast<std::uint64_t>(patients.Int(0)) : 0;
  ASSIGN_OR_RETURN(report.label_key, Setting("label_key"));
  report.has_labels = !report.label_key.empty();
  ASSIGN_OR_RETURN(report.targets, Targets());
  ASSIGN_OR_RETURN(const std::string unknown, Setting("labels_without_image"));
  if (!unknown.empty()) report.labels_without_image = std::stoull(unknown);
  return report;
}

absl::StatusOr<fs::path> Catalog::Folder() {
  ASSIGN_OR_RETURN(const std::string folder, Setting("folder"));
  return fs::path(folder);
}

absl::StatusOr<std::vector<std::string>> Catalog::Targets() {
  ASSIGN_OR_RETURN(const std::string targets, Setting("targets"));
  return SplitLines(targets);
}

absl::StatusOr<std::vector<ImageDescription>> Catalog::Descriptions() {
  std::map<std::int64_t, std::map<std::string, int>> labels;
  ASSIGN_OR_RETURN(
      auto all, database_.Prepare("SELECT file_id, target, value FROM labels WHERE value NOTNULL"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, all.Step());
    if (!found) break;
    labels[all.Int(0)][all.Text(1)] = static_cast<int>(all.Int(2));
  }
  ASSIGN_OR_RETURN(auto query, database_.Prepare(R"sql(
      SELECT id, patient_id, sex, age, modality, view_position, laterality, body_part, manufacturer,
        model, rows, columns, frames, row_spacing_mm, column_spacing_mm, slice_thickness_mm,
        sealed_path, modified_ns
      FROM files WHERE reason = 0 ORDER BY sop_instance_uid)sql"));
  std::vector<ImageDescription> images;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) return images;
    ImageDescription& image = images.emplace_back();
    image.id = query.Int(0);
    image.modified_ns = query.Int(17);
    image.patient = query.Text(1);
    image.sex = query.Text(2);
    if (!query.IsNull(3)) image.age = static_cast<int>(query.Int(3));
    image.modality = query.Text(4);
    image.view = query.Text(5);
    image.laterality = query.Text(6);
    image.body_part = query.Text(7);
    image.manufacturer = query.Text(8);
    image.model = query.Text(9);
    image.rows = static_cast<std::uint32_t>(query.Int(10));
    image.columns = static_cast<std::uint32_t>(query.Int(11));
    image.frames = static_cast<std::uint32_t>(query.Int(12));
    image.row_spacing_mm = query.Real(13);
    image.column_spacing_mm = query.Real(14);
    image.slice_thickness_mm = query.Real(15);
    image.labels = std::move(labels[query.Int(0)]);
    ASSIGN_OR_RETURN(image.path, cipher_.Open("path", query.Blob(16)));
  }
}

absl::Status Catalog::SetRefused(std::int64_t image_id, const Refused& refused) {
  return database_.Execute("UPDATE files SET own_reason = ?, own_detail = ? WHERE id = ?",
                           refused.reason, refused.detail, image_id);
}

}  // namespace consilium::datasets
