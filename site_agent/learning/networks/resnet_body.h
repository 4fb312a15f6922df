#pragma once

// Private to this folder and network.cpp: a residual network without its head, of the names that
// networks.h says for resnet18, resnet34 and resnet50, each with `prefix` before it.

#include <string>
#include <vector>

#include "site_agent/learning/networks/layers.h"

namespace consilium::learning {

struct Network::ResNetBody {
  ResNetBody(Network& network, const std::string& prefix, plan::Architecture architecture,
             std::int64_t channels, plan::Norm norm);

  // What layer1 to layer4 give, of strides 4, 8, 16 and 32.
  std::vector<at::Tensor> operator()(const at::Tensor& images, bool training);
  // Channels of layer4; each layer before has half of the next.
  std::int64_t channels() const { return channels_; }

 private:
  struct Block {
    std::vector<Convolution> convolutions;
    std::vector<Norm> norms;  // one each
    Convolution shortcut;     // not defined where the shortcut is the identity
    Norm shortcut_norm;

    at::Tensor Forward(const at::Tensor& x, bool training);
  };

  void AddLayer(Block& block, const std::string& name, std::int64_t channels_in,
                std::int64_t channels, std::int64_t kernel, std::int64_t stride);
  void AddShortcut(Block& block, const std::string& name, std::int64_t channels_in,
                   std::int64_t channels, std::int64_t stride);
  Block BasicBlock(const std::string& name, std::int64_t channels_in, std::int64_t width,
                   std::int64_t stride);
  Block Bottleneck(const std::string& name, std::int64_t channels_in, std::int64_t width,
                   std::int64_t stride);

  Network& network_;
  const plan::Norm norm_;
  Convolution conv1_;
  Norm bn1_;
  std::vector<std::vector<Block>> layers_;
  std::int64_t channels_ = 64;
};

}  // namespace consilium::learning
