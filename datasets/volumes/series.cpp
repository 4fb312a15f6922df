#include "datasets/volumes/series.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "common/base/status.h"
#include "datasets/files_below.h"
#include "datasets/parallel.h"

namespace consilium::datasets::volumes {
namespace {

constexpr std::string_view kStep = "reading headers";
constexpr std::size_t kFilesTogether = 32;

std::string AcquiredAt(const PetHeader& pet) { return pet.acquisition_date + pet.acquisition_time; }

void Merge(Series& into, Series&& instance) {
  std::move(instance.slices.begin(), instance.slices.end(), std::back_inserter(into.slices));
  for (std::string& uid : instance.sop_class_uids) {
    if (std::find(into.sop_class_uids.begin(), into.sop_class_uids.end(), uid) ==
        into.sop_class_uids.end()) {
      into.sop_class_uids.push_back(std::move(uid));
    }
  }
  if (instance.pet && (!into.pet || AcquiredAt(*instance.pet) < AcquiredAt(*into.pet))) {
    into.pet = std::move(instance.pet);
  }
  if (!into.refused) into.refused = std::move(instance.refused);
}

class Gathering {
 public:
  void Add(const std::string& name, OrRefused<Series> instance) {
    ++folder_.files;
    if (!instance.ok()) {
      ++folder_.refused[instance.refused().reason];
      return;
    }
    instance->first_file = name;
    if (IsCopy(*instance)) {
      ++folder_.refused[Refusal::kDuplicateInstance];
      return;
    }
    const auto [known, is_new] = series_.emplace(KeyOf(*instance), folder_.series.size());
    if (is_new) {
      folder_.series.push_back(std::move(*instance));
    } else {
      Merge(folder_.series[known->second], std::move(*instance));
    }
  }
  FolderOfSeries Done() && { return std::move(folder_); }

 private:
  bool IsCopy(const Series& instance) {
    if (instance.slices.empty() || instance.slices[0].instance.empty()) return false;
    return !instances_.insert(instance.slices[0].instance).second;
  }

  // Files whose UIDs somebody has emptied are of one series when they lie in one folder and frame
  // of reference; what does not fit together is refused later.
  static std::string KeyOf(const Series& instance) {
    if (!instance.uid.empty()) return instance.uid;
    const std::string frame = instance.slices.empty() ? "" : instance.slices[0].frame_of_reference;
    return StrCat(fs::path(instance.first_file).parent_path().generic_string(), "\n",
                  instance.modality, "\n", frame);
  }

  FolderOfSeries folder_;
  std::map<std::string, std::size_t> series_;
  std::set<std::string> instances_;
};

}  // namespace

std::unique_ptr<InstanceReader> ReadInstancesInThisProcess() {
  class ThisProcess final : public InstanceReader {
   public:
    std::vector<OrRefused<Series>> ReadInstances(std::span<const fs::path> paths) override {
      std::vector<OrRefused<Series>> instances;
      for (const fs::path& path : paths) instances.push_back(ReadInstance(path));
      return instances;
    }
  };
  return std::make_unique<ThisProcess>();
}

absl::StatusOr<FolderOfSeries> ReadFolder(const fs::path& folder, InstanceReader& reader,
                                          unsigned threads, Progress& progress) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesBelow(folder));
  std::vector<std::vector<OrRefused<Series>>> parts((files.size() + kFilesTogether - 1) /
                                                    kFilesTogether);
  std::atomic<std::uint64_t> done = 0;
  const bool all = ParallelFor(parts.size(), threads, [&](std::size_t part) {
    const std::size_t start = part * kFilesTogether;
    const std::size_t count = std::min(kFilesTogether, files.size() - start);
    parts[part] = reader.ReadInstances(std::span(files).subspan(start, count));
    progress.Report(kStep, done += count, files.size());
    return !progress.Cancelled();
  });
  if (!all) return absl::CancelledError("interrupted");
  Gathering gathering;  // in the order of the paths, however the threads went
  auto file = files.begin();
  for (auto& part : parts) {
    for (OrRefused<Series>& instance : part) {
      gathering.Add((file++)->lexically_relative(folder).generic_string(), std::move(instance));
    }
  }
  return std::move(gathering).Done();
}

absl::StatusOr<FolderOfSeries> ReadFolder(const fs::path& folder, unsigned threads,
                                          Progress& progress) {
  return ReadFolder(folder, *ReadInstancesInThisProcess(), threads, progress);
}

OrRefused<Series> GatherSeries(InstanceReader& reader, std::span<const fs::path> files) {
  std::optional<Series> series;
  for (std::size_t start = 0; start < files.size(); start += kFilesTogether) {
    const std::size_t count = std::min(kFilesTogether, files.size() - start);
    for (OrRefused<Series>& instance : reader.ReadInstances(files.subspan(start, count))) {
      if (!instance.ok()) return instance.refused();
      if (series) {
        Merge(*series, std::move(*instance));
      } else {
        series = std::move(*instance);
      }
    }
  }
  CONSILIUM_CHECK(series.has_value());
  return *std::move(series);
}

OrRefused<std::vector<Stack>> FindStacks(const Series& series, const StackOptions& options) {
  if (series.refused) return *series.refused;
  if (series.slices.size() > kMaxFrames) {
    return Refused{Refusal::kTooLarge, StrCat(series.slices.size(), " slices")};
  }
  return FindStacks(series.slices, options);
}

std::optional<Refused> ToSuv(const Series& series, Volume* volume) {
  if (!series.pet) return Refused{Refusal::kNoSuvFactor, "the series is no PET"};
  const OrRefused<double> factor = SuvBodyWeightFactor(*series.pet);
  if (!factor.ok()) return factor.refused();
  for (float& voxel : volume->voxels) voxel = static_cast<float>(voxel * *factor);
  return std::nullopt;
}

}  // namespace consilium::datasets::volumes
