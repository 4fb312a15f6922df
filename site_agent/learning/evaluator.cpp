#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/sliding_window.h"
#include "site_agent/learning/tasks/shape.h"
#include "site_agent/learning/tasks/tasks.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

constexpr std::uint64_t kPixelsABatch =
    64 * 64 * 64;  // keeps the largest activations near the cache's size
constexpr std::uint32_t kRowsABatch = 4096;

std::uint32_t BatchSize(const datasets::InputShape& shape) {
  if (shape.ImageElements() == 0) return kRowsABatch;
  return static_cast<std::uint32_t>(
      std::max<std::uint64_t>(1, kPixelsABatch / shape.ImageElements()));
}

// Calls `visit`(output, batch, index of its first example) for every batch, in order.
template <class Visit>
absl::Status ForEachBatch(const ModelState& model, const plan::Plan& plan,
                          const datasets::Dataset& data, Progress& progress, Visit&& visit) {
  RETURN_IF_ERROR(CheckShape(data, plan));
  return WithTorch("evaluation", [&]() -> absl::Status {
    const c10::InferenceMode no_gradients;
    const std::unique_ptr<Network> network = Network::Make(plan);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    std::vector<std::size_t> order(data.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    BatchLoader batches(data, std::move(order), {.batch_size = BatchSize(data.input_shape())});
    std::size_t first = 0;
    for (std::size_t i = 0; i < batches.batches(); ++i) {
      if (progress.Cancelled()) return absl::CancelledError("evaluation was stopped");
      const Batch batch = batches.Next();
      RETURN_IF_ERROR(
          visit(AnswerOf(*network, TensorOf(batch), plan.training.block), batch, first));
      first += batch.count;
      progress.Report("evaluating", first, data.size());
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<std::vector<float>> Predict(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress) {
  const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
  std::vector<float> predictions;
  RETURN_IF_ERROR(ForEachBatch(
      model, plan, data, progress,
      [&](const at::Tensor& output, const Batch&, std::size_t) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<float> values, Numbers(task->Predict(output)));
        predictions.insert(predictions.end(), values.begin(), values.end());
        return absl::OkStatus();
      }));
  return predictions;
}

absl::StatusOr<metrics::TaskSums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress) {
  const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
  const std::unique_ptr<TaskEvaluation> evaluation = task->Evaluate(data);
  RETURN_IF_ERROR(
      ForEachBatch(model, plan, data, progress,
                   [&](const at::Tensor& output, const Batch& batch, std::size_t first) {
                     return evaluation->Add(output, batch.targets, first, batch.count);
                   }));
  return evaluation->Finish();
}

}  // namespace consilium::learning
