#include "site_agent/learning/predictor.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/torch_scope.h"

namespace consilium::learning {
namespace {

absl::StatusOr<Prediction> Run(Network& network, std::span<const float> input,
                               std::int64_t image_size) {
  const c10::InferenceMode no_gradients;
  // from_blob wants a mutable pointer; it is only read.
  const at::Tensor image =
      at::from_blob(const_cast<float*>(input.data()), {1, 1, image_size, image_size});
  const at::Tensor features = network.Features(image, /*training=*/false);
  const at::Tensor added = network.Contributions(features).contiguous();
  const double logit = network.Classify(features).item<float>();
  if (!std::isfinite(logit)) {
    return absl::InvalidArgumentError(
        "the model gives a score that is not a number: its weights are out of range");
  }
  Prediction prediction;
  prediction.score = 1 / (1 + std::exp(-logit));
  prediction.activation.size = static_cast<std::uint32_t>(added.size(2));
  const FeatureGrid grid = network.feature_grid();
  prediction.activation.first = grid.first;
  prediction.activation.step = grid.step;
  const float* values = added.data_ptr<float>();
  prediction.activation.values.assign(values, values + added.numel());
  return prediction;
}

}  // namespace

Predictor::Predictor(std::unique_ptr<Network> network, std::uint32_t image_size)
    : network_(std::move(network)), image_size_(image_size) {}
Predictor::~Predictor() = default;

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Create(const ModelState& model,
                                                             const plan::Plan& plan) {
  return WithTorch("prediction", [&]() -> absl::StatusOr<std::unique_ptr<Predictor>> {
    std::unique_ptr<Network> network = Network::Make(plan.model);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    return std::unique_ptr<Predictor>(
        new Predictor(std::move(network), plan.preprocessing.image_size));
  });
}

absl::StatusOr<Prediction> Predictor::Predict(std::span<const float> input) {
  if (input.size() != std::size_t{image_size_} * image_size_) {
    return absl::InvalidArgumentError(StrCat("an input of ", input.size(), " values; the plan's ",
                                             image_size_, "x", image_size_, " are needed"));
  }
  return WithTorch("prediction", [&] { return Run(*network_, input, image_size_); });
}

}  // namespace consilium::learning
