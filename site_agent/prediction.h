#pragma once

// A published model on images that it has not seen: what does not fit the plan is refused and never
// scored; what fits is scored, and its results are written as DICOM (datasets/results).

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "datasets/refusal.h"
#include "datasets/results/subject.h"
#include "datasets/worker/worker_pool.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/prediction_journal.h"
#include "site_agent/prediction_results.h"
#include "site_agent/published_model.h"

namespace consilium::site_agent {

struct PredictionOptions {
  // Results go to OUT/ab/abcdef.../report.dcm, picture.dcm, segmentation.dcm (of structures) or
  // activation.dcm: named by the SHA-256 of model and instance.
  fs::path out;
  bool picture = true;
  // The class activation as a fractional segmentation. Not by itself: viewers draw a segmentation
  // like an outline, which it is not.
  bool activation = false;
  bool again = false;  // also what this model has scored before
};

struct ScoredImage {
  fs::path file;
  std::vector<std::pair<std::string, double>> scores;  // prediction_results.h
  std::optional<bool> present;  // binary; nothing: the record establishes no threshold
  fs::path results;             // the folder
};

struct PredictionReport {
  std::uint64_t files = 0;
  std::uint64_t before = 0;  // scored before, and not again
  std::map<datasets::Refusal, std::uint64_t> refused;
  std::vector<ScoredImage> scored;
  std::uint64_t results = 0;  // files written
};

// One thread.
class Prediction {
 public:
  // All must outlive it. kInvalidArgument when the model does not fit its plan's network; errors as
  // CheckPredictable.
  static absl::StatusOr<std::unique_ptr<Prediction>> Create(const PublishedModel& model,
                                                            datasets::worker::WorkerPool& pool,
                                                            PredictionJournal& journal,
                                                            const Clock& clock,
                                                            PredictionOptions options);

  // Adds to the report. Every image's results are durable before the journal has it. An error is
  // one of the disk or the model's; kCancelled: what was scored stays, and the next call goes on.
  absl::Status Run(std::span<const fs::path> files, PredictionReport* report, Progress& progress);

 private:
  Prediction(const PublishedModel& model, datasets::worker::WorkerPool& pool,
             PredictionJournal& journal, const Clock& clock, PredictionOptions options,
             std::unique_ptr<learning::Predictor> predictor);
  // One image whose header fits the plan.
  absl::Status Score(const fs::path& file, PredictionReport* report);
  absl::Status Write(const datasets::results::Subject& subject, const PredictionResults& made,
                     ScoredImage* scored, std::uint64_t* written);

  const PublishedModel& model_;
  datasets::worker::WorkerPool& pool_;
  PredictionJournal& journal_;
  const Clock& clock_;
  const PredictionOptions options_;
  const std::unique_ptr<learning::Predictor> predictor_;
};

}  // namespace consilium::site_agent
