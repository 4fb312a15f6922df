#include <ATen/ops/max_pool2d.h>

#include <array>

#include "common/base/text.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kGroups = 32;

struct Depths {
  std::array<int, 4> blocks;  // of layer1 .. layer4
  bool bottleneck;
};

Depths DepthsOf(plan::Architecture architecture) {
  if (architecture == plan::Architecture::kResNet18) return {{2, 2, 2, 2}, false};
  return {{3, 4, 6, 3}, architecture == plan::Architecture::kResNet50};
}

class ResNet final : public ImageClassifier {
 public:
  explicit ResNet(const plan::Plan& plan) : norm_(plan.model.norm) {
    const Depths depths = DepthsOf(plan.model.architecture);
    conv1_ = Convolution(*this, "conv1", ChannelsOf(plan), 64, {.kernel = 7, .stride = 2});
    bn1_ = Norm(*this, "bn1", 64, norm_, kGroups);
    std::int64_t channels_in = 64;
    for (int layer = 1; layer <= 4; ++layer) {
      const std::int64_t width = std::int64_t{32} << layer;
      for (int block = 0; block < depths.blocks[layer - 1]; ++block) {
        const std::string name = StrCat("layer", layer, ".", block);
        const std::int64_t stride = layer > 1 && block == 0 ? 2 : 1;
        blocks_.push_back(depths.bottleneck ? Bottleneck(name, channels_in, width, stride)
                                            : BasicBlock(name, channels_in, width, stride));
        channels_in = depths.bottleneck ? 4 * width : width;
      }
    }
    AddClassifier("fc", channels_in, OutputsOf(plan));
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = bn1_(conv1_(images), training, Activation::kRelu);
    x = at::max_pool2d(x, 3, 2, 1);
    for (Block& block : blocks_) x = block.Forward(x, training);
    return x;
  }

  // Five strides of 2, each kernel centred on its first pixel.
  FeatureGrid feature_grid() const override { return {0.5, 32}; }

 private:
  struct Block {
    std::vector<Convolution> convolutions;
    std::vector<Norm> norms;  // one each
    Convolution shortcut;     // not defined where the shortcut is the identity
    Norm shortcut_norm;

    at::Tensor Forward(const at::Tensor& x, bool training) {
      at::Tensor y = x;
      const std::size_t last = convolutions.size() - 1;
      for (std::size_t i = 0; i < last; ++i) {
        y = norms[i](convolutions[i](y), training, Activation::kRelu);
      }
      const at::Tensor around = shortcut.defined() ? shortcut_norm(shortcut(x), training) : x;
      return norms[last](convolutions[last](y), training, Activation::kRelu, around);
    }
  };

  void AddLayer(Block& block, const std::string& name, std::int64_t channels_in,
                std::int64_t channels, std::int64_t kernel, std::int64_t stride) {
    const std::string number = std::to_string(block.convolutions.size() + 1);
    block.convolutions.emplace_back(*this, name + ".conv" + number, channels_in, channels,
                                    Convolution::Options{.kernel = kernel, .stride = stride});
    block.norms.emplace_back(*this, name + ".bn" + number, channels, norm_, kGroups);
  }

  void AddShortcut(Block& block, const std::string& name, std::int64_t channels_in,
                   std::int64_t channels, std::int64_t stride) {
    if (stride == 1 && channels_in == channels) return;
    block.shortcut = Convolution(*this, name + ".downsample.0", channels_in, channels,
                                 {.kernel = 1, .stride = stride});
    block.shortcut_norm = Norm(*this, name + ".downsample.1", channels, norm_, kGroups);
  }

  Block BasicBlock(const std::string& name, std::int64_t channels_in, std::int64_t width,
                   std::int64_t stride) {
    Block block;
    AddLayer(block, name, channels_in, width, 3, stride);
    AddLayer(block, name, width, width, 3, 1);
    AddShortcut(block, name, channels_in, width, stride);
    return block;
  }

  // The stride in the 3x3 convolution, as torchvision has it ("v1.5").
  Block Bottleneck(const std::string& name, std::int64_t channels_in, std::int64_t width,
                   std::int64_t stride) {
    Block block;
    AddLayer(block, name, channels_in, width, 1, 1);
    AddLayer(block, name, width, width, 3, stride);
    AddLayer(block, name, width, 4 * width, 1, 1);
    AddShortcut(block, name, channels_in, 4 * width, stride);
    return block;
  }

  const plan::Norm norm_;
  Convolution conv1_;
  Norm bn1_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<Network> MakeResNet(const plan::Plan& plan) {
  return std::make_unique<ResNet>(plan);
}

}  // namespace consilium::learning
