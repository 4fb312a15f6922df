#include "site_agent/learning/training_step.h"

#include <ATen/ops/from_blob.h>

#include <cmath>

#include "common/base/status.h"
#include "site_agent/learning/mixed_precision.h"

namespace consilium::learning {
namespace {

double ProximalMu(const plan::Aggregation& aggregation) {
  return aggregation.method == plan::AggregationMethod::kFedProx ? aggregation.proximal_mu : 0;
}

at::Tensor View(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape);  // only read
}

}  // namespace

at::Tensor TensorOf(const Batch& batch) {
  const datasets::InputShape& shape = batch.shape;
  const auto count = static_cast<std::int64_t>(batch.count);
  if (shape.ImageElements() == 0) return View(batch.inputs, {count, shape.columns});
  // Network takes flat images or tables (CheckShape).
  CONSILIUM_CHECK(shape.depth == 1 && shape.columns == 0);
  const std::int64_t channels = shape.channels, height = shape.height, width = shape.width;
  const std::int64_t row = width * channels;
  // The strides say channels-last, and every later tensor follows them.
  return View(batch.inputs, {count, height, width, channels})
      .as_strided({count, channels, height, width}, {height * row, 1, row, channels});
}

TrainingStep::TrainingStep(Network& network, const LearningTask& task, Population population,
                           const plan::Plan& plan)
    : network_(network),
      task_(task),
      population_(std::move(population)),
      precision_(plan.training.precision),
      optimizer_(network.TrainedTensors(), plan.training, ProximalMu(plan.aggregation)) {}

at::Tensor TrainingStep::Forward(const Batch& batch) {
  const MixedPrecision mixed(precision_);
  return network_.Forward(TensorOf(batch), /*training=*/true).to(at::kFloat);
}

double TrainingStep::Run(const Batch& batch) {
  const auto count = static_cast<std::int64_t>(batch.count);
  const auto target_elements = static_cast<std::int64_t>(batch.targets.size() / batch.count);
  const at::Tensor output = Forward(batch);
  const at::Tensor loss =
      task_.Loss(output, View(batch.targets, {count, target_elements}), population_);
  const double value = loss.item<float>();
  if (!std::isfinite(value)) return value;
  loss.backward();
  optimizer_.Step();
  return value;
}

}  // namespace consilium::learning
