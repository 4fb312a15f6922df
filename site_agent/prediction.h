#pragma once

// A published model on what it has not seen: what does not fit the plan is refused and never
// scored; what fits is scored, and its results are written as DICOM (result_files.h).

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/refusal.h"
#include "datasets/worker/worker_pool.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/prediction_journal.h"
#include "site_agent/published_model.h"

namespace consilium::site_agent {

struct PredictionOptions {
  fs::path out;   // where results go
  fs::path data;  // of plans of images with a table: the folder that has it
  bool picture = true;
  // The class activation as a fractional segmentation. Not by itself: viewers draw a segmentation
  // like an outline, which it is not.
  bool activation = false;
  bool again = false;  // also what this model has scored before
  // Of volumes: a series of which a file came less than this ago may not be whole, and waits for a
  // later call. 0: all that is there is taken for whole.
  Duration settle{};
};

// An image, or a series as a volume.
struct Scored {
  fs::path file;  // of a series the first by its path
  std::uint64_t files = 1;
  std::vector<std::pair<std::string, double>> scores;      // prediction_results.h
  std::vector<std::pair<std::string, double>> volumes_ml;  // of a series: of each structure
  std::optional<bool> present;  // binary; nothing: the record establishes no threshold
  fs::path results;             // the folder
};

struct PredictionReport {
  std::uint64_t files = 0;
  std::uint64_t before = 0;  // images or series that were scored before, and not again
  std::map<datasets::Refusal, std::uint64_t> refused;  // files, by reason
  std::vector<Scored> scored;
  std::uint64_t waiting = 0;  // series that may not be whole yet, after the last call
  std::uint64_t results = 0;  // files written
};

// What all predictions work with. All must outlive it.
struct PredictionTools {
  const PublishedModel& model;
  datasets::worker::WorkerPool& pool;
  PredictionJournal& journal;
  const Clock& clock;
};

// One thread.
class Prediction {
 public:
  // Of plans of images: of each image by itself, or of plans of volumes of each series.
  // kInvalidArgument when the model does not fit its plan's network.
  static absl::StatusOr<std::unique_ptr<Prediction>> Create(const PredictionTools& tools,
                                                            PredictionOptions options);
  virtual ~Prediction() = default;

  // Adds to the report. `files` were not given before, or have changed. All results of an image or
  // a series are durable before the journal has it. An error is one of the disk, of the plan's
  // table (tables::TableData::Read, anew for each call) or the model's; kCancelled: what was scored
  // stays, and the next call goes on.
  virtual absl::Status Run(std::span<const fs::path> files, PredictionReport* report,
                           Progress& progress) = 0;
};

}  // namespace consilium::site_agent
