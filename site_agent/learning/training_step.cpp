#include "site_agent/learning/training_step.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor_split.h>

#include <algorithm>
#include <cmath>

#include "common/base/status.h"
#include "site_agent/learning/device.h"
#include "site_agent/learning/mixed_precision.h"

namespace consilium::learning {
namespace {

double ProximalMu(const plan::Aggregation& aggregation) {
  return aggregation.method == plan::AggregationMethod::kFedProx ? aggregation.proximal_mu : 0;
}

at::Tensor View(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape);  // only read
}

// Puts running statistics back when it goes: a batch moves them once.
class SavedStatistics {
 public:
  explicit SavedStatistics(Network& network) {
    for (const NamedTensor& entry : network.tensors()) {
      if (!entry.trained) saved_.emplace_back(entry.tensor, entry.tensor.detach().clone());
    }
  }
  ~SavedStatistics() {
    for (auto& [tensor, value] : saved_) tensor.detach().copy_(value);
  }
  SavedStatistics(const SavedStatistics&) = delete;
  SavedStatistics& operator=(const SavedStatistics&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

at::Tensor InputOf(const Batch& batch) {
  const datasets::InputShape& shape = batch.shape;
  const auto count = static_cast<std::int64_t>(batch.count);
  if (shape.ImageElements() == 0) return View(batch.inputs, {count, shape.columns});
  // An image with columns: the network takes them apart.
  if (shape.columns > 0) {
    return View(batch.inputs, {count, static_cast<std::int64_t>(shape.Elements())});
  }
  const std::int64_t channels = shape.channels, height = shape.height, width = shape.width;
  if (shape.depth > 1) return View(batch.inputs, {count, channels, shape.depth, height, width});
  const std::int64_t row = width * channels;
  // The strides say channels-last, and every later tensor follows them.
  return View(batch.inputs, {count, height, width, channels})
      .as_strided({count, channels, height, width}, {height * row, 1, row, channels});
}

}  // namespace

at::Tensor TensorOf(const Batch& batch) { return InputOf(batch).to(StepDevice()); }

TrainingStep::TrainingStep(Network& network, const LearningTask& task, Population population,
                           const plan::Plan& plan, const ModelState* pulled_to)
    : network_(network),
      task_(task),
      population_(std::move(population)),
      precision_(plan.training.precision),
      parts_(plan.training.accumulation),
      optimizer_(network, plan.training, ProximalMu(plan.aggregation), pulled_to) {}

at::Tensor TrainingStep::Forward(const at::Tensor& input) {
  const MixedPrecision mixed(precision_);
  return network_.Forward(input, /*training=*/true).to(at::kFloat);
}

// The outputs of all parts without what the backward pass needs, then the loss of the whole batch,
// whose gradients each part takes back through a second forward pass: the loss need not be a sum
// over examples (soft Dice and Cox's likelihood are none).
double TrainingStep::RunInParts(const at::Tensor& input, const at::Tensor& targets) {
  const std::vector<at::Tensor> parts =
      input.tensor_split(std::min<std::int64_t>(parts_, input.size(0)));
  std::vector<at::Tensor> outputs;
  {
    const SavedStatistics statistics(network_);
    const at::NoGradGuard no_gradients;
    for (const at::Tensor& part : parts) outputs.push_back(Forward(part));
  }
  const at::Tensor whole = at::cat(outputs).requires_grad_();
  const at::Tensor loss = task_.Loss(whole, targets, population_);
  const double value = loss.item<float>();
  if (!std::isfinite(value)) return value;
  loss.backward();
  std::int64_t first = 0;
  for (const at::Tensor& part : parts) {
    Forward(part).backward(whole.grad().narrow(0, first, part.size(0)));
    first += part.size(0);
  }
  optimizer_.Step();
  return value;
}

double TrainingStep::Run(const Batch& batch) {
  const auto count = static_cast<std::int64_t>(batch.count);
  const auto target_elements = static_cast<std::int64_t>(batch.targets.size() / batch.count);
  const at::Tensor targets = View(batch.targets, {count, target_elements}).to(StepDevice());
  if (parts_ > 1 && count > 1) return RunInParts(TensorOf(batch), targets);
  const at::Tensor output = Forward(TensorOf(batch));
  const at::Tensor loss = task_.Loss(output, targets, population_);
  const double value = loss.item<float>();
  if (!std::isfinite(value)) return value;
  loss.backward();
  optimizer_.Step();
  return value;
}

}  // namespace consilium::learning
