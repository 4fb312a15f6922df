#include <ATen/ops/sigmoid.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

constexpr std::uint64_t kPixelsABatch =
    64 * 64 * 64;  // keeps the largest activations near the cache's size

std::uint32_t BatchSize(std::uint32_t image_size) {
  const std::uint64_t pixels = std::uint64_t{image_size} * image_size;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, kPixelsABatch / pixels));
}

absl::StatusOr<std::vector<float>> Score(Network& network, const datasets::Dataset& data,
                                         Progress& progress) {
  std::vector<std::size_t> order(data.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  BatchLoader batches(data, std::move(order), {.batch_size = BatchSize(data.image_size())});
  std::vector<float> scores;
  scores.reserve(data.size());
  for (std::size_t i = 0; i < batches.batches(); ++i) {
    if (progress.Cancelled()) return absl::CancelledError("evaluation was stopped");
    const Batch batch = batches.Next();
    const at::Tensor logits = network.Forward(Images(batch, data.image_size()), /*training=*/false);
    const at::Tensor probabilities = at::sigmoid(logits).contiguous();
    const float* values = probabilities.data_ptr<float>();
    if (!std::all_of(values, values + batch.count, [](float v) { return std::isfinite(v); })) {
      return absl::InvalidArgumentError(
          "the model gives a score that is not a number: its weights are out of range");
    }
    scores.insert(scores.end(), values, values + batch.count);
    progress.Report("evaluating", scores.size(), data.size());
  }
  return scores;
}

}  // namespace

absl::StatusOr<std::vector<float>> Predict(const ModelState& model, const plan::Plan& plan,
                                           const datasets::Dataset& data, Progress& progress) {
  RETURN_IF_ERROR(CheckImageSize(data, plan));
  return WithTorch("evaluation", [&]() -> absl::StatusOr<std::vector<float>> {
    const c10::InferenceMode no_gradients;
    const std::unique_ptr<Network> network = Network::Make(plan.model);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    return Score(*network, data, progress);
  });
}

absl::StatusOr<metrics::BinarySums> Evaluate(const ModelState& model, const plan::Plan& plan,
                                             const datasets::Dataset& data, Progress& progress) {
  ASSIGN_OR_RETURN(const std::vector<float> scores, Predict(model, plan, data, progress));
  metrics::BinarySums sums;
  std::unordered_set<std::uint64_t> patients;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const datasets::Dataset::Label label = data.GetLabel(i);
    if (label.target != 0 && label.target != 1) {
      return absl::InvalidArgumentError(
          StrCat("an example has target ", label.target, "; 0 and 1 are allowed"));
    }
    sums.Add(scores[i], label.target == 1);
    patients.insert(label.patient);
  }
  sums.patients = patients.size();
  return sums;
}

}  // namespace consilium::learning
