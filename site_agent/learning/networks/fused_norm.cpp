#include "site_agent/learning/networks/fused_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "site_agent/learning/networks/norm_kernels.h"

namespace consilium::learning {
namespace {

using kernels::Extent;

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.1;

constexpr at::MemoryFormat kFormat = at::MemoryFormat::ChannelsLast;

const float* Pointer(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

at::Tensor Vector(std::int64_t size) { return at::empty({size}, at::kFloat); }

Extent ExtentOf(const at::Tensor& x, std::int64_t groups) {
  const std::int64_t examples = x.size(0), channels = x.size(1);
  const std::int64_t places = x.numel() / (examples * channels);
  if (groups > 0) return {examples, places, channels, groups};
  return {1, examples * places, channels, channels};
}

// norm(x) is scale * x + shift, for each unit and channel.
struct Line {
  at::Tensor scale, shift;
  at::Tensor mean, inverse;  // of the group, and one by the root of its variance
};

Line LineOf(const Extent& extent, const kernels::Statistics& statistics, const NormTensors& norm) {
  const std::int64_t count = extent.units * extent.channels;
  Line line{Vector(count), Vector(count), Vector(count), Vector(count)};
  const float* const weight = Pointer(norm.weight);
  const float* const bias = Pointer(norm.bias);
  const std::int64_t width = extent.channels / extent.groups;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t channel = i % extent.channels;
    const auto group = static_cast<std::size_t>(i / width);
    const double inverse = 1 / std::sqrt(statistics.variance[group] + kEpsilon);
    const double scale = inverse * static_cast<double>(weight[channel]);
    line.scale.data_ptr<float>()[i] = static_cast<float>(scale);
    line.shift.data_ptr<float>()[i] =
        static_cast<float>(static_cast<double>(bias[channel]) - statistics.mean[group] * scale);
    line.mean.data_ptr<float>()[i] = static_cast<float>(statistics.mean[group]);
    line.inverse.data_ptr<float>()[i] = static_cast<float>(inverse);
  }
  return line;
}

// As torch has it: the running variance is the unbiased one.
void MoveRunning(const Extent& extent, const kernels::Statistics& statistics,
                 const NormTensors& norm) {
  float* const mean = norm.running_mean.data_ptr<float>();
  float* const variance = norm.running_var.data_ptr<float>();
  const auto rows = static_cast<double>(extent.rows);
  const double unbiased = rows / std::max(1.0, rows - 1);
  for (std::size_t c = 0; c < statistics.mean.size(); ++c) {
    const double old_mean = static_cast<double>(mean[c]);
    const double old_variance = static_cast<double>(variance[c]);
    mean[c] = static_cast<float>(old_mean + kMomentum * (statistics.mean[c] - old_mean));
    variance[c] = static_cast<float>(
        old_variance + kMomentum * (unbiased * statistics.variance[c] - old_variance));
  }
}

kernels::Statistics RunningStatistics(const NormTensors& norm) {
  const float* const mean = Pointer(norm.running_mean);
  const float* const variance = Pointer(norm.running_var);
  const std::int64_t channels = norm.weight.numel();
  return {{mean, mean + channels}, {variance, variance + channels}};
}

class FusedNorm : public torch::autograd::Function<FusedNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const c10::optional<at::Tensor>& residual, const NormTensors& norm,
                            Activation activation, bool training) {
    const Extent extent = ExtentOf(x, norm.groups);
    const bool measure = training || norm.groups > 0;
    const kernels::Statistics statistics =
        measure ? kernels::Measure(extent, Pointer(x)) : RunningStatistics(norm);
    if (measure && norm.groups == 0) MoveRunning(extent, statistics, norm);
    const Line line = LineOf(extent, statistics, norm);
    at::Tensor y = at::empty_like(x);
    kernels::ScaleAddActivate(extent, Pointer(x), Pointer(line.scale), Pointer(line.shift),
                              residual ? Pointer(*residual) : nullptr, activation,
                              y.data_ptr<float>());
    context->save_for_backward({x, weight, y, line.scale, line.shift, line.mean, line.inverse});
    context->saved_data["groups"] = norm.groups;
    context->saved_data["activation"] = static_cast<std::int64_t>(activation);
    context->saved_data["residual"] = residual.has_value();
    static_cast<void>(bias);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &y = saved[2];
    const Line line{saved[3], saved[4], saved[5], saved[6]};
    const Extent extent = ExtentOf(x, context->saved_data["groups"].toInt());
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const bool has_residual = context->saved_data["residual"].toBool();

    const at::Tensor dy = gradients[0].contiguous(kFormat);
    const at::Tensor slope = at::empty_like(x);
    const kernels::Sums sums = kernels::SlopeBeforeActivation(
        extent, Pointer(x), Pointer(y), Pointer(dy), Pointer(line.scale), Pointer(line.shift),
        Pointer(line.mean), activation, slope.data_ptr<float>());
    const Coefficients back(extent, weight, line, sums);
    const at::Tensor dx = has_residual ? at::empty_like(x) : slope;
    kernels::CombineGradient(extent, Pointer(x), Pointer(slope), Pointer(line.scale),
                             Pointer(back.q), Pointer(back.r), dx.data_ptr<float>());
    return {
        dx,           back.weight_gradient, back.bias_gradient, has_residual ? slope : at::Tensor(),
        at::Tensor(), at::Tensor(),         at::Tensor()};
  }

 private:
  // The gradient of x is scale * slope + q * x + r (Ioffe and Szegedy 2015, Wu and He 2018): what
  // the mean and the variance pass on is a line in x.
  struct Coefficients {
    at::Tensor q, r, weight_gradient, bias_gradient;

    Coefficients(const Extent& extent, const at::Tensor& weight, const Line& line,
                 const kernels::Sums& sums)
        : q(Vector(extent.units * extent.channels)),
          r(Vector(extent.units * extent.channels)),
          weight_gradient(Vector(extent.channels)),
          bias_gradient(Vector(extent.channels)) {
      const float* const scales = Pointer(weight);
      const std::int64_t width = extent.channels / extent.groups;
      const auto elements = static_cast<double>(extent.rows * width);
      std::vector<double> of_weight(extent.channels), of_bias(extent.channels);
      for (std::int64_t begin = 0; begin < extent.units * extent.channels; begin += width) {
        const auto mean = static_cast<double>(Pointer(line.mean)[begin]);
        const auto inverse = static_cast<double>(Pointer(line.inverse)[begin]);
        double slope = 0, product = 0;
        for (std::int64_t i = begin; i < begin + width; ++i) {
          const std::int64_t channel = i % extent.channels;
          const auto scale = static_cast<double>(scales[channel]);
          slope += scale * sums.slope[i];
          product += scale * sums.product[i];
          of_bias[channel] += sums.slope[i];
          of_weight[channel] += sums.product[i] * inverse;
        }
        const double along = -inverse * inverse * inverse * product / elements;
        const double constant = -inverse * slope / elements - along * mean;
        std::fill_n(q.data_ptr<float>() + begin, width, static_cast<float>(along));
        std::fill_n(r.data_ptr<float>() + begin, width, static_cast<float>(constant));
      }
      std::copy(of_weight.begin(), of_weight.end(), weight_gradient.data_ptr<float>());
      std::copy(of_bias.begin(), of_bias.end(), bias_gradient.data_ptr<float>());
    }
  };
};

at::Tensor WithTorchsOperators(const at::Tensor& x, const NormTensors& norm,
                               const at::Tensor& residual, Activation activation, bool training) {
  at::Tensor y = norm.groups > 0 ? at::group_norm(x, norm.groups, norm.weight, norm.bias, kEpsilon)
                                 : at::batch_norm(x, norm.weight, norm.bias, norm.running_mean,
                                                  norm.running_var, training, kMomentum, kEpsilon,
                                                  /*cudnn_enabled=*/true);
  if (residual.defined()) y = y.add_(residual);
  if (activation == Activation::kRelu) return y.relu_();
  return activation == Activation::kSilu ? at::silu(y) : y;
}

bool IsForKernels(const at::Tensor& x, const NormTensors& norm, const at::Tensor& residual,
                  Activation activation, bool training) {
  // The kernels do not go back through running statistics, and SiLU not through a sum.
  if (norm.groups == 0 && !training && at::GradMode::is_enabled()) return false;
  if (residual.defined() && activation == Activation::kSilu) return false;
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 4 && x.numel() > 0;
}

}  // namespace

at::Tensor NormAddActivate(const at::Tensor& x, const NormTensors& norm, const at::Tensor& residual,
                           Activation activation, bool training) {
  if (x.device().is_cpu() && x.scalar_type() == at::kBFloat16) {  // of a mixed-precision step
    return NormAddActivate(x.to(at::kFloat), norm, residual, activation, training);
  }
  if (!IsForKernels(x, norm, residual, activation, training)) {
    return WithTorchsOperators(x, norm, residual, activation, training);
  }
  c10::optional<at::Tensor> around;
  if (residual.defined()) around = residual.contiguous(kFormat);
  return FusedNorm::apply(x.contiguous(kFormat), norm.weight, norm.bias, around, norm, activation,
                          training);
}

}  // namespace consilium::learning
