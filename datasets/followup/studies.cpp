#include "datasets/followup/studies.h"

#include <algorithm>
#include <set>

#include "common/base/status.h"
#include "datasets/files_below.h"

namespace consilium::datasets::followup {
namespace {

constexpr std::size_t kFilesTogether = 512;

class Gathering {
 public:
  explicit Gathering(const std::optional<std::string>& patient_id) : wanted_(patient_id) {}

  void Add(const fs::path& file, OrRefused<Instance> read) {
    ++folder_.files;
    if (!read.ok()) {
      ++folder_.refused[read.refused().reason];
      return;
    }
    Instance& instance = *read;
    const std::string& modality = instance.source.modality;
    const bool is_image = instance.kind == Instance::Kind::kImage;
    if (is_image && modality != "CT" && modality != "MR") {
      ++folder_.other;
      return;
    }
    if (instance.patient_id.empty()) {
      ++folder_.refused[Refusal::kMissingPatientId];
      return;
    }
    if (wanted_ && instance.patient_id != *wanted_) return;
    if (!instances_.insert(instance.source.sop_instance_uid).second) {
      ++folder_.refused[Refusal::kDuplicateInstance];
      return;
    }
    Study& study = patients_[instance.patient_id][instance.source.study_instance_uid];
    if (!is_image) {
      study.segmentations.push_back(
          {file, std::move(instance.source), instance.date + instance.time});
      return;
    }
    // Text of digits is in the order of time.
    if (DaysBetween(instance.date, instance.date) &&
        (study.date.empty() ||
         std::pair(instance.date, instance.time) < std::pair(study.date, study.time))) {
      study.date = instance.date;
      study.time = instance.time;
    }
    ImageSeries& series = study.series[instance.source.series_instance_uid];
    if (series.files.empty()) series.source = std::move(instance.source);
    series.files.push_back(file);
  }

  FolderOfPatients Done() && {
    for (auto& [id, studies] : patients_) {
      Patient patient{.id = id, .studies = {}};
      for (auto& [uid, study] : studies) {
        if (study.series.empty()) continue;  // segmentations of what is not here
        if (study.date.empty()) {
          ++patient.undated;
        } else {
          patient.studies.push_back(std::move(study));
        }
      }
      std::stable_sort(patient.studies.begin(), patient.studies.end(),
                       [](const Study& a, const Study& b) {
                         return std::pair(a.date, a.time) < std::pair(b.date, b.time);
                       });
      folder_.patients.push_back(std::move(patient));
    }
    return std::move(folder_);
  }

 private:
  const std::optional<std::string>& wanted_;
  FolderOfPatients folder_;
  std::map<std::string, std::map<std::string, Study>> patients_;
  std::set<std::string> instances_;
};

}  // namespace

absl::StatusOr<FolderOfPatients> FindPatients(worker::WorkerPool& pool, const fs::path& folder,
                                              const std::optional<std::string>& patient_id,
                                              Progress& progress) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, FilesBelow(folder));
  Gathering gathering(patient_id);
  for (std::size_t first = 0; first < files.size(); first += kFilesTogether) {
    if (progress.Cancelled()) return absl::CancelledError("interrupted");
    const std::size_t count = std::min(kFilesTogether, files.size() - first);
    const auto batch = std::span(files).subspan(first, count);
    auto instances = ReadInstances(pool, batch);
    for (std::size_t i = 0; i < count; ++i) gathering.Add(batch[i], std::move(instances[i]));
    progress.Report("reading headers", first + count, files.size());
  }
  return std::move(gathering).Done();
}

}  // namespace consilium::datasets::followup
