#pragma once

// Private to this folder and network.cpp: the layers that networks are made of, each with the
// tensors and names of torch's module. Activations of images are channels-last, of volumes channel
// by channel (networks/unet.cpp says why).

#include <cstdint>
#include <string>

#include "site_agent/learning/network.h"
#include "site_agent/learning/networks/fused_norm.h"

namespace consilium::learning {

// Group or batch normalisation.
struct Network::Norm {
  Norm() = default;
  // `groups` of group norm.
  Norm(Network& network, const std::string& name, std::int64_t channels, plan::Norm kind,
       std::int64_t groups);

  // activation(norm(x) + residual), in one (fused_norm.h).
  at::Tensor operator()(const at::Tensor& x, bool training,
                        Activation activation = Activation::kNone, const at::Tensor& residual = {});

  NormTensors tensors;
  at::Tensor batches;
};

// A convolution with padding that keeps the size where the stride is 1.
struct Network::Convolution {
  // kFanOut, kFanIn: normal, with He et al.'s variance by the outputs or the inputs, and no bias to
  // begin with. kTorch: as torch itself begins, uniform by the inputs, the bias too.
  enum class Begin { kFanOut, kFanIn, kTorch };
  struct Options {
    std::int64_t kernel = 3, stride = 1, groups = 1;
    std::int64_t dimensions = 2;  // 3: of volumes
    bool bias = false;
    Begin begin = Begin::kFanOut;
  };

  Convolution() = default;
  Convolution(Network& network, const std::string& name, std::int64_t channels_in,
              std::int64_t channels_out, const Options& options);

  bool defined() const { return weight.defined(); }
  at::Tensor operator()(const at::Tensor& x) const;

  at::Tensor weight, bias;
  std::int64_t stride = 1, groups = 1;
};

// A linear layer, begun as torch begins it.
struct Network::Linear {
  Linear() = default;
  Linear(Network& network, const std::string& name, std::int64_t inputs, std::int64_t outputs);

  at::Tensor operator()(const at::Tensor& x) const;

  at::Tensor weight, bias;
};

}  // namespace consilium::learning
