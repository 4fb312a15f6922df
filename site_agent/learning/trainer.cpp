#include "site_agent/learning/trainer.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/tasks/shape.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

// Fisher-Yates; std::shuffle differs between standard libraries.
std::vector<std::size_t> ShuffledOrder(std::size_t count, std::uint64_t seed, std::uint32_t epoch) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  SeededRandom random(seed, StrCat("order/", epoch));
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

// One line on a terminal says which epoch, how far, and the loss so far.
class EpochReport {
 public:
  EpochReport(Progress& progress, std::uint32_t epoch, std::uint32_t epochs, std::uint64_t total)
      : progress_(progress), step_(StrCat("epoch ", epoch + 1, " of ", epochs)), total_(total) {}

  void Add(std::size_t examples, double mean_loss) {
    done_ += examples;
    loss_sum_ += mean_loss * static_cast<double>(examples);
    char loss[32];
    std::snprintf(loss, sizeof loss, "loss %.4f", MeanLoss());
    progress_.Report(step_, done_, total_, loss);
  }
  double MeanLoss() const { return loss_sum_ / static_cast<double>(done_); }

 private:
  Progress& progress_;
  const std::string step_;
  const std::uint64_t total_;
  std::uint64_t done_ = 0;
  double loss_sum_ = 0;
};

absl::Status Diverged(std::uint64_t step) {
  return absl::InternalError(
      StrCat("training diverged: the loss is not a number at step ", step,
             "; lower [training] learning_rate, or give [training] weight_decay a smaller value"));
}

absl::StatusOr<double> TrainEpoch(TrainingStep& step, BatchLoader& batches, std::uint64_t& steps,
                                  EpochReport& report, const Progress& progress) {
  for (std::size_t i = 0; i < batches.batches(); ++i) {
    if (progress.Cancelled()) return absl::CancelledError("training was stopped");
    const Batch batch = batches.Next();
    const double loss = step.Run(batch);
    ++steps;
    if (!std::isfinite(loss)) return Diverged(steps);
    report.Add(batch.count, loss);
  }
  return report.MeanLoss();
}

absl::StatusOr<TrainResult> TrainNetwork(const ModelState& base, const datasets::Dataset& data,
                                         const TrainTask& task, const LearningTask& learning,
                                         const Population& population, Progress& progress) {
  const plan::Training& training = task.plan.training;
  const std::unique_ptr<Network> network = Network::Make(task.plan);
  RETURN_IF_ERROR(LoadInto(*network, base, task.plan));
  network->Seed(SeededRandom(task.seed, "network")());
  if (task.pulled_to) {
    RETURN_IF_ERROR(CheckSameLayout(base.layout(), task.pulled_to->layout()));
  }
  TrainingStep step(*network, learning, population, task.plan,
                    task.pulled_to ? &*task.pulled_to : nullptr);
  if (training.keep_optimizer && task.moments) {
    RETURN_IF_ERROR(step.optimizer().Restore(*task.moments));
  }
  BatchLoader::Options options{.batch_size = training.batch_size,
                               .smallest_batch = learning.smallest_batch(),
                               .augmentation = training.augmentation,
                               .targets_are_masks = TaughtByMasks(task.plan.target.task),
                               .block = training.block};
  TrainResult result{
      .trained = base, .examples = population.examples, .patients = population.patients};
  std::uint64_t steps = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint32_t epoch = 0; epoch < task.epochs; ++epoch) {
    options.augmentation_seed = SeededRandom(task.seed, StrCat("augmentation/", epoch))();
    BatchLoader batches(data, ShuffledOrder(data.size(), task.seed, epoch), options);
    EpochReport report(progress, epoch, task.epochs, data.size());
    ASSIGN_OR_RETURN(result.last_epoch_loss, TrainEpoch(step, batches, steps, report, progress));
    if (epoch == 0) result.first_epoch_loss = result.last_epoch_loss;
    result.waited_for_batches_s += batches.waited_s();
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  absl::StatusOr<ModelState> trained = network->Save();
  if (!trained.ok()) return WithContext(Diverged(steps), ToStd(trained.status().message()));
  result.trained = *std::move(trained);
  if (training.keep_optimizer) result.moments = step.optimizer().Moments();
  return result;
}

absl::Status CheckTask(const TrainTask& task) {
  if (task.epochs == 0)
    return absl::InvalidArgumentError("0 epochs asked for; at least 1 is needed");
  if (task.plan.training.batch_size == 0)
    return absl::InvalidArgumentError("[training] batch_size is 0; at least 1 is needed");
  if (task.plan.training.batch_size == 1 && task.plan.model.norm == plan::Norm::kBatch) {
    return absl::InvalidArgumentError(
        "batch norm cannot train on batches of one example: raise [training] batch_size, or set "
        "[model] norm = \"group\"");
  }
  if (task.plan.training.batch_size == 1 && task.plan.target.task == Task::kSurvival) {
    return absl::InvalidArgumentError(
        "a survival model cannot train on batches of one example: who is at greater risk is "
        "learned "
        "from pairs; raise [training] batch_size, at best to all of a site's examples");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainResult> Train(const ModelState& base, const datasets::Dataset& data,
                                  const TrainTask& task, Progress& progress) {
  RETURN_IF_ERROR(CheckTask(task));
  RETURN_IF_ERROR(CheckShape(data, task.plan));
  const std::unique_ptr<LearningTask> learning = LearningTask::Make(task.plan);
  ASSIGN_OR_RETURN(const Population population, learning->Survey(data));
  return WithTorch("training",
                   [&] { return TrainNetwork(base, data, task, *learning, population, progress); });
}

absl::StatusOr<ModelUpdate> MakeUpdate(const ModelId& base_id, const ModelState& base,
                                       const TrainResult& result, plan::WeightRule rule) {
  RETURN_IF_ERROR(CheckSameLayout(base.layout(), result.trained.layout()));
  ModelUpdate update{.base = base_id};
  const std::span<const float> before = base.values(), after = result.trained.values();
  update.delta.resize(before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    update.delta[i] = after[i] - before[i];
    if (std::isfinite(update.delta[i])) continue;
    return absl::InternalError(
        "the update is not a number somewhere: training diverged; lower [training] learning_rate");
  }
  switch (rule) {
    case plan::WeightRule::kExamples:
      update.weight = static_cast<double>(result.examples);
      break;
    case plan::WeightRule::kPatients:
      update.weight = static_cast<double>(result.patients);
      break;
    case plan::WeightRule::kEqual:
      update.weight = 1;
      break;
  }
  if (!(update.weight > 0)) {
    return absl::InvalidArgumentError(
        "the update has no weight: it was trained on no examples or patients");
  }
  return update;
}

}  // namespace consilium::learning
