#pragma once

// The patients of a folder, and the studies of each in the order of time.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "datasets/followup/instance.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::followup {

struct ImageSeries {
  results::SourceImage source;  // of its first file by name
  std::vector<fs::path> files;
};

struct SegmentationFile {
  fs::path file;
  results::SourceImage source;
  std::string made;  // date and time; empty: not said
};

struct Study {
  std::string date, time;                     // of its earliest image
  std::map<std::string, ImageSeries> series;  // by UID: CT and MR
  std::vector<SegmentationFile> segmentations;
};

struct Patient {
  std::string id;              // opaque
  std::vector<Study> studies;  // the earliest first; those without a date are left out
  std::uint32_t undated = 0;
};

struct FolderOfPatients {
  std::vector<Patient> patients;  // by ID
  std::uint64_t files = 0;
  std::map<Refusal, std::uint64_t> refused;  // files that are not read, by reason
  std::uint64_t other = 0;                   // of other modalities
};

// All files below a folder; hidden ones are passed over. Only of the patient with this ID, where
// one is given. Of copies of an instance the first by path counts. kNotFound without the folder,
// kCancelled when interrupted.
absl::StatusOr<FolderOfPatients> FindPatients(worker::WorkerPool& pool, const fs::path& folder,
                                              const std::optional<std::string>& patient_id,
                                              Progress& progress);

}  // namespace consilium::datasets::followup
