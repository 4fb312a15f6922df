#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>

#include "common/base/text.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kGroups = 32;
constexpr std::int64_t kGrowth = 32, kBottleneck = 4 * kGrowth, kFirst = 2 * kGrowth;
constexpr int kLayers[] = {6, 12, 24, 16};  // of denseblock1 .. denseblock4

class DenseNet121 final : public ImageClassifier {
 public:
  explicit DenseNet121(const plan::Plan& plan) : norm_(plan.model.norm) {
    conv0_ = Conv("features.conv0", ChannelsOf(plan), kFirst, 7, 2);
    norm0_ = Norm(*this, "features.norm0", kFirst, norm_, kGroups);
    std::int64_t channels = kFirst;
    for (int i = 1; i <= 4; ++i) {
      blocks_.push_back(MakeBlock(StrCat("features.denseblock", i), kLayers[i - 1], channels));
      if (i == 4) break;
      const std::string name = StrCat("features.transition", i);
      Norm norm(*this, name + ".norm", channels, norm_, kGroups);
      transitions_.push_back({norm, Conv(name + ".conv", channels, channels / 2, 1)});
      channels /= 2;
    }
    norm5_ = Norm(*this, "features.norm5", channels, norm_, kGroups);
    AddClassifier("classifier", channels, OutputsOf(plan));
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = norm0_(conv0_(images), training, Activation::kRelu);
    x = at::max_pool2d(x, 3, 2, 1);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = DenseForward(blocks_[i], x, training);
      if (i < transitions_.size()) x = transitions_[i].Forward(x, training);
    }
    return norm5_(x, training, Activation::kRelu);
  }

  // A stride and a pooling of 2, centred on their first pixel, then three means of 2 x 2.
  FeatureGrid feature_grid() const override { return {14.5, 32}; }

 private:
  struct DenseLayer {
    Norm norm1;
    Convolution conv1;
    Norm norm2;
    Convolution conv2;
  };
  using DenseBlock = std::vector<DenseLayer>;

  struct Transition {
    Norm norm;
    Convolution conv;
    at::Tensor Forward(const at::Tensor& x, bool training) {
      return at::avg_pool2d(conv(norm(x, training, Activation::kRelu)), 2, 2);
    }
  };

  Convolution Conv(const std::string& name, std::int64_t channels_in, std::int64_t channels_out,
                   std::int64_t kernel, std::int64_t stride = 1) {
    return Convolution(*this, name, channels_in, channels_out,
                       {.kernel = kernel, .stride = stride, .begin = Convolution::Begin::kFanIn});
  }

  DenseBlock MakeBlock(const std::string& name, int layers, std::int64_t& channels) {
    DenseBlock block;
    for (int i = 1; i <= layers; ++i) {
      const std::string layer = StrCat(name, ".denselayer", i);
      Norm norm1(*this, layer + ".norm1", channels, norm_, kGroups);
      Convolution conv1 = Conv(layer + ".conv1", channels, kBottleneck, 1);
      Norm norm2(*this, layer + ".norm2", kBottleneck, norm_, kGroups);
      Convolution conv2 = Conv(layer + ".conv2", kBottleneck, kGrowth, 3);
      block.push_back({norm1, conv1, norm2, conv2});
      channels += kGrowth;
    }
    return block;
  }

  // Each layer sees what all before it made.
  static at::Tensor DenseForward(DenseBlock& block, at::Tensor x, bool training) {
    for (DenseLayer& layer : block) {
      at::Tensor y = layer.conv1(layer.norm1(x, training, Activation::kRelu));
      y = layer.conv2(layer.norm2(y, training, Activation::kRelu));
      x = at::cat({x, y}, 1);
    }
    return x;
  }

  const plan::Norm norm_;
  Convolution conv0_;
  Norm norm0_;
  std::vector<DenseBlock> blocks_;
  std::vector<Transition> transitions_;
  Norm norm5_;
};

}  // namespace

std::unique_ptr<Network> MakeDenseNet(const plan::Plan& plan) {
  return std::make_unique<DenseNet121>(plan);
}

}  // namespace consilium::learning
