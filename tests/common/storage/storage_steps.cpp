#include "tests/common/storage/storage_steps.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"

namespace consilium::storage {
namespace {

constexpr std::string_view kUnfinished = ".tmp";
constexpr std::string_view kFile = "file-";
constexpr std::uint64_t kRows = 40;
constexpr std::uint64_t kFiles = 6;
constexpr std::uint64_t kLongestBytes = 4000;
constexpr std::size_t kPieceBytes = 1500;

Bytes RandomBytes(SeededRandom& random) {
  Bytes bytes(random.Below(kLongestBytes + 1));
  random.Fill(bytes);
  return bytes;
}

}  // namespace

std::string Difference(const StoredState& found, const StoredState& acknowledged,
                       const StoredState& attempted) {
  if (found.rows != acknowledged.rows && found.rows != attempted.rows) {
    return "the rows are not as acknowledged";
  }
  for (const auto& [name, content] : acknowledged.files) {
    const auto there = found.files.find(name);
    if (there == found.files.end()) return StrCat(name, " is gone");
    const auto tried = attempted.files.find(name);
    if (there->second != content && there->second != tried->second) {
      return StrCat(name, " is not as acknowledged");
    }
  }
  return "a step is only half there";
}

StorageStep::StorageStep(std::uint64_t seed, std::uint64_t number) {
  SeededRandom random(seed, StrCat("storage step ", number));
  if (random.Chance(0.5)) {
    changes_.resize(1 + random.Below(6));
    for (RowChange& change : changes_) {
      change.id = static_cast<std::int64_t>(random.Below(kRows));
      if (random.Chance(0.8)) change.value = RandomBytes(random);
    }
    return;
  }
  kind_ = random.Chance(0.5) ? Kind::kWholeFile : Kind::kMovedFile;
  name_ = StrCat(kFile, random.Below(kFiles));
  content_ = RandomBytes(random);
}

void StorageStep::ApplyTo(StoredState* state) const {
  if (!is_transaction()) {
    state->files[name_] = content_;
    return;
  }
  for (const RowChange& change : changes_) {
    if (change.value) {
      state->rows[change.id] = *change.value;
    } else {
      state->rows.erase(change.id);
    }
  }
  ++state->transactions;
}

absl::Status StorageStep::Perform(Database& database, const fs::path& folder) const {
  if (kind_ == Kind::kWholeFile) return WriteFileDurably(folder / name_, content_);
  if (kind_ == Kind::kMovedFile) return MoveFile(folder);
  return database.Transact([&]() -> absl::Status {
    for (const RowChange& change : changes_) {
      RETURN_IF_ERROR(change.value ? database.Execute("INSERT OR REPLACE INTO item VALUES (?, ?)",
                                                      change.id, *change.value)
                                   : database.Execute("DELETE FROM item WHERE id = ?", change.id));
    }
    return database.Execute("UPDATE total SET transactions = transactions + 1");
  });
}

absl::Status StorageStep::MoveFile(const fs::path& folder) const {
  const fs::path part = folder / StrCat("part", kUnfinished);
  {
    ASSIGN_OR_RETURN(File file, File::OpenForWriting(part, /*truncate=*/true));
    for (std::size_t at = 0; at < content_.size(); at += kPieceBytes) {
      const std::size_t count = std::min(kPieceBytes, content_.size() - at);
      RETURN_IF_ERROR(file.WriteAt(at, ByteView(content_).subspan(at, count)));
    }
    RETURN_IF_ERROR(file.Sync());
  }
  return RenameDurably(part, folder / name_);
}

absl::StatusOr<OpenStorage> OpenStorage::Open(const fs::path& folder) {
  static const Migrations kMigrations = {
      "CREATE TABLE item (id INTEGER PRIMARY KEY, value BLOB NOT NULL);",
      "CREATE TABLE total (transactions INTEGER NOT NULL); INSERT INTO total VALUES (0);"};
  ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Acquire(folder));
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
  for (const FolderEntry& entry : entries) {
    if (entry.path.extension() == kUnfinished) RETURN_IF_ERROR(Remove(entry.path));
  }
  ASSIGN_OR_RETURN(Database database, Database::Open(folder / "a.db", kMigrations));
  return OpenStorage(folder, std::move(lock), std::move(database));
}

absl::StatusOr<StoredState> OpenStorage::Read() {
  StoredState state;
  ASSIGN_OR_RETURN(Statement rows, database_.Prepare("SELECT id, value FROM item"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) break;
    state.rows[rows.Int(0)] = rows.Blob(1);
  }
  ASSIGN_OR_RETURN(Statement total, database_.Prepare("SELECT transactions FROM total"));
  RETURN_IF_ERROR(total.Step().status());
  state.transactions = total.Int(0);
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder_));
  for (const FolderEntry& entry : entries) {
    const std::string name = entry.path.filename().string();
    if (name.rfind(kFile, 0) != 0 || entry.path.extension() == kUnfinished) continue;
    ASSIGN_OR_RETURN(state.files[name], ReadFile(entry.path));
  }
  return state;
}

}  // namespace consilium::storage
