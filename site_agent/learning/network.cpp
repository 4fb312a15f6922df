#include "site_agent/learning/network.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>

#include "common/base/status.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/torch_script.h"

namespace consilium::learning {

std::int64_t OutputsOf(const plan::Plan& plan) {
  const TaskShape shape = plan.target.Shape();
  switch (shape.task) {
    case Task::kBinary:
    case Task::kSurvival:
      return 1;
    case Task::kMulticlass:
    case Task::kMultilabel:
      return shape.classes;
    case Task::kSegmentation:
      return 1 + std::int64_t{shape.classes};
    case Task::kDetection:
      return shape.classes;
  }
  CONSILIUM_CHECK(false);
}

std::int64_t ChannelsOf(const plan::Plan& plan) {
  return plan.preprocessing.channel == plan::Channel::kRgb ? 3 : 1;
}

std::unique_ptr<Network> Network::Make(const plan::Plan& plan) {
  switch (plan.model.architecture) {
    case plan::Architecture::kSmallCnn:
      return MakeSmallCnn(plan);
    case plan::Architecture::kResNet18:
    case plan::Architecture::kResNet34:
    case plan::Architecture::kResNet50:
      return MakeResNet(plan);
    case plan::Architecture::kDenseNet121:
      return MakeDenseNet(plan);
    case plan::Architecture::kEfficientNetB0:
      return MakeEfficientNet(plan);
    case plan::Architecture::kUnet:
      return MakeUnet(plan);
    case plan::Architecture::kUnet3d:
    case plan::Architecture::kFcos:
    case plan::Architecture::kSpectrogramCnn:
      break;
    case plan::Architecture::kLogistic:
    case plan::Architecture::kMlp:
      return MakeTableNetwork(plan);
    case plan::Architecture::kTorchScript:
      return MakeTorchScriptNetwork(plan);
  }
  CONSILIUM_CHECK(false);
}

void ImageClassifier::AddClassifier(const std::string& name, std::int64_t channels,
                                    std::int64_t outputs) {
  const Linear linear(*this, name, channels, outputs);
  classifier_weight_ = linear.weight;
  classifier_bias_ = linear.bias;
}

at::Tensor ImageClassifier::Classify(const at::Tensor& features) const {
  return at::linear(features.mean({2, 3}), classifier_weight_, classifier_bias_).squeeze(1);
}

at::Tensor ImageClassifier::Contributions(const at::Tensor& features) const {
  return at::conv2d(features, classifier_weight_.unsqueeze(-1).unsqueeze(-1));
}

at::Tensor Network::Add(std::string name, std::vector<std::int64_t> shape, Start start,
                        bool trained) {
  const auto format =
      shape.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat).memory_format(format));
  tensor.set_requires_grad(trained);
  tensors_.push_back({std::move(name), tensor, trained, start});
  return tensor;
}

void Network::Adopt(std::string name, at::Tensor tensor, bool trained) {
  tensors_.push_back({std::move(name), std::move(tensor), trained, {}});
}

std::vector<at::Tensor> Network::TrainedTensors() const {
  std::vector<at::Tensor> trained;
  for (const NamedTensor& entry : tensors_) {
    if (entry.trained) trained.push_back(entry.tensor);
  }
  return trained;
}

Layout Network::MakeLayout() const {
  Layout layout;
  for (const NamedTensor& entry : tensors_) {
    layout.push_back({entry.name, entry.tensor.sizes().vec()});
  }
  return layout;
}

absl::Status Network::Load(const ModelState& model) {
  RETURN_IF_ERROR(CheckSameLayout(MakeLayout(), model.layout()));
  const float* values = model.values().data();
  for (NamedTensor& entry : tensors_) {
    // from_blob wants a mutable pointer; it is only read.
    const at::Tensor source = at::from_blob(const_cast<float*>(values), entry.tensor.sizes());
    entry.tensor.detach().copy_(source);
    // A mean of updates can fall a rounding below zero, where no variance is.
    if (entry.name.ends_with(".running_var")) entry.tensor.clamp_min_(0);
    values += entry.tensor.numel();
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelState> Network::Save() const {
  Layout layout = MakeLayout();
  std::vector<float> values(TotalElements(layout));
  float* out = values.data();
  for (const NamedTensor& entry : tensors_) {
    at::from_blob(out, entry.tensor.sizes()).copy_(entry.tensor.detach());
    out += entry.tensor.numel();
  }
  return ModelState::Create(std::move(layout), std::move(values));
}

}  // namespace consilium::learning
