#pragma once

// Training and evaluation without a coordinator: a site's own model, or one on the pooled images of
// several folders, made the way the federation makes its own. These are the baselines that a
// federated model is compared with.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/metrics/preparation.h"
#include "common/metrics/task_sums.h"
#include "common/plan/plan.h"
#include "site_agent/learner.h"

namespace consilium::site_agent {

// The same split of several sites, one after another. Patients of different sites stay apart.
absl::StatusOr<std::shared_ptr<const datasets::Dataset>> OpenPooled(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    datasets::Split split, Progress& progress);
// Several splits of each.
absl::StatusOr<std::shared_ptr<const datasets::Dataset>> OpenPooled(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    std::span<const datasets::Split> splits, Progress& progress);

struct Epoch {
  std::uint32_t number = 0;  // from 1
  double loss = 0;           // mean, training
  // Absent when they are not defined on that split (a class, any event is missing).
  std::optional<metrics::TaskMetrics> validation;
  bool best = false;  // so far
  // Of training, and how much of it was spent waiting for the next batch of images.
  double seconds = 0, waited_for_batches_s = 0;
};

struct LocalModel {
  ModelState model;
  std::uint32_t best_epoch = 0;
  std::vector<Epoch> epochs;
};

// The scales of a table's numbers, over the training rows of all these sites; none of a plan
// without a table or numbers.
absl::StatusOr<std::vector<metrics::Scale>> PrepareLocally(
    const std::vector<std::unique_ptr<LocalData>>& sites, const plan::Plan& plan,
    Progress& progress);

// What the plan's training starts from: its seed, or `file`, which must be the model that it names
// and gets the plan's adapters if it has none. kFailedPrecondition: the plan names a model and no
// file is given. kInvalidArgument: a file that is another model, or that no plan asks for.
absl::StatusOr<ModelState> StartOf(const plan::Plan& plan, const fs::path& file, Learner& learner);

// Trains `epochs` epochs from `start`, with `scales` if there are any, and keeps
// the one with the best headline on the validation split, as the federation does; the last one when
// that cannot be computed there.
absl::StatusOr<LocalModel> TrainLocally(Learner& learner, const plan::Plan& plan, ModelState start,
                                        std::span<const metrics::Scale> scales,
                                        const datasets::Dataset& train,
                                        const datasets::Dataset& validation, std::uint32_t epochs,
                                        std::uint64_t seed,
                                        const std::function<void(const Epoch&)>& after_epoch,
                                        Progress& progress);

}  // namespace consilium::site_agent
