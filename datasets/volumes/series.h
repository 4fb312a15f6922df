#pragma once

// The series of a folder, and their slices: of files with one frame and of enhanced multi-frame
// objects (PS3.3 C.7.6.16) alike. Headers only; pixels are read when a volume is loaded.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/refusal.h"
#include "datasets/volumes/stack.h"
#include "datasets/volumes/suv.h"

namespace consilium::datasets::dicom {
class DataSet;
}

namespace consilium::datasets::volumes {

// At most so many frames of one file, and slices of one series.
inline constexpr std::uint32_t kMaxFrames = 1u << 16;

struct Series {
  std::string uid;  // opaque, as all identifiers here: never shown, logged or sent
  std::string study_uid;
  std::string modality;    // "CT", "MR", "PT"; empty when not said
  std::string first_file;  // below the folder, by name the first: for the operator's own eyes
  std::vector<Slice> slices;
  std::vector<std::string> sop_class_uids;  // one of each
  std::optional<PetHeader> pet;             // of PT: of the earliest acquisition
  // Of instances that hold no slices for a volume: why the first of them does not. Then the series
  // is not used.
  std::optional<Refused> refused;
};

// One instance as a series of its own. Its slices read `path` again when they are loaded; the
// slices of one file share the open file, so load them in one thread at a time. Refuses what is no
// sound DICOM image; a slice whose geometry is missing is refused by FindStacks.
OrRefused<Series> ReadInstance(const fs::path& path);
// The same without a way to load its slices, and without the file's name.
OrRefused<Series> ReadInstance(const dicom::DataSet& data_set);

// Who reads the instances of a folder: this process, or better, a sandboxed worker
// (sandboxed_instances.h). Thread-safe.
class InstanceReader {
 public:
  virtual ~InstanceReader() = default;
  // ReadInstance of each path, in their order. Slices load as theirs do, while this lives.
  virtual std::vector<OrRefused<Series>> ReadInstances(std::span<const fs::path> paths) = 0;
};
std::unique_ptr<InstanceReader> ReadInstancesInThisProcess();

struct FolderOfSeries {
  std::vector<Series> series;  // by their first file
  std::uint64_t files = 0;
  std::map<Refusal, std::uint64_t> refused;  // files that belong to no series here, by reason
};

// All files of a folder tree by series; those without a series UID by folder, modality and frame of
// reference. Copies of an instance count as kDuplicateInstance, and the first by path is used.
// kNotFound without the folder, kCancelled when interrupted.
absl::StatusOr<FolderOfSeries> ReadFolder(const fs::path& folder, InstanceReader& reader,
                                          unsigned threads, Progress& progress);
// In this process: for tests and for one's own files.
absl::StatusOr<FolderOfSeries> ReadFolder(const fs::path& folder, unsigned threads,
                                          Progress& progress);

// The instances of `files` (one or more) as one series, with the first one's texts. Refuses what
// any of them is refused for.
OrRefused<Series> GatherSeries(InstanceReader& reader, std::span<const fs::path> files);

// The stacks of a series; with Series::refused, that.
OrRefused<std::vector<Stack>> FindStacks(const Series& series, const StackOptions& options);

// Turns the voxels of a PET into standardised uptake values by body weight.
std::optional<Refused> ToSuv(const Series& series, Volume* volume);

}  // namespace consilium::datasets::volumes
