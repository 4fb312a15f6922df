#include <ATen/ops/cat.h>
#include <ATen/ops/conv_transpose3d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/max_pool3d.h>

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "site_agent/learning/networks/checkpoint.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

// Volumes lie channel by channel, not channels-last: LibTorch 1.13's pooling, group norm and 1x1x1
// convolution copy channels-last volumes there and back, and its 3x3x3 convolution is a tenth to a
// third slower on them (measured on one core: 56 x 48 x 48 voxels, 8 and 16 channels).

namespace consilium::learning {
namespace {

constexpr std::int64_t kDefaultWidth = 16, kGroups = 8;
constexpr int kLevels = 4;

// Half the size in each direction.
template <int dimensions>
at::Tensor Halved(const at::Tensor& x) {
  if constexpr (dimensions == 3) return at::max_pool3d(x, 2);
  return at::max_pool2d(x, 2);
}

// Twice the size: each voxel becomes 2 x 2 x 2. `weight`: channels in x channels out x 2 x 2 x 2.
at::Tensor DoubledVolume(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::conv_transpose3d(x, weight, bias, /*stride=*/2);
}

// Twice the size: each pixel becomes 2 x 2, each of them a matrix times its channels (a transposed
// convolution of stride 2). As one matrix product over all pixels, as torch's operator has no
// channels-last code and copies there and back. `weight`: channels in x channels out x 2 x 2.
at::Tensor DoubledImage(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const std::int64_t in = weight.size(0), out = weight.size(1);
  const std::int64_t examples = x.size(0), height = x.size(2), width = x.size(3);
  const at::Tensor matrix = weight.permute({2, 3, 1, 0}).reshape({4 * out, in});
  const at::Tensor y = at::linear(x.permute({0, 2, 3, 1}), matrix, bias.repeat(4));
  // example, row, column, row of 2, column of 2, channel
  return y.view({examples, height, width, 2, 2, out})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({examples, 2 * height, 2 * width, out})
      .permute({0, 3, 1, 2});
}

// Ronneberger et al. 2015, of volumes Cicek et al. 2016, with a residual connection round each
// level's two convolutions. Takes any size that is a multiple of 8.
template <int dimensions>
class Unet final : public Network {
 public:
  // Only volumes are so large that the levels' inputs are worth computing twice.
  explicit Unet(const plan::Plan& plan)
      : norm_(plan.model.norm), checkpointing_(dimensions == 3 && plan.training.checkpointing) {
    const std::int64_t width = plan.model.width > 0 ? plan.model.width : kDefaultWidth;
    std::int64_t channels_in = ChannelsOf(plan), channels = width;
    for (int level = 0; level < kLevels; ++level) {
      encoder_.push_back(MakeUnit(StrCat("encoder.", level), channels_in, channels));
      channels_in = channels;
      channels *= 2;
    }
    for (int i = 0; i + 1 < kLevels; ++i) {
      const std::string name = StrCat("decoder.", i);
      channels = channels_in / 2;
      Up up = MakeUp(name + ".up", channels_in, channels);
      decoder_.push_back({up, MakeUnit(name, 2 * channels, channels)});
      channels_in = channels;
    }
    head_ = Convolution(
        *this, "head", width, OutputsOf(plan),
        {.kernel = 1, .dimensions = dimensions, .bias = true, .begin = Convolution::Begin::kTorch});
  }

  at::Tensor Forward(const at::Tensor& input, bool training) override {
    std::vector<at::Tensor> levels;
    at::Tensor x = input;
    for (Unit& unit : encoder_) {
      if (!levels.empty()) x = Halved<dimensions>(x);
      x = Run(unit, x, training);
      levels.push_back(x);
    }
    for (Decoder& decoder : decoder_) {
      levels.pop_back();
      x = Run(decoder.unit, at::cat({levels.back(), decoder.up(x)}, 1), training);
    }
    return head_(x);
  }

 private:
  struct Unit {
    Convolution conv1, conv2, shortcut;
    Norm norm1, norm2;

    at::Tensor Forward(const at::Tensor& x, bool training) {
      const at::Tensor y = norm1(conv1(x), training, Activation::kRelu);
      return norm2(conv2(y), training, Activation::kRelu, shortcut(x));
    }
  };

  struct Up {
    at::Tensor weight, bias;
    at::Tensor operator()(const at::Tensor& x) const {
      return dimensions == 3 ? DoubledVolume(x, weight, bias) : DoubledImage(x, weight, bias);
    }
  };

  struct Decoder {
    Up up;
    Unit unit;
  };

  at::Tensor Run(Unit& unit, const at::Tensor& x, bool training) {
    if (!checkpointing_ || !training) return unit.Forward(x, training);
    return Checkpointed([&unit](const at::Tensor& in) { return unit.Forward(in, true); }, x,
                        unit.conv1.weight);
  }

  Unit MakeUnit(const std::string& name, std::int64_t channels_in, std::int64_t channels) {
    const std::int64_t groups = std::gcd(channels, kGroups);
    const Convolution::Options options = {.dimensions = dimensions};
    Unit unit;
    unit.conv1 = Convolution(*this, name + ".conv1", channels_in, channels, options);
    unit.norm1 = Norm(*this, name + ".norm1", channels, norm_, groups);
    unit.conv2 = Convolution(*this, name + ".conv2", channels, channels, options);
    unit.norm2 = Norm(*this, name + ".norm2", channels, norm_, groups);
    unit.shortcut = Convolution(*this, name + ".shortcut", channels_in, channels,
                                {.kernel = 1, .dimensions = dimensions});
    return unit;
  }

  Up MakeUp(const std::string& name, std::int64_t channels_in, std::int64_t channels) {
    // Each output is a sum over the channels of one place, and nothing cuts it off.
    const Start start{Start::Kind::kNormal, 1 / std::sqrt(static_cast<double>(channels_in))};
    std::vector<std::int64_t> shape = {channels_in, channels};
    shape.insert(shape.end(), dimensions, 2);
    return {Add(name + ".weight", std::move(shape), start),
            Add(name + ".bias", {channels}, {Start::Kind::kConstant, 0})};
  }

  const plan::Norm norm_;
  const bool checkpointing_;
  std::vector<Unit> encoder_;
  std::vector<Decoder> decoder_;  // from the coarsest
  Convolution head_;
};

}  // namespace

std::unique_ptr<Network> MakeUnet(const plan::Plan& plan) {
  return std::make_unique<Unet<2>>(plan);
}

std::unique_ptr<Network> MakeUnet3d(const plan::Plan& plan) {
  return std::make_unique<Unet<3>>(plan);
}

}  // namespace consilium::learning
