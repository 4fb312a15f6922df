#include <ATen/ops/silu.h>

#include "common/base/text.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kGroups = 8;  // divides every number of channels below
constexpr std::int64_t kFirst = 32, kLast = 1280;

struct Stage {
  std::int64_t expansion, kernel, stride, channels;
  int blocks;
};
constexpr Stage kStages[] = {{1, 3, 1, 16, 1}, {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2},
                             {6, 3, 2, 80, 3}, {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4},
                             {6, 3, 1, 320, 1}};

class EfficientNetB0 final : public ImageClassifier {
 public:
  explicit EfficientNetB0(const plan::Plan& plan) : norm_(plan.model.norm) {
    first_ = MakeUnit("features.0", ChannelsOf(plan), kFirst, {.kernel = 3, .stride = 2});
    std::int64_t channels_in = kFirst;
    int stage_number = 0;
    for (const Stage& stage : kStages) {
      ++stage_number;
      for (int i = 0; i < stage.blocks; ++i) {
        const std::string name = StrCat("features.", stage_number, ".", i, ".block.");
        blocks_.push_back(MakeBlock(name, stage, channels_in, i == 0 ? stage.stride : 1));
        channels_in = stage.channels;
      }
    }
    last_ = MakeUnit(StrCat("features.", stage_number + 1), channels_in, kLast, {.kernel = 1});
    AddClassifier("classifier.1", kLast, OutputsOf(plan));
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = first_(images, training, Activation::kSilu);
    for (Block& block : blocks_) x = block.Forward(x, training);
    return last_(x, training, Activation::kSilu);
  }

  // Five strides of 2, each kernel centred on its first pixel.
  FeatureGrid feature_grid() const override { return {0.5, 32}; }

 private:
  struct Unit {  // a convolution and its norm
    Convolution convolution;
    Norm norm;
    at::Tensor operator()(const at::Tensor& x, bool training, Activation activation,
                          const at::Tensor& around = {}) {
      return norm(convolution(x), training, activation, around);
    }
  };

  // Tan and Le 2019's MBConv: expansion, depthwise convolution, squeeze and excitation, projection.
  struct Block {
    Unit expand, depthwise, project;  // expand: not defined where the expansion is 1
    Convolution squeeze, excite;
    bool residual;

    at::Tensor Forward(const at::Tensor& x, bool training) {
      at::Tensor y = x;
      if (expand.convolution.defined()) y = expand(y, training, Activation::kSilu);
      y = depthwise(y, training, Activation::kSilu);
      const at::Tensor scale = excite(at::silu(squeeze(y.mean({2, 3}, /*keepdim=*/true))));
      return project(y.mul(scale.sigmoid()), training, Activation::kNone,
                     residual ? x : at::Tensor());
    }
  };

  Unit MakeUnit(const std::string& name, std::int64_t channels_in, std::int64_t channels_out,
                const Convolution::Options& options) {
    Convolution convolution(*this, name + ".0", channels_in, channels_out, options);
    return {convolution, Norm(*this, name + ".1", channels_out, norm_, kGroups)};
  }

  Block MakeBlock(const std::string& name, const Stage& stage, std::int64_t channels_in,
                  std::int64_t stride) {
    const std::int64_t width = channels_in * stage.expansion, squeezed = channels_in / 4;
    int number = 0;
    const auto next = [&] { return StrCat(name, number++); };
    Block block;
    if (stage.expansion > 1) block.expand = MakeUnit(next(), channels_in, width, {.kernel = 1});
    block.depthwise =
        MakeUnit(next(), width, width, {.kernel = stage.kernel, .stride = stride, .groups = width});
    const std::string excitation = next();
    block.squeeze =
        Convolution(*this, excitation + ".fc1", width, squeezed, {.kernel = 1, .bias = true});
    block.excite =
        Convolution(*this, excitation + ".fc2", squeezed, width, {.kernel = 1, .bias = true});
    block.project = MakeUnit(next(), width, stage.channels, {.kernel = 1});
    block.residual = stride == 1 && channels_in == stage.channels;
    return block;
  }

  const plan::Norm norm_;
  Unit first_, last_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<Network> MakeEfficientNet(const plan::Plan& plan) {
  return std::make_unique<EfficientNetB0>(plan);
}

}  // namespace consilium::learning
