// Catalog::Index: the folder tree and labels.csv into the catalog's tables.

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <unordered_map>
#include <variant>

#include "common/base/status.h"
#include "datasets/catalog.h"
#include "datasets/dicom/reader.h"
#include "datasets/labels.h"
#include "datasets/parallel.h"

namespace consilium::datasets {
namespace {

// Files read between two transactions: large enough that commits cost little, small enough that an
// interruption loses little.
constexpr std::size_t kFilesPerTransaction = 4096;
constexpr std::string_view kStep = "indexing";

struct FoundFile {
  std::string path;  // below the folder
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

struct KnownFile {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

// Regular files (and links to such) of the tree, ordered by path.
absl::StatusOr<std::vector<FoundFile>> FindFiles(const fs::path& folder, const fs::path& labels) {
  std::error_code error;
  auto entry = fs::recursive_directory_iterator(
      folder, fs::directory_options::skip_permission_denied, error);
  std::vector<FoundFile> files;
  while (!error && entry != fs::recursive_directory_iterator()) {
    const bool hidden = entry->path().filename().native().starts_with('.');
    struct stat status {};
    if (hidden) {
      entry.disable_recursion_pending();
    } else if (stat(entry->path().c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
               entry->path() != labels) {
      files.push_back({entry->path().lexically_relative(folder).generic_string(),
                       static_cast<std::uint64_t>(status.st_size),
                       status.st_mtim.tv_sec * 1'000'000'000ll + status.st_mtim.tv_nsec});
    }
    entry.increment(error);
  }
  if (error) {
    const auto code = error == std::errc::no_such_file_or_directory
                          ? absl::StatusCode::kNotFound
                          : absl::StatusCode::kInvalidArgument;
    return absl::Status(code, StrCat("the folder \"", folder.filename().string(),
                                     "\" cannot be indexed: ", error.message()));
  }
  std::sort(files.begin(), files.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace

class Indexing {
 public:
  Indexing(storage::Database& database, fs::path folder, const IndexOptions& options,
           Progress& progress)
      : database_(database), folder_(std::move(folder)), options_(options), progress_(progress) {}

  // Fills the counts that only this run knows.
  absl::Status Run(IndexReport* report) {
    RETURN_IF_ERROR(ReadLabelsFile());
    ASSIGN_OR_RETURN(const auto files, FindFiles(folder_, labels_path_));
    ASSIGN_OR_RETURN(auto known, KnownFiles());
    std::vector<const FoundFile*> changed;
    for (const FoundFile& file : files) {
      const auto found = known.find(file.path);
      const bool same = found != known.end() && found->second.size == file.size &&
                        found->second.modified_ns == file.modified_ns;
      if (!same) changed.push_back(&file);
      if (found != known.end()) known.erase(found);
    }
    RETURN_IF_ERROR(ReadChanged(changed));
    RETURN_IF_ERROR(Settle(known));
    report->read = changed.size();
    report->unchanged = files.size() - changed.size();
    report->removed = known.size();
    return absl::OkStatus();
  }

 private:
  using Read = OrRefused<dicom::Header>;
  using KnownFileMap = std::unordered_map<std::string, KnownFile>;

  absl::Status ReadLabelsFile() {
    labels_path_ = options_.labels.empty() ? folder_ / "labels.csv"
                                           : fs::absolute(options_.labels).lexically_normal();
    if (options_.labels.empty() && !fs::exists(labels_path_)) return absl::OkStatus();
    ASSIGN_OR_RETURN(labels_, ReadLabels(labels_path_));
    return absl::OkStatus();
  }

  absl::StatusOr<KnownFileMap> KnownFiles() {
    ASSIGN_OR_RETURN(auto query, database_.Prepare("SELECT path, size, modified_ns FROM files"));
    KnownFileMap known;
    while (true) {
      ASSIGN_OR_RETURN(const bool found, query.Step());
      if (!found) return known;
      known[query.Text(0)] = {static_cast<std::uint64_t>(query.Int(1)), query.Int(2)};
    }
  }

  absl::Status ReadChanged(const std::vector<const FoundFile*>& changed) {
    std::atomic<std::size_t> done = 0;
    for (std::size_t start = 0; start < changed.size(); start += kFilesPerTransaction) {
      const std::size_t count = std::min(kFilesPerTransaction, changed.size() - start);
      std::vector<std::optional<Read>> headers(count);
      const bool all = ParallelFor(count, options_.threads, [&](std::size_t i) {
        headers[i] = dicom::ReadHeader(folder_ / changed[start + i]->path);
        progress_.Report(kStep, ++done, changed.size());
        return !progress_.Cancelled();
      });
      RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
        ASSIGN_OR_RETURN(auto insert, PrepareInsert());
        for (std::size_t i = 0; i < count; ++i) {
          if (headers[i]) RETURN_IF_ERROR(Insert(insert, *changed[start + i], *headers[i]));
        }
        return absl::OkStatus();
      }));
      if (!all) {
        return absl::CancelledError(
            "indexing was interrupted; what was read is kept, and the next run goes on from there");
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<storage::Statement> PrepareInsert() {
    return database_.Prepare(R"sql(
        INSERT OR REPLACE INTO files(path, size, modified_ns, own_reason, own_detail, sop_instance_uid,
          series_instance_uid, study_instance_uid, patient_id, modality, view_position, laterality,
          manufacturer, model, transfer_syntax, rows, columns, row_spacing_mm, column_spacing_mm)
        VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?))sql");
  }

  absl::Status Insert(storage::Statement& insert, const FoundFile& file, const Read& read) {
    const dicom::Header h = read.ok() ? *read : dicom::Header{};
    const Refused refused = read.ok() ? Refused{} : read.refused();
    const std::string_view syntax = read.ok() ? dicom::Uid(h.transfer_syntax) : "";
    return insert
        .Bind(file.path, file.size, file.modified_ns, refused.reason, refused.detail,
              h.sop_instance_uid, h.series_instance_uid, h.study_instance_uid, h.patient_id,
              h.modality, h.view_position, h.laterality, h.manufacturer, h.model, syntax, h.rows,
              h.columns, h.row_spacing_mm, h.column_spacing_mm)
        .Run();
  }

  // What depends on more than one file: who is gone, duplicates, labels. All at once or not at all.
  absl::Status Settle(const KnownFileMap& gone) {
    return database_.Transact([&]() -> absl::Status {
      ASSIGN_OR_RETURN(auto remove, database_.Prepare("DELETE FROM files WHERE path = ?"));
      for (const auto& [path, file] : gone) RETURN_IF_ERROR(remove.Bind(path).Run());
      RETURN_IF_ERROR(database_.Execute("DELETE FROM labels"));
      RETURN_IF_ERROR(SettleStandings());
      RETURN_IF_ERROR(Set("folder", folder_.string()));
      RETURN_IF_ERROR(Set("label_key", labels_ ? ColumnName(labels_->key) : ""));
      std::string targets;
      for (const std::string& target : labels_ ? labels_->targets : std::vector<std::string>{}) {
        StrAppend(&targets, target, "\n");
      }
      RETURN_IF_ERROR(Set("targets", targets));
      const std::size_t unknown = labels_ ? labels_->values.size() - keys_with_image_.size() : 0;
      return Set("labels_without_image", StrCat(unknown));
    });
  }

  absl::Status SettleStandings() {
    ASSIGN_OR_RETURN(auto files,
                     database_.Prepare(StrCat("SELECT id, standing, sop_instance_uid, ",
                                              labels_ ? KeyField(labels_->key) : "''",
                                              " FROM files WHERE own_reason = 0 ORDER BY path")));
    ASSIGN_OR_RETURN(auto update, database_.Prepare("UPDATE files SET standing = ? WHERE id = ?"));
    ASSIGN_OR_RETURN(auto label,
                     database_.Prepare("INSERT INTO labels(file_id, target, value) VALUES(?,?,?)"));
    struct Change {
      std::int64_t id;
      Refusal standing;
    };
    std::vector<Change> changes;  // applied after the query that they would disturb
    std::set<std::string> instances;
    while (true) {
      ASSIGN_OR_RETURN(const bool found, files.Step());
      if (!found) break;
      const std::string key = files.Text(3);
      const bool first = instances.insert(files.Text(2)).second;
      const Refusal standing = first ? StandingOf(key) : Refusal::kDuplicateInstance;
      if (standing != static_cast<Refusal>(files.Int(1)))
        changes.push_back({files.Int(0), standing});
      if (standing != Refusal::kNone || !labels_) continue;
      for (const auto& [target, value] : labels_->values.at(key)) {
        RETURN_IF_ERROR(label.Bind(files.Int(0), target, value).Run());
      }
    }
    for (const Change& change : changes) {
      RETURN_IF_ERROR(update.Bind(change.standing, change.id).Run());
    }
    return absl::OkStatus();
  }

  Refusal StandingOf(const std::string& key) {
    if (!labels_) return Refusal::kNone;
    const auto found = labels_->values.find(key);
    if (found == labels_->values.end()) return Refusal::kMissingLabel;
    keys_with_image_.insert(key);
    if (labels_->conflicting.contains(key)) return Refusal::kConflictingLabels;
    return found->second.empty() ? Refusal::kMissingLabel : Refusal::kNone;
  }

  // The columns of the tables are called as those of labels.csv.
  static std::string_view KeyField(LabelKey key) { return ColumnName(key); }

  absl::Status Set(std::string_view name, std::string_view value) {
    return database_.Execute("INSERT OR REPLACE INTO settings(name, value) VALUES(?,?)", name,
                             value);
  }

  storage::Database& database_;
  const fs::path folder_;
  const IndexOptions& options_;
  Progress& progress_;
  fs::path labels_path_;
  std::optional<Labels> labels_;
  std::set<std::string> keys_with_image_;
};

absl::StatusOr<IndexReport> Catalog::Index(const fs::path& folder, const IndexOptions& options,
                                           Progress& progress) {
  IndexReport fresh;
  fs::path absolute = fs::absolute(folder).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // a slash at the end
  RETURN_IF_ERROR(Indexing(database_, absolute, options, progress).Run(&fresh));
  ASSIGN_OR_RETURN(IndexReport report, Report());
  report.read = fresh.read;
  report.unchanged = fresh.unchanged;
  report.removed = fresh.removed;
  return report;
}

}  // namespace consilium::datasets
