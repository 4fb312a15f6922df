// Catalog::Index: the folder tree and labels.csv into the catalog's tables.

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "datasets/catalog.h"
#include "datasets/dicom/reader.h"
#include "datasets/labels.h"
#include "datasets/parallel.h"
#include "datasets/requirements.h"

namespace consilium::datasets {
namespace {

// Files read between two transactions: large enough that commits cost little, small enough that an
// interruption loses little.
constexpr std::size_t kFilesPerTransaction = 4096;
constexpr std::size_t kMostFilesPerBatch = 128;  // of the reader
constexpr std::string_view kStep = "indexing";
// Raised when files are read otherwise than before, so that a new program reads them all again.
constexpr std::string_view kReading = "reading 2";

struct FoundFile {
  std::string path;  // below the folder
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

struct KnownFile {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

// What of a changed file goes into the catalog.
struct Row {
  Bytes path_hash, sealed_path;
  Refused refused;
  dicom::Header header;  // its patient ID and UIDs already replaced
  // Of what outlines structures: pseudonyms of the instances that it is of, keyed hashes of labels.
  std::set<std::string> segmented;
  std::set<std::string> segments;
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
    return absl::Status(code, StrCat("the folder of images cannot be indexed: ", error.message()));
  }
  std::sort(files.begin(), files.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace

class Indexing {
 public:
  Indexing(Catalog& catalog, fs::path folder, const IndexOptions& options, ImageReader& reader,
           Progress& progress)
      : catalog_(catalog),
        database_(catalog.database_),
        folder_(std::move(folder)),
        options_(options),
        reader_(reader),
        progress_(progress) {}

  // Fills the counts that only this run knows.
  absl::Status Run(IndexReport* report) {
    RETURN_IF_ERROR(ReadLabelsFile());
    ASSIGN_OR_RETURN(const auto files, FindFiles(folder_, labels_path_));
    ASSIGN_OR_RETURN(const bool same_policy, HasSamePolicy());
    ASSIGN_OR_RETURN(auto known, KnownFiles());
    std::vector<const FoundFile*> changed;
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::string hash = PathHash(files[i].path);
      order_[hash] = i;
      const auto found = known.find(hash);
      const bool same = same_policy && found != known.end() &&
                        found->second.size == files[i].size &&
                        found->second.modified_ns == files[i].modified_ns;
      if (!same) changed.push_back(&files[i]);
      if (found != known.end()) known.erase(found);
    }
    RETURN_IF_ERROR(ReadChanged(changed));
    RETURN_IF_ERROR(Settle(known, report));
    report->read = changed.size();
    report->unchanged = files.size() - changed.size();
    report->removed = known.size();
    return absl::OkStatus();
  }

 private:
  using KnownFileMap = std::unordered_map<std::string, KnownFile>;  // by the hash of the path

  std::string PathHash(const std::string& path) const {
    return std::string(AsText(catalog_.pseudonyms_.KeyedHash("path", path)));
  }

  // What the last run, also an interrupted one, has read by.
  absl::StatusOr<bool> HasSamePolicy() {
    std::string text = StrCat(kReading, ", burned in ", static_cast<int>(options_.policy.burned_in),
                              ", faces ", static_cast<int>(options_.policy.faces));
    for (const plan::Retain retain : options_.policy.retain) {
      StrAppend(&text, ", ", plan::Name(retain));
    }
    ASSIGN_OR_RETURN(const std::string before, catalog_.Setting("policy"));
    if (before == text) return true;
    // What was read by another is forgotten first: an interrupted run must not mix the two.
    RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
      RETURN_IF_ERROR(database_.Execute("DELETE FROM files"));
      return catalog_.Set("policy", text);
    }));
    return false;
  }

  absl::Status ReadLabelsFile() {
    labels_path_ = options_.labels.empty() ? folder_ / "labels.csv"
                                           : fs::absolute(options_.labels).lexically_normal();
    if (options_.labels.empty() && !fs::exists(labels_path_)) return absl::OkStatus();
    ASSIGN_OR_RETURN(Labels labels, ReadLabels(labels_path_));
    labels_ = WithPseudonyms(std::move(labels), catalog_.pseudonyms_);
    return absl::OkStatus();
  }

  absl::StatusOr<KnownFileMap> KnownFiles() {
    ASSIGN_OR_RETURN(auto query,
                     database_.Prepare("SELECT path_hash, size, modified_ns FROM files"));
    KnownFileMap known;
    while (true) {
      ASSIGN_OR_RETURN(const bool found, query.Step());
      if (!found) return known;
      known[std::string(AsText(query.Blob(0)))] = {static_cast<std::uint64_t>(query.Int(1)),
                                                   query.Int(2)};
    }
  }

  absl::Status ReadChanged(const std::vector<const FoundFile*>& changed) {
    std::atomic<std::size_t> done = 0;
    for (std::size_t start = 0; start < changed.size(); start += kFilesPerTransaction) {
      const std::size_t count = std::min(kFilesPerTransaction, changed.size() - start);
      const auto files = std::span(changed).subspan(start, count);
      std::vector<absl::StatusOr<Row>> rows(count, absl::CancelledError(""));
      const std::size_t per_batch = std::clamp<std::size_t>(count / 16, 1, kMostFilesPerBatch);
      const std::size_t batches = (count + per_batch - 1) / per_batch;
      const bool all = ParallelFor(batches, options_.threads, [&](std::size_t batch) {
        const std::size_t first = batch * per_batch;
        const std::size_t size = std::min(per_batch, count - first);
        ReadBatch(files.subspan(first, size), std::span(rows).subspan(first, size));
        progress_.Report(kStep, done += size, changed.size());
        return !progress_.Cancelled();
      });
      RETURN_IF_ERROR(database_.Transact([&]() -> absl::Status {
        ASSIGN_OR_RETURN(auto insert, PrepareInsert());
        for (std::size_t i = 0; i < count; ++i) {
          if (absl::IsCancelled(rows[i].status())) continue;
          RETURN_IF_ERROR(rows[i].status());
          RETURN_IF_ERROR(Insert(insert, *files[i], *rows[i]));
          RETURN_IF_ERROR(InsertOutlines(*rows[i]));
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

  void ReadBatch(std::span<const FoundFile* const> files, std::span<absl::StatusOr<Row>> rows) {
    std::vector<fs::path> paths;
    for (const FoundFile* file : files) paths.push_back(folder_ / file->path);
    const auto headers = reader_.ReadHeaders(paths);
    CONSILIUM_CHECK(headers.size() == files.size());
    for (std::size_t i = 0; i < files.size(); ++i) rows[i] = RowOf(files[i]->path, headers[i]);
    ReadOutlines(paths, rows);
  }

  // Segmentations and structure sets are no images to train on, but what they are of is remembered.
  void ReadOutlines(const std::vector<fs::path>& paths, std::span<absl::StatusOr<Row>> rows) {
    std::vector<std::size_t> which;
    std::vector<fs::path> files;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (!rows[i].ok() || !dicom::IsOutlines(rows[i]->refused)) continue;
      which.push_back(i);
      files.push_back(paths[i]);
    }
    if (files.empty()) return;
    const auto contents = reader_.ReadOutlines(files);
    CONSILIUM_CHECK(contents.size() == files.size());
    for (std::size_t i = 0; i < files.size(); ++i) {
      Row& row = *rows[which[i]];
      if (!contents[i].ok()) {
        StrAppend(&row.refused.detail,
                  " that cannot be read: ", Phrase(contents[i].refused().reason));
        continue;
      }
      for (const std::string& uid : contents[i]->instances) {
        row.segmented.insert(catalog_.pseudonyms_.MappedUid(uid));
      }
      for (const std::string& label : contents[i]->labels) {
        row.segments.insert(std::string(AsText(catalog_.SegmentHash(label))));
      }
    }
  }

  absl::StatusOr<Row> RowOf(const std::string& path, const OrRefused<dicom::Header>& read) const {
    Row row;
    row.path_hash = catalog_.pseudonyms_.KeyedHash("path", path);
    ASSIGN_OR_RETURN(row.sealed_path, catalog_.cipher_.Seal("path", path));
    if (read.ok()) row.header = *read;
    row.refused = read.ok() ? RefusedByPolicy(*read) : read.refused();
    Deidentify(&row.header);
    return row;
  }

  Refused RefusedByPolicy(const dicom::Header& header) const {
    if (header.burned_in && options_.policy.burned_in == PixelRule::kRefuse) {
      return {Refusal::kBurnedInAnnotation, ""};
    }
    if (header.head && options_.policy.faces == PixelRule::kRefuse) {
      return {Refusal::kRecognizableFace, ""};
    }
    return {};
  }

  void Deidentify(dicom::Header* header) const {
    const auto& pseudonyms = catalog_.pseudonyms_;
    for (std::string* uid :
         {&header->sop_instance_uid, &header->series_instance_uid, &header->study_instance_uid}) {
      *uid = pseudonyms.MappedUid(*uid);
    }
    if (!header->patient_id.empty()) {
      header->patient_id = pseudonyms.PatientPseudonym(header->patient_id);
    }
    const auto& retain = options_.policy.retain;
    if (!retain.contains(plan::Retain::kPatientCharacteristics)) {
      header->patient_sex.clear();
      header->patient_age_years.reset();
    }
    if (!retain.contains(plan::Retain::kDeviceIdentity)) {
      header->manufacturer.clear();
      header->model.clear();
    }
  }

  absl::StatusOr<storage::Statement> PrepareInsert() {
    return database_.Prepare(R"sql(
        INSERT OR REPLACE INTO files(path_hash, sealed_path, size, modified_ns, own_reason,
          own_detail, sop_instance_uid, series_instance_uid, study_instance_uid, patient_id, sex,
          age, modality, view_position, laterality, body_part, manufacturer, model, transfer_syntax,
          rows, columns, frames, row_spacing_mm, column_spacing_mm, slice_thickness_mm)
        VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?))sql");
  }

  absl::Status Insert(storage::Statement& insert, const FoundFile& file, const Row& row) {
    const dicom::Header& h = row.header;
    std::optional<int> age;
    if (h.patient_age_years) age = WholeYears(*h.patient_age_years);
    return insert
        .Bind(ByteView(row.path_hash), ByteView(row.sealed_path), file.size, file.modified_ns,
              row.refused.reason, row.refused.detail, h.sop_instance_uid, h.series_instance_uid,
              h.study_instance_uid, h.patient_id, h.patient_sex, age, h.modality, h.view_position,
              h.laterality, h.body_part, h.manufacturer, h.model, dicom::Uid(h.transfer_syntax),
              h.rows, h.columns, h.frames, h.row_spacing_mm, h.column_spacing_mm,
              h.slice_thickness_mm)
        .Run();
  }

  // Of the row that was inserted last.
  absl::Status InsertOutlines(const Row& row) {
    if (row.segmented.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(auto last, database_.Prepare("SELECT id FROM files WHERE path_hash = ?"));
    ASSIGN_OR_RETURN(const bool found, last.Bind(ByteView(row.path_hash)).Step());
    CONSILIUM_CHECK(found);
    const std::int64_t id = last.Int(0);
    ASSIGN_OR_RETURN(auto instance,
                     database_.Prepare("INSERT INTO segmented_instances VALUES(?,?)"));
    for (const std::string& uid : row.segmented) RETURN_IF_ERROR(instance.Bind(id, uid).Run());
    ASSIGN_OR_RETURN(auto segment, database_.Prepare("INSERT INTO segments VALUES(?,?)"));
    for (const std::string& label : row.segments) {
      RETURN_IF_ERROR(segment.Bind(id, AsBytes(label)).Run());
    }
    return absl::OkStatus();
  }

  // What depends on more than one file: who is gone, duplicates, labels. All at once or not at all.
  absl::Status Settle(const KnownFileMap& gone, IndexReport* report) {
    return database_.Transact([&]() -> absl::Status {
      ASSIGN_OR_RETURN(auto remove, database_.Prepare("DELETE FROM files WHERE path_hash = ?"));
      for (const auto& [hash, file] : gone) RETURN_IF_ERROR(remove.Bind(AsBytes(hash)).Run());
      RETURN_IF_ERROR(database_.Execute("DELETE FROM labels"));
      RETURN_IF_ERROR(SettleStandings());
      RETURN_IF_ERROR(catalog_.Set("folder", folder_.string()));
      RETURN_IF_ERROR(catalog_.Set("label_key", labels_ ? ColumnName(labels_->key) : ""));
      std::string targets;
      for (const std::string& target : labels_ ? labels_->targets : std::vector<std::string>{}) {
        StrAppend(&targets, target, "\n");
      }
      RETURN_IF_ERROR(catalog_.Set("targets", targets));
      const std::size_t unknown = labels_ ? labels_->values.size() - keys_with_image_.size() : 0;
      RETURN_IF_ERROR(catalog_.Set("labels_without_image", StrCat(unknown)));
      ASSIGN_OR_RETURN(auto erased, database_.Prepare("SELECT SUM(files) FROM erased"));
      ASSIGN_OR_RETURN(const bool counted, erased.Step());
      if (counted) report->erased = static_cast<std::uint64_t>(erased.Int(0));
      return database_.Execute("DELETE FROM erased");
    });
  }

  struct Candidate {
    std::size_t order = 0;  // of its path
    std::int64_t id = 0;
    Refusal standing = Refusal::kNone;  // before
    std::string instance, key;
  };

  // The sound files by path, of which the first is used where several hold one instance.
  absl::StatusOr<std::vector<Candidate>> Candidates() {
    ASSIGN_OR_RETURN(auto files,
                     database_.Prepare(StrCat(
                         "SELECT path_hash, id, standing, sop_instance_uid, ",
                         labels_ ? ColumnName(labels_->key) : "''",  // the columns' names, too
                         " FROM files WHERE own_reason = 0")));
    std::vector<Candidate> candidates;
    while (true) {
      ASSIGN_OR_RETURN(const bool found, files.Step());
      if (!found) break;
      const auto order = order_.find(std::string(AsText(files.Blob(0))));
      candidates.push_back({order == order_.end() ? order_.size() : order->second, files.Int(1),
                            static_cast<Refusal>(files.Int(2)), files.Text(3), files.Text(4)});
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.order < b.order; });
    return candidates;
  }

  absl::Status SettleStandings() {
    ASSIGN_OR_RETURN(const auto candidates, Candidates());
    ASSIGN_OR_RETURN(auto update, database_.Prepare("UPDATE files SET standing = ? WHERE id = ?"));
    ASSIGN_OR_RETURN(
        auto label,
        database_.Prepare(
            "INSERT INTO labels(file_id, target, value, word, number) VALUES(?,?,?,?,?)"));
    std::set<std::string> instances;
    for (const Candidate& file : candidates) {
      const bool first = instances.insert(file.instance).second;
      const Refusal standing = first ? StandingOf(file.key) : Refusal::kDuplicateInstance;
      if (standing != file.standing) RETURN_IF_ERROR(update.Bind(standing, file.id).Run());
      if (standing != Refusal::kNone || !labels_) continue;
      for (const auto& [target, value] : labels_->values.at(file.key)) {
        // Only 0 and 1 are in the catalog as they are: a word may be anything.
        if (value == "0" || value == "1") {
          RETURN_IF_ERROR(label.Bind(file.id, target, value == "1", nullptr, nullptr).Run());
          continue;
        }
        const Bytes word = catalog_.WordHash(target, value);
        ASSIGN_OR_RETURN(const std::optional<Bytes> number, SealedNumber(value));
        std::optional<ByteView> sealed;
        if (number) sealed = ByteView(*number);
        RETURN_IF_ERROR(label.Bind(file.id, target, nullptr, ByteView(word), sealed).Run());
      }
    }
    return absl::OkStatus();
  }

  // Of a number itself, of what stands for a missing value an empty text.
  absl::StatusOr<std::optional<Bytes>> SealedNumber(const std::string& value) const {
    double number = 0;
    const bool missing = plan::IsMissing(value);
    if (!missing && !(absl::SimpleAtod(value, &number) && std::isfinite(number))) {
      return std::nullopt;
    }
    ASSIGN_OR_RETURN(Bytes sealed, catalog_.cipher_.Seal("label", missing ? "" : value));
    return sealed;
  }

  Refusal StandingOf(const std::string& key) {
    if (!labels_) return Refusal::kNone;
    const auto found = labels_->values.find(key);
    if (found == labels_->values.end()) return Refusal::kMissingLabel;
    keys_with_image_.insert(key);
    if (labels_->conflicting.contains(key)) return Refusal::kConflictingLabels;
    return found->second.empty() ? Refusal::kMissingLabel : Refusal::kNone;
  }

  Catalog& catalog_;
  storage::Database& database_;
  const fs::path folder_;
  const IndexOptions& options_;
  ImageReader& reader_;
  Progress& progress_;
  fs::path labels_path_;
  std::optional<Labels> labels_;  // by pseudonym
  std::set<std::string> keys_with_image_;
  std::unordered_map<std::string, std::size_t> order_;  // of the files by path, by its hash
};

absl::StatusOr<IndexReport> Catalog::Index(const fs::path& folder, const IndexOptions& options,
                                           ImageReader& reader, Progress& progress) {
  IndexReport fresh;
  fs::path absolute = fs::absolute(folder).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // a slash at the end
  RETURN_IF_ERROR(Indexing(*this, absolute, options, reader, progress).Run(&fresh));
  ASSIGN_OR_RETURN(IndexReport report, Report());
  report.read = fresh.read;
  report.unchanged = fresh.unchanged;
  report.removed = fresh.removed;
  report.erased = fresh.erased;
  return report;
}

}  // namespace consilium::datasets
