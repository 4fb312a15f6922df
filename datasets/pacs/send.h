#pragma once

// Sends DICOM files to an archive, and remembers which of them it has acknowledged.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/progress.h"
#include "common/storage/database.h"
#include "datasets/pacs/destination.h"

namespace consilium::datasets::pacs {

// What was acknowledged, by destination and content of the file (SHA-256): holds no names and no
// UIDs. One process at a time; not thread-safe.
class SendJournal {
 public:
  static absl::StatusOr<SendJournal> Open(const fs::path& file);
  absl::StatusOr<bool> Has(const std::string& destination, const Digest& content);
  // Durable when OK.
  absl::Status Add(const std::string& destination, const Digest& content);

 private:
  explicit SendJournal(storage::Database database) : database_(std::move(database)) {}
  storage::Database database_;
};

struct SendOptions {
  int attempts = 5;                            // at each file
  Duration backoff = std::chrono::seconds(1);  // before the second, then doubled, to a minute
};

struct SendReport {
  std::uint64_t files = 0;
  std::uint64_t not_dicom = 0;    // left out
  std::uint64_t sent_before = 0;  // by the journal
  std::uint64_t sent = 0, bytes = 0;
  std::map<std::string, std::uint64_t> refused;  // by the archive, by reason
};

// `path`: a file, or a folder tree (hidden files and folders are passed over). What the archive
// refuses is counted and the rest goes on; an archive that cannot be reached after all attempts, or
// refuses us, is an error, and the next call goes on from there.
absl::StatusOr<SendReport> SendFiles(const fs::path& path, Destination& destination,
                                     SendJournal& journal, const SendOptions& options,
                                     Progress& progress);

}  // namespace consilium::datasets::pacs
