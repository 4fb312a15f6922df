#include "site_agent/learning/network.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <stdexcept>

#include "common/base/status.h"
#include "common/model/adapters.h"
#include "common/model/travelling.h"
#include "site_agent/learning/device.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/torch_script.h"

namespace consilium::learning {

std::int64_t OutputsOf(const plan::Plan& plan) {
  const TaskShape shape = plan.target.Shape();
  switch (shape.task) {
    case Task::kBinary:
      return 1;
    case Task::kSurvival:
      return std::max<std::int64_t>(1, static_cast<std::int64_t>(plan.target.intervals.size()));
    case Task::kMulticlass:
      return std::int64_t{shape.classes} - (plan.target.ordered ? 1 : 0);
    case Task::kMultilabel:
      return shape.classes;
    case Task::kSegmentation:
      return 1 + std::int64_t{shape.classes};
    case Task::kDetection:
      return std::int64_t{shape.classes} + 4 + 1;
  }
  CONSILIUM_CHECK(false);
}

std::int64_t ChannelsOf(const plan::Plan& plan) {
  return plan.preprocessing.channel == plan::Channel::kRgb ? 3 : 1;
}

std::unique_ptr<Network> Network::Make(const plan::Plan& plan) {
  std::unique_ptr<Network> network = MakePlain(plan);
  if (plan.data.source == plan::Source::kDicom && !plan.table.columns.empty()) {
    network = MakeFusion(plan, std::move(network));
  }
  const plan::Model& model = plan.model;
  if (model.frozen.empty() && model.adapter_rank == 0) return network;
  absl::Status fits =
      model.adapter_rank > 0 ? network->AddAdapters(model.adapter_rank) : absl::OkStatus();
  if (fits.ok()) fits = network->Freeze(model.frozen);
  if (!fits.ok()) throw std::runtime_error(std::string(ToStd(fits.message())));
  return network;
}

std::unique_ptr<Network> Network::MakePlain(const plan::Plan& plan) {
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
      return MakeUnet3d(plan);
    case plan::Architecture::kFcos:
      return MakeFcos(plan);
    case plan::Architecture::kSpectrogramCnn:
      return MakeSpectrogramCnn(plan);
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
  at::Tensor tensor =
      at::empty(shape, at::TensorOptions(at::kFloat).device(StepDevice()).memory_format(format));
  tensor.set_requires_grad(trained);
  tensors_.push_back({std::move(name), tensor, trained, start});
  return tensor;
}

void Network::Adopt(std::string name, at::Tensor tensor, bool trained) {
  tensors_.push_back({std::move(name), std::move(tensor), trained, {}});
}

absl::Status Network::AddAdapters(std::uint32_t rank) {
  ASSIGN_OR_RETURN(const Layout with, WithAdapters(MakeLayout(), rank));
  ASSIGN_OR_RETURN(const std::vector<Adapter> adapters, AdaptersOf(with));
  for (const Adapter& adapter : adapters) {
    const Start begin{Start::Kind::kUniform, AdapterStart(adapter.inputs)};
    const at::Tensor a = Add(with[adapter.a].name, with[adapter.a].shape, begin);
    const at::Tensor b = Add(with[adapter.b].name, with[adapter.b].shape, {});
    at::Tensor& weight = tensors_[adapter.weight].tensor;
    const at::Tensor layers = weight;
    weight = at::empty_like(layers.detach());
    adapted_.push_back({layers, weight, a, b});
  }
  return absl::OkStatus();
}

absl::Status Network::Freeze(std::span<const std::string> frozen) {
  ASSIGN_OR_RETURN(const Travelling travelling, Travelling::Of(MakeLayout(), frozen));
  freezes_ = true;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (travelling.Travels(i)) continue;
    tensors_[i].trained = false;
    tensors_[i].tensor.set_requires_grad(false);
  }
  for (AdaptedWeight& adapted : adapted_) {
    adapted.layers.set_requires_grad(adapted.a.requires_grad() || adapted.b.requires_grad());
  }
  return absl::OkStatus();
}

void Network::PassGradientsToAdapters() {
  for (AdaptedWeight& adapted : adapted_) {
    const at::Tensor gradient = adapted.layers.grad();
    if (!gradient.defined()) continue;
    const at::Tensor rows = gradient.reshape({adapted.b.size(0), adapted.a.size(1)});
    if (adapted.a.requires_grad()) {
      adapted.a.mutable_grad() = at::mm(adapted.b.detach().t(), rows);
    }
    if (adapted.b.requires_grad()) {
      adapted.b.mutable_grad() = at::mm(rows, adapted.a.detach().t());
    }
    adapted.layers.mutable_grad() = at::Tensor();
  }
}

void Network::ApplyAdapters() {
  for (AdaptedWeight& adapted : adapted_) {
    const at::Tensor added = at::mm(adapted.b.detach(), adapted.a.detach());
    adapted.layers.detach().copy_(adapted.weight.add(added.view(adapted.weight.sizes())));
  }
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
  ApplyAdapters();
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
