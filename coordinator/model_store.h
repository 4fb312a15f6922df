#pragma once

// The model files of the registry: STATE/models/<sha-256>.safetensors. What they are (stage, run,
// round) stands in the ledger; a file is here before its row.

#include <string>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "coordinator/aggregator.h"

namespace consilium::coordinator {

// Thread-safe: it holds nothing but a folder's name.
class ModelStore {
 public:
  // Makes the folder when it is missing, and removes what an interrupted write left in it.
  static absl::StatusOr<ModelStore> Open(const fs::path& folder);

  const fs::path& folder() const { return folder_; }
  fs::path PathOf(const ModelId& model) const;

  // Reads the file in pieces, checks that it is a canonical model file, and keeps a copy under its
  // hash.
  absl::StatusOr<MadeModel> Import(const fs::path& file);
  // For reading by offset (never mapped, so that memory stays small). kNotFound when the model was
  // never here or has been removed.
  absl::StatusOr<File> OpenForReading(const ModelId& model) const;
  // What a round trains from. kNotFound as above; kInvalidArgument when it is no model file.
  absl::StatusOr<BaseModel> LoadBase(const ModelId& model) const;
  bool Holds(const ModelId& model) const;
  // True when there was a file.
  absl::StatusOr<bool> Remove(const ModelId& model);

 private:
  explicit ModelStore(fs::path folder) : folder_(std::move(folder)) {}
  fs::path folder_;
};

}  // namespace consilium::coordinator
