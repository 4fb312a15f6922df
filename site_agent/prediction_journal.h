#pragma once

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/storage/database.h"

namespace consilium::site_agent {

// What a model has scored, so that each is scored once: an image by the SHA-256 of its instance's
// UID, a series by that of all of its instances' UIDs; no names and no UIDs. One process at a time;
// not thread-safe.
class PredictionJournal {
 public:
  static absl::StatusOr<PredictionJournal> Open(const fs::path& file);
  absl::StatusOr<bool> Has(const ModelId& model, const Digest& instance);
  // Durable when OK. The same again is OK.
  absl::Status Add(const ModelId& model, const Digest& instance, Time now);

 private:
  explicit PredictionJournal(storage::Database database) : database_(std::move(database)) {}
  storage::Database database_;
};

}  // namespace consilium::site_agent
