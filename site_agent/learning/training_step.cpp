#include "site_agent/learning/training_step.h"

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/from_blob.h>

#include <cmath>

namespace consilium::learning {
namespace {

double ProximalMu(const plan::Aggregation& aggregation) {
  return aggregation.method == plan::AggregationMethod::kFedProx ? aggregation.proximal_mu : 0;
}

at::Tensor View(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape);  // only read
}

}  // namespace

at::Tensor Images(const Batch& batch, std::uint32_t image_size) {
  const std::int64_t count = static_cast<std::int64_t>(batch.count), size = image_size;
  // With one channel, row-major order and channels-last are the same memory; the strides say
  // channels-last, and every later tensor follows them.
  return View(batch.pixels, {count, 1, size, size})
      .as_strided({count, 1, size, size}, {size * size, 1, size, 1});
}

TrainingStep::TrainingStep(Network& network, const plan::Plan& plan)
    : network_(network),
      optimizer_(network.TrainedTensors(), plan.training, ProximalMu(plan.aggregation)) {}

double TrainingStep::Run(const Batch& batch, std::uint32_t image_size) {
  const auto count = static_cast<std::int64_t>(batch.count);
  const at::Tensor logits = network_.Forward(Images(batch, image_size), /*training=*/true);
  const at::Tensor loss = at::binary_cross_entropy_with_logits(logits, View(batch.targets, {count}),
                                                               View(batch.weights, {count}));
  const double value = loss.item<float>();
  if (!std::isfinite(value)) return value;
  loss.backward();
  optimizer_.Step();
  return value;
}

}  // namespace consilium::learning
