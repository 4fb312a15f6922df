#include "site_agent/learning/networks/layers.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv3d.h>
#include <ATen/ops/linear.h>

#include <cmath>

namespace consilium::learning {
namespace {

Start Constant(double value) { return {Start::Kind::kConstant, value}; }

}  // namespace

Network::Norm::Norm(Network& network, const std::string& name, std::int64_t channels,
                    plan::Norm kind, std::int64_t groups) {
  tensors.weight = network.Add(name + ".weight", {channels}, Constant(1));
  tensors.bias = network.Add(name + ".bias", {channels}, Constant(0));
  if (kind == plan::Norm::kGroup) {
    tensors.groups = groups;
    return;
  }
  tensors.running_mean = network.Add(name + ".running_mean", {channels}, Constant(0), false);
  tensors.running_var = network.Add(name + ".running_var", {channels}, Constant(1), false);
  batches = network.Add(name + ".num_batches_tracked", {}, Constant(0), false);
}

at::Tensor Network::Norm::operator()(const at::Tensor& x, bool training, Activation activation,
                                     const at::Tensor& residual) {
  // What is frozen runs as in evaluation: its statistics stay.
  training = training && tensors.weight.requires_grad();
  if (training && batches.defined()) batches.add_(1);
  return NormAddActivate(x, tensors, residual, activation, training);
}

Network::Convolution::Convolution(Network& network, const std::string& name,
                                  std::int64_t channels_in, std::int64_t channels_out,
                                  const Options& options)
    : stride(options.stride), groups(options.groups) {
  const std::vector<std::int64_t> kernel(static_cast<std::size_t>(options.dimensions),
                                         options.kernel);
  const std::int64_t area =
      options.kernel * options.kernel * (options.dimensions == 3 ? options.kernel : 1);
  const auto fan_in = static_cast<double>(channels_in / groups * area);
  const auto fan_out = static_cast<double>(channels_out * area);  // torch's count, without groups
  Start start{Start::Kind::kNormal, std::sqrt(2 / fan_out)}, bias_start = Constant(0);
  if (options.begin == Begin::kFanIn) start.value = std::sqrt(2 / fan_in);
  if (options.begin == Begin::kTorch) {
    start = bias_start = {Start::Kind::kUniform, 1 / std::sqrt(fan_in)};
  }
  std::vector<std::int64_t> shape = {channels_out, channels_in / groups};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  weight = network.Add(name + ".weight", std::move(shape), start);
  if (options.bias) bias = network.Add(name + ".bias", {channels_out}, bias_start);
}

at::Tensor Network::Convolution::operator()(const at::Tensor& x) const {
  if (weight.dim() == 5) {
    return at::conv3d(x, weight, bias, stride, weight.size(2) / 2, 1, groups);
  }
  return at::conv2d(x, weight, bias, stride, weight.size(2) / 2, 1, groups);
}

Network::Linear::Linear(Network& network, const std::string& name, std::int64_t inputs,
                        std::int64_t outputs) {
  const Start start{Start::Kind::kUniform, 1 / std::sqrt(static_cast<double>(inputs))};
  weight = network.Add(name + ".weight", {outputs, inputs}, start);
  bias = network.Add(name + ".bias", {outputs}, start);
}

at::Tensor Network::Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight, bias);
}

}  // namespace consilium::learning
