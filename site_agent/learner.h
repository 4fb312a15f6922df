#pragma once

// The two things an agent works with, as interfaces: the network (torch_learner.h in production)
// and the hospital's images (catalog_data.h). Tests, benchmarks and the simulation bring their own.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "common/metrics/description.h"
#include "common/metrics/preparation.h"
#include "common/metrics/task_sums.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"
#include "site_agent/learning/trainer.h"

namespace consilium::site_agent {

// Called by one thread at a time. Contracts as in learning/trainer.h; kCancelled as soon as
// progress.Cancelled().
class Learner {
 public:
  virtual ~Learner() = default;
  virtual absl::StatusOr<ModelState> InitialModel(const plan::Plan& plan) = 0;
  virtual absl::StatusOr<learning::TrainResult> Train(const ModelState& base,
                                                      const datasets::Dataset& data,
                                                      const learning::TrainTask& task,
                                                      Progress& progress) = 0;
  virtual absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model,
                                                     const plan::Plan& plan,
                                                     const datasets::Dataset& data,
                                                     Progress& progress) = 0;
};

// What a plan would find here.
struct DataOffer {
  datasets::SplitCounts train;
  std::uint64_t refused_files = 0;
  // Of these, how many for which reason (datasets::Name(Refusal)).
  std::map<std::string, std::uint64_t> refusals;
};

// What the header of an example's image says, for subgroups and for telling what is new; empty
// where it is not known, or the site's policy does not retain it. Of a volume, its first image.
struct ExampleFacts {
  std::string sex;                   // "F", "M", "O"
  std::optional<int> age;            // whole years at the study; above 89: 90
  std::string manufacturer, view;    // as the file says them
  std::int64_t image = 0;            // the catalog's number of it; 0: it has none, as a table's row
  std::optional<std::int64_t> came;  // when the file was last changed, in seconds since 1970
};

// One flat image as a plan's network would see it, but for the standardisation.
struct SeenImage {
  std::uint64_t patient = 0;
  std::int64_t came = 0;  // as ExampleFacts::came
  bool held_out = false;  // its patient is not in the training split
  std::span<const float> input;
};
using SeeImage = std::function<absl::Status(const SeenImage& image)>;

// The site's own images. Thread-safe.
class LocalData {
 public:
  virtual ~LocalData() = default;
  // Quick: nothing is decoded. kFailedPrecondition when there are no labels for the plan's target.
  virtual absl::StatusOr<DataOffer> Count(const plan::Plan& plan) = 0;
  // All images, with the labels of the plan's target if it names one. The same images give the same
  // description.
  virtual absl::StatusOr<metrics::Description> Describe(const plan::Plan& plan,
                                                        Progress& progress) = 0;
  // What the training rows of the plan's table are on average: what this site adds to the
  // federation's scales. Of a plan with a table only.
  virtual absl::StatusOr<metrics::PreparationSums> Prepare(const plan::Plan& plan,
                                                           Progress& progress) {
    static_cast<void>(plan), static_cast<void>(progress);
    return absl::UnimplementedError("this site serves no tables");
  }
  // A split, preprocessed as the plan asks.
  virtual absl::StatusOr<std::shared_ptr<const datasets::Dataset>> Open(const plan::Plan& plan,
                                                                        datasets::Split split,
                                                                        Progress& progress) = 0;
  // Of each example of the split, in its order.
  virtual absl::StatusOr<std::vector<ExampleFacts>> Facts(const plan::Plan& plan,
                                                          datasets::Split split,
                                                          Progress& progress) {
    auto data = Open(plan, split, progress);
    if (!data.ok()) return data.status();
    return std::vector<ExampleFacts>((*data)->size());
  }
  // Calls `see` for the images that the plan's [data] wants, labelled or not, of each patient at
  // most `a_patient`, the newest. Those that cannot be read are passed over; an error of `see` ends
  // it. Of plans of flat images without a table only.
  virtual absl::Status SeeImages(const plan::Plan& plan, std::size_t a_patient, const SeeImage& see,
                                 Progress& progress) {
    static_cast<void>(plan), static_cast<void>(a_patient);
    static_cast<void>(see), static_cast<void>(progress);
    return absl::UnimplementedError("this site shows no single images");
  }
};

}  // namespace consilium::site_agent
