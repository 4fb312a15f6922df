#include "site_agent/learning/predictor.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/softplus.h>
#include <c10/core/InferenceMode.h>

#include <cmath>

#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/sliding_window.h"
#include "site_agent/learning/tasks/boxes.h"
#include "site_agent/learning/tasks/tasks.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

Batch BatchOfOne(std::span<const float> input, const datasets::InputShape& shape) {
  Batch batch{.count = 1, .shape = shape};
  batch.inputs.assign(input.begin(), input.end());
  if (shape.channels > 1 && shape.depth == 1) {
    const std::size_t pixels = shape.ImageElements();
    ToChannelsLast(input.first(pixels), shape, std::span(batch.inputs).first(pixels));
  }
  return batch;
}

datasets::results::ActivationMap ActivationOf(const ImageClassifier& network,
                                              const at::Tensor& features) {
  const at::Tensor added = network.Contributions(features).to(at::kCPU).contiguous();
  datasets::results::ActivationMap map;
  map.size = static_cast<std::uint32_t>(added.size(2));
  const FeatureGrid grid = network.feature_grid();
  map.first = grid.first;
  map.step = grid.step;
  const float* values = added.data_ptr<float>();
  map.values.assign(values, values + added.numel());
  return map;
}

// The most probable of the channels at each pixel.
void Outline(std::span<const float> probabilities, std::size_t pixels, Prediction* prediction) {
  prediction->mask.assign(pixels, 0);
  prediction->confidence.assign(probabilities.begin(),
                                probabilities.begin() + static_cast<std::ptrdiff_t>(pixels));
  for (std::size_t channel = 1; channel * pixels < probabilities.size(); ++channel) {
    for (std::size_t i = 0; i < pixels; ++i) {
      const float probability = probabilities[channel * pixels + i];
      if (probability <= prediction->confidence[i]) continue;
      prediction->confidence[i] = probability;
      prediction->mask[i] = static_cast<std::uint8_t>(channel);
    }
  }
}

// Of hazards' logits: beyond each interval lives who lives beyond all up to it.
absl::StatusOr<std::vector<float>> SurvivalOf(const at::Tensor& output) {
  return Numbers(at::softplus(output).cumsum(1).neg().exp());
}

absl::StatusOr<Prediction> Run(Network& network, const LearningTask& task, const plan::Plan& plan,
                               const Batch& batch) {
  const c10::InferenceMode no_gradients;
  const TaskShape shape = plan.target.Shape();
  Prediction prediction;
  const at::Tensor input = TensorOf(batch);
  ImageClassifier* const classifier = network.AsImageClassifier();
  at::Tensor output;
  if (shape.task == Task::kBinary && classifier != nullptr) {
    const at::Tensor features = classifier->Features(input, /*training=*/false);
    output = classifier->Classify(features);
    prediction.activation = ActivationOf(*classifier, features);
  } else {
    output = AnswerOf(network, input, plan.training.block);
  }
  RETURN_IF_ERROR(Numbers(output).status());
  ASSIGN_OR_RETURN(std::vector<float> values, Numbers(task.Predict(output)));
  switch (shape.task) {
    case Task::kBinary:
      prediction.score = 1 / (1 + std::exp(-double{output.item<float>()}));
      break;
    case Task::kMulticlass:
    case Task::kMultilabel:
      prediction.probabilities = std::move(values);
      break;
    case Task::kSegmentation:
      Outline(values, std::size_t{batch.shape.depth} * batch.shape.height * batch.shape.width,
              &prediction);
      break;
    case Task::kDetection:
      prediction.boxes = BoxesOf(values, shape.classes);
      break;
    case Task::kSurvival:
      prediction.log_hazard = values[0];
      if (!plan.target.intervals.empty()) {
        ASSIGN_OR_RETURN(prediction.survival, SurvivalOf(output));
      }
      break;
  }
  return prediction;
}

std::string SizeOf(const datasets::InputShape& shape) {
  if (shape.ImageElements() == 0) return StrCat(shape.columns, " columns");
  return StrCat(shape.depth == 1 ? "" : StrCat(shape.depth, " slices of "), shape.height, "x",
                shape.width,
                shape.channels == 1 ? "" : StrCat(" in ", shape.channels, " channels"));
}

}  // namespace

Predictor::Predictor(const plan::Plan& plan, std::unique_ptr<LearningTask> task,
                     std::unique_ptr<Network> network)
    : plan_(plan), task_(std::move(task)), network_(std::move(network)) {}
Predictor::~Predictor() = default;

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Create(const ModelState& model,
                                                             const plan::Plan& plan) {
  return WithTorch("prediction", [&]() -> absl::StatusOr<std::unique_ptr<Predictor>> {
    std::unique_ptr<Network> network = Network::Make(plan);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    return std::unique_ptr<Predictor>(
        new Predictor(plan, LearningTask::Make(plan), std::move(network)));
  });
}

absl::StatusOr<Prediction> Predictor::Predict(std::span<const float> input) {
  const datasets::InputShape shape = InputOf(plan_);
  if (input.size() != shape.Elements()) {
    return absl::InvalidArgumentError(
        StrCat("an input of ", input.size(), " values; the plan's ", SizeOf(shape), " are needed"));
  }
  return WithTorch("prediction",
                   [&] { return Run(*network_, *task_, plan_, BatchOfOne(input, shape)); });
}

}  // namespace consilium::learning
