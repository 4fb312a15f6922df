#include "site_agent/learning/network.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>

#include "common/base/status.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kResNetGroups = 32;
constexpr std::int64_t kSmallCnnGroups = 8;
constexpr double kNormEpsilon = 1e-5;
constexpr double kRunningMomentum = 0.1;

at::Tensor Convolve(const at::Tensor& x, const at::Tensor& weight, std::int64_t stride = 1) {
  const std::int64_t padding = weight.size(2) / 2;
  return at::conv2d(x, weight, {}, stride, padding);
}

}  // namespace

// Group or batch normalisation, with the tensors that torch's modules of that name have.
struct Network::Norm {
  at::Tensor weight, bias, running_mean, running_var, batches;
  std::int64_t groups = 0;  // 0: batch norm

  Norm() = default;
  Norm(Network& network, const std::string& name, std::int64_t channels, plan::Norm kind,
       std::int64_t group_count) {
    weight = network.Add(name + ".weight", {channels});
    bias = network.Add(name + ".bias", {channels});
    if (kind == plan::Norm::kGroup) {
      groups = group_count;
      return;
    }
    running_mean = network.Add(name + ".running_mean", {channels}, false);
    running_var = network.Add(name + ".running_var", {channels}, false);
    batches = network.Add(name + ".num_batches_tracked", {}, false);
  }

  at::Tensor operator()(const at::Tensor& x, bool training) {
    if (groups > 0) return at::group_norm(x, groups, weight, bias, kNormEpsilon);
    if (training) batches.add_(1);
    return at::batch_norm(x, weight, bias, running_mean, running_var, training, kRunningMomentum,
                          kNormEpsilon, /*cudnn_enabled=*/false);
  }
};

namespace {

class SmallCnn final : public Network {
 public:
  explicit SmallCnn(plan::Norm norm) {
    constexpr std::int64_t kChannels[] = {1, 16, 32, 64, 128};
    for (int i = 1; i <= 4; ++i) {
      const std::string number = std::to_string(i);
      convs_[i - 1] = Add("conv" + number + ".weight", {kChannels[i], kChannels[i - 1], 3, 3});
      norms_[i - 1] = Norm(*this, "norm" + number, kChannels[i], norm, kSmallCnnGroups);
    }
    AddClassifier(kChannels[4]);
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = images;
    for (int i = 0; i < 4; ++i) {
      x = norms_[i](Convolve(x, convs_[i]), training).relu_();
      if (i < 3) x = at::max_pool2d(x, 2);
    }
    return x;
  }

  // Three poolings of 2 pixels.
  FeatureGrid feature_grid() const override { return {4, 8}; }

 private:
  at::Tensor convs_[4];
  Norm norms_[4];
};

class ResNet18 final : public Network {
 public:
  explicit ResNet18(plan::Norm norm) {
    conv1_ = Add("conv1.weight", {64, 1, 7, 7});
    bn1_ = Norm(*this, "bn1", 64, norm, kResNetGroups);
    std::int64_t channels_in = 64;
    for (int layer = 1; layer <= 4; ++layer) {
      const std::int64_t channels = std::int64_t{32} << layer;
      for (int block = 0; block < 2; ++block) {
        const std::string name = StrCat("layer", layer, ".", block);
        blocks_.push_back(MakeBlock(name, channels_in, channels, norm));
        channels_in = channels;
      }
    }
    AddClassifier(512);
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = bn1_(Convolve(images, conv1_, 2), training).relu_();
    x = at::max_pool2d(x, 3, 2, 1);
    for (Block& block : blocks_) x = block.Forward(x, training);
    return x;
  }

  // Five strides of 2, each kernel centred on its first pixel.
  FeatureGrid feature_grid() const override { return {0.5, 32}; }

 private:
  struct Block {  // torchvision's BasicBlock
    at::Tensor conv1, conv2,
        downsample;  // downsample: undefined where the shortcut is the identity
    Norm bn1, bn2, downsample_norm;
    std::int64_t stride = 1;

    at::Tensor Forward(const at::Tensor& x, bool training) {
      at::Tensor y = bn1(Convolve(x, conv1, stride), training).relu_();
      y = bn2(Convolve(y, conv2), training);
      y += downsample.defined() ? downsample_norm(Convolve(x, downsample, stride), training) : x;
      return y.relu_();
    }
  };

  Block MakeBlock(const std::string& name, std::int64_t channels_in, std::int64_t channels,
                  plan::Norm norm) {
    Block block;
    block.stride = channels_in == channels ? 1 : 2;
    block.conv1 = Add(name + ".conv1.weight", {channels, channels_in, 3, 3});
    block.bn1 = Norm(*this, name + ".bn1", channels, norm, kResNetGroups);
    block.conv2 = Add(name + ".conv2.weight", {channels, channels, 3, 3});
    block.bn2 = Norm(*this, name + ".bn2", channels, norm, kResNetGroups);
    if (block.stride == 2) {
      block.downsample = Add(name + ".downsample.0.weight", {channels, channels_in, 1, 1});
      block.downsample_norm = Norm(*this, name + ".downsample.1", channels, norm, kResNetGroups);
    }
    return block;
  }

  at::Tensor conv1_;
  Norm bn1_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<Network> Network::Make(const plan::Model& model) {
  switch (model.architecture) {
    case plan::Architecture::kSmallCnn:
      return std::make_unique<SmallCnn>(model.norm);
    case plan::Architecture::kResNet18:
      return std::make_unique<ResNet18>(model.norm);
  }
  CONSILIUM_CHECK(false);
}

void Network::AddClassifier(std::int64_t channels) {
  fc_weight_ = Add("fc.weight", {1, channels});
  fc_bias_ = Add("fc.bias", {1});
}

at::Tensor Network::Classify(const at::Tensor& features) const {
  return at::linear(features.mean({2, 3}), fc_weight_, fc_bias_).squeeze(1);
}

at::Tensor Network::Contributions(const at::Tensor& features) const {
  return at::conv2d(features, fc_weight_.view({1, fc_weight_.size(1), 1, 1}));
}

at::Tensor Network::Add(std::string name, std::vector<std::int64_t> shape, bool trained) {
  const auto format =
      shape.size() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat).memory_format(format));
  tensor.set_requires_grad(trained);
  tensors_.push_back({std::move(name), tensor, trained});
  return tensor;
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
