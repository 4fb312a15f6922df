#include "datasets/pacs/send.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "datasets/pacs/pull.h"

namespace consilium::datasets::pacs {
namespace {

constexpr Duration kLongestWait = std::chrono::minutes(1);

const storage::Migrations kMigrations = {
    "CREATE TABLE acknowledged (destination TEXT NOT NULL, content BLOB NOT NULL,"
    " PRIMARY KEY (destination, content)) WITHOUT ROWID"};

bool IsHidden(const fs::path& path) { return path.filename().native().starts_with('.'); }

absl::Status ListFiles(const fs::path& folder, std::vector<fs::path>* files) {
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
  for (const FolderEntry& entry : entries) {
    if (IsHidden(entry.path)) continue;
    if (entry.folder) {
      RETURN_IF_ERROR(ListFiles(entry.path, files));
    } else {
      files->push_back(entry.path);
    }
  }
  return absl::OkStatus();
}

absl::Status SendWithRetries(const OutgoingFile& file, Destination& destination,
                             const SendOptions& options, const Progress& progress) {
  Duration wait = options.backoff;
  for (int attempt = 1;; ++attempt) {
    if (progress.Cancelled()) return absl::CancelledError("interrupted");
    const absl::Status sent = destination.Send(file);
    if (sent.ok() || attempt >= options.attempts || !IsWorthRetrying(sent)) return sent;
    RETURN_IF_ERROR(WaitFor(wait, progress));
    wait = std::min(2 * wait, kLongestWait);
  }
}

}  // namespace

absl::StatusOr<SendJournal> SendJournal::Open(const fs::path& file) {
  ASSIGN_OR_RETURN(storage::Database database, storage::Database::Open(file, kMigrations));
  return SendJournal(std::move(database));
}

absl::StatusOr<bool> SendJournal::Has(const std::string& destination, const Digest& content) {
  ASSIGN_OR_RETURN(
      storage::Statement statement,
      database_.Prepare("SELECT 1 FROM acknowledged WHERE destination = ? AND content = ?"));
  return statement.Bind(destination, ByteView(content.bytes)).Step();
}

absl::Status SendJournal::Add(const std::string& destination, const Digest& content) {
  return database_.Execute("INSERT OR IGNORE INTO acknowledged VALUES (?, ?)", destination,
                           ByteView(content.bytes));
}

absl::StatusOr<SendReport> SendFiles(const fs::path& path, Destination& destination,
                                     SendJournal& journal, const SendOptions& options,
                                     Progress& progress) {
  std::vector<fs::path> paths;
  const absl::Status listed = ListFiles(path, &paths);
  if (!listed.ok()) {
    if (!Exists(path)) return absl::NotFoundError("there is no such file or folder to send");
    paths = {path};
  }
  SendReport report;
  std::vector<OutgoingFile> files;
  for (const fs::path& one : paths) {
    absl::StatusOr<FileMeta> meta = ReadFileMeta(one);
    if (meta.ok()) {
      files.push_back({one, *std::move(meta)});
    } else {
      ++report.not_dicom;
    }
  }
  if (files.empty()) return absl::NotFoundError("no DICOM files to send there");
  report.files = files.size();
  destination.Expect(files);
  const std::string name = destination.Name();
  std::uint64_t done = 0;
  for (const OutgoingFile& file : files) {
    ASSIGN_OR_RETURN(const Digest content, crypto::Sha256OfFile(file.path));
    ASSIGN_OR_RETURN(const bool before, journal.Has(name, content));
    if (before) {
      ++report.sent_before;
    } else {
      const absl::Status sent = SendWithRetries(file, destination, options, progress);
      if (sent.code() == absl::StatusCode::kFailedPrecondition) {
        ++report.refused[std::string(sent.message())];
      } else {
        RETURN_IF_ERROR(sent);
        RETURN_IF_ERROR(journal.Add(name, content));
        ++report.sent;
        ASSIGN_OR_RETURN(const std::uint64_t size, FileSize(file.path));
        report.bytes += size;
      }
    }
    progress.Report("sending", ++done, files.size());
  }
  destination.Finish();
  return report;
}

}  // namespace consilium::datasets::pacs
