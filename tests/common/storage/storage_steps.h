#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/storage/database.h"

// What the trials of storage store: steps that each must be durable as a whole once they returned
// OK. Step n is the same for every process that knows the seed, so who counts the acknowledged
// steps knows all that must be there.
namespace consilium::storage {

// All rows and files.
struct StoredState {
  std::map<std::int64_t, Bytes> rows;
  std::int64_t transactions = 0;
  std::map<std::string, Bytes> files;

  bool operator==(const StoredState&) const = default;
};

// What is wrong with `found` when it is neither `acknowledged` nor `attempted`.
std::string Difference(const StoredState& found, const StoredState& acknowledged,
                       const StoredState& attempted);

class StorageStep {
 public:
  StorageStep(std::uint64_t seed, std::uint64_t number);

  bool is_transaction() const { return kind_ == Kind::kTransaction; }
  absl::Status Perform(Database& database, const fs::path& folder) const;
  void ApplyTo(StoredState* state) const;

 private:
  // A file is written at once (WriteFileDurably), or in pieces beside its place, as an upload comes
  // in, and then moved there (RenameDurably).
  enum class Kind { kTransaction, kWholeFile, kMovedFile };
  struct RowChange {
    std::int64_t id = 0;
    std::optional<Bytes> value;  // none: the row goes
  };
  absl::Status MoveFile(const fs::path& folder) const;

  Kind kind_ = Kind::kTransaction;
  std::vector<RowChange> changes_;
  std::string name_;
  Bytes content_;
};

// The folder of a trial, as a program of ours has it open: locked, without what a predecessor left
// half done, the database brought to its version.
class OpenStorage {
 public:
  static absl::StatusOr<OpenStorage> Open(const fs::path& folder);
  absl::Status Perform(const StorageStep& step) { return step.Perform(database_, folder_); }
  absl::StatusOr<StoredState> Read();

 private:
  OpenStorage(fs::path folder, FolderLock lock, Database database)
      : folder_(std::move(folder)), lock_(std::move(lock)), database_(std::move(database)) {}
  fs::path folder_;
  FolderLock lock_;
  Database database_;
};

}  // namespace consilium::storage
