#pragma once

// A model from elsewhere, as a researcher sends it: written piece by piece, and taken into the
// registry when it is whole and well. One thread.

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "coordinator/model_store.h"
#include "coordinator/shared_ledger.h"

namespace consilium::coordinator {

inline constexpr std::uint64_t kLargestImport = std::uint64_t{2} << 30;  // bytes

class ModelImport {
 public:
  // kInvalidArgument: larger than kLargestImport, or nothing.
  static absl::StatusOr<ModelImport> Begin(const ModelStore& models, std::uint64_t size);
  ModelImport(ModelImport&& other) noexcept
      : models_(other.models_),
        path_(std::exchange(other.path_, {})),
        file_(std::move(other.file_)),
        size_(other.size_),
        written_(other.written_) {}
  ~ModelImport();  // removes what is not whole

  // kInvalidArgument: more than was announced. kResourceExhausted: the disk is full.
  absl::Status Add(ByteView piece);
  // Enters the model, as an initial one without a run, in the ledger and its log. kInvalidArgument:
  // it is not whole, no model file in the canonical form without metadata, or holds NaN or
  // infinity. A model that is there already is well.
  absl::StatusOr<ModelId> Finish(SharedLedger& ledger, const std::string& researcher, Time now);

 private:
  ModelImport(const ModelStore& models, fs::path path, File file, std::uint64_t size)
      : models_(&models), path_(std::move(path)), file_(std::move(file)), size_(size) {}
  const ModelStore* models_;
  fs::path path_;  // empty: moved away or into the registry
  File file_;
  std::uint64_t size_, written_ = 0;
};

}  // namespace consilium::coordinator
