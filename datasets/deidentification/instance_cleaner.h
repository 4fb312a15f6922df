#pragma once

// Who takes the instances of a folder apart and cleans them: this process, or better, a sandboxed
// worker (sandboxed_cleaner.h).

#include <memory>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/deidentification/deidentifier.h"
#include "datasets/refusal.h"

namespace consilium::datasets::deidentification {

struct ExaminedInstance {
  InstanceNames names;
  bool head_image = false;  // its face must be removed; false unless the options clean faces
};

// Thread-safe.
class InstanceCleaner {
 public:
  virtual ~InstanceCleaner() = default;
  virtual OrRefused<ExaminedInstance> Examine(const fs::path& file) = 0;
  // Deidentifier::ApplyToSlice, or with an empty `face` Deidentifier::Apply: as a file's bytes.
  virtual OrRefused<Bytes> Clean(const fs::path& file, std::span<const std::uint8_t> face) = 0;
  // FaceMasks of head_series.h.
  virtual OrRefused<std::vector<Bytes>> FindFaces(const std::vector<fs::path>& files) = 0;
};

// For tests and for one's own files. `deidentifier` lives longer.
std::unique_ptr<InstanceCleaner> CleanInThisProcess(const Deidentifier& deidentifier);

// The three steps, of open files.
OrRefused<ExaminedInstance> Examine(const Deidentifier& deidentifier, File file);
OrRefused<Bytes> Clean(const Deidentifier& deidentifier, const File& file,
                       std::span<const std::uint8_t> face);

}  // namespace consilium::datasets::deidentification
