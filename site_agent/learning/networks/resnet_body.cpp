#include "site_agent/learning/networks/resnet_body.h"

#include <ATen/ops/max_pool2d.h>

#include <array>

#include "common/base/text.h"

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

}  // namespace

Network::ResNetBody::ResNetBody(Network& network, const std::string& prefix,
                                plan::Architecture architecture, std::int64_t channels,
                                plan::Norm norm)
    : network_(network), norm_(norm) {
  const Depths depths = DepthsOf(architecture);
  conv1_ = Convolution(network, prefix + "conv1", channels, 64, {.kernel = 7, .stride = 2});
  bn1_ = Norm(network, prefix + "bn1", 64, norm, kGroups);
  for (int layer = 1; layer <= 4; ++layer) {
    const std::int64_t width = std::int64_t{32} << layer;
    std::vector<Block>& blocks = layers_.emplace_back();
    for (int block = 0; block < depths.blocks[layer - 1]; ++block) {
      const std::string name = StrCat(prefix, "layer", layer, ".", block);
      const std::int64_t stride = layer > 1 && block == 0 ? 2 : 1;
      blocks.push_back(depths.bottleneck ? Bottleneck(name, channels_, width, stride)
                                         : BasicBlock(name, channels_, width, stride));
      channels_ = depths.bottleneck ? 4 * width : width;
    }
  }
}

std::vector<at::Tensor> Network::ResNetBody::operator()(const at::Tensor& images, bool training) {
  at::Tensor x = bn1_(conv1_(images), training, Activation::kRelu);
  x = at::max_pool2d(x, 3, 2, 1);
  std::vector<at::Tensor> levels;
  for (std::vector<Block>& blocks : layers_) {
    for (Block& block : blocks) x = block.Forward(x, training);
    levels.push_back(x);
  }
  return levels;
}

at::Tensor Network::ResNetBody::Block::Forward(const at::Tensor& x, bool training) {
  at::Tensor y = x;
  const std::size_t last = convolutions.size() - 1;
  for (std::size_t i = 0; i < last; ++i) {
    y = norms[i](convolutions[i](y), training, Activation::kRelu);
  }
  const at::Tensor around = shortcut.defined() ? shortcut_norm(shortcut(x), training) : x;
  return norms[last](convolutions[last](y), training, Activation::kRelu, around);
}

void Network::ResNetBody::AddLayer(Block& block, const std::string& name, std::int64_t channels_in,
                                   std::int64_t channels, std::int64_t kernel,
                                   std::int64_t stride) {
  const std::string number = std::to_string(block.convolutions.size() + 1);
  block.convolutions.emplace_back(network_, name + ".conv" + number, channels_in, channels,
                                  Convolution::Options{.kernel = kernel, .stride = stride});
  block.norms.emplace_back(network_, name + ".bn" + number, channels, norm_, kGroups);
}

void Network::ResNetBody::AddShortcut(Block& block, const std::string& name,
                                      std::int64_t channels_in, std::int64_t channels,
                                      std::int64_t stride) {
  if (stride == 1 && channels_in == channels) return;
  block.shortcut = Convolution(network_, name + ".downsample.0", channels_in, channels,
                               {.kernel = 1, .stride = stride});
  block.shortcut_norm = Norm(network_, name + ".downsample.1", channels, norm_, kGroups);
}

Network::ResNetBody::Block Network::ResNetBody::BasicBlock(const std::string& name,
                                                           std::int64_t channels_in,
                                                           std::int64_t width,
                                                           std::int64_t stride) {
  Block block;
  AddLayer(block, name, channels_in, width, 3, stride);
  AddLayer(block, name, width, width, 3, 1);
  AddShortcut(block, name, channels_in, width, stride);
  return block;
}

// The stride in the 3x3 convolution, as torchvision has it ("v1.5").
Network::ResNetBody::Block Network::ResNetBody::Bottleneck(const std::string& name,
                                                           std::int64_t channels_in,
                                                           std::int64_t width,
                                                           std::int64_t stride) {
  Block block;
  AddLayer(block, name, channels_in, width, 1, 1);
  AddLayer(block, name, width, width, 3, stride);
  AddLayer(block, name, width, 4 * width, 1, 1);
  AddShortcut(block, name, channels_in, 4 * width, stride);
  return block;
}

}  // namespace consilium::learning
