#include <ATen/ops/cat.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <cmath>
#include <numeric>

#include "common/base/text.h"
#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/resnet_body.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kDefaultWidth = 64, kGroups = 32;
constexpr int kLevels = 3;  // of the pyramid, of strides 8, 16 and 32
constexpr int kHeadLayers = 4;
constexpr double kPrior = 0.01;  // what every place begins with as the probability of each kind

// Tian et al. 2019 on a feature pyramid (Lin et al. 2017): each place of each level says what kinds
// of finding it is in, how far their edges are, and whether it is near their centre.
class Fcos final : public Network {
 public:
  explicit Fcos(const plan::Plan& plan)
      : body_(*this, "backbone.body.", plan::Architecture::kResNet18, ChannelsOf(plan),
              plan.model.norm) {
    const std::int64_t width = plan.model.width > 0 ? plan.model.width : kDefaultWidth;
    const std::int64_t kinds = plan.target.Shape().classes;
    for (int level = 0; level < kLevels; ++level) {
      const std::int64_t channels = body_.channels() >> (kLevels - 1 - level);
      // As torch begins a pyramid: uniform, of variance 1 by the inputs.
      inner_.push_back(Layer(StrCat("backbone.fpn.inner_blocks.", level, ".0"), channels, width, 1,
                             {Start::Kind::kUniform, std::sqrt(3.0 / channels)}));
    }
    for (int level = 0; level < kLevels; ++level) {
      layer_.push_back(Layer(StrCat("backbone.fpn.layer_blocks.", level, ".0"), width, width, 3,
                             {Start::Kind::kUniform, std::sqrt(3.0 / (9 * width))}));
    }
    classify_ = MakeTower("head.classification_head.conv.", width);
    cls_logits_ = Output("head.classification_head.cls_logits", width, kinds,
                         -std::log((1 - kPrior) / kPrior));
    regress_ = MakeTower("head.regression_head.conv.", width);
    bbox_reg_ = Output("head.regression_head.bbox_reg", width, 4, 0);
    bbox_ctrness_ = Output("head.regression_head.bbox_ctrness", width, 1, 0);
  }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    const std::vector<at::Tensor> body = body_(images, training);
    std::vector<at::Tensor> pyramid(kLevels);
    at::Tensor above;
    for (int level = kLevels - 1; level >= 0; --level) {
      at::Tensor x = inner_[level](body[1 + level]);
      if (above.defined()) x = x.add(at::upsample_nearest2d(above, x.sizes().slice(2)));
      above = x;
      pyramid[level] = layer_[level](x);
    }
    std::vector<at::Tensor> outputs;
    for (const at::Tensor& level : pyramid) {
      const at::Tensor kinds = cls_logits_(classify_.Forward(level, training));
      const at::Tensor features = regress_.Forward(level, training);
      const at::Tensor all = at::cat({kinds, bbox_reg_(features), bbox_ctrness_(features)}, 1);
      outputs.push_back(all.permute({0, 2, 3, 1}).flatten(1, 2));
    }
    return at::cat(outputs, 1);
  }

 private:
  struct Tower {
    std::vector<Convolution> convolutions;
    std::vector<Norm> norms;

    at::Tensor Forward(at::Tensor x, bool training) {
      for (std::size_t i = 0; i < convolutions.size(); ++i) {
        x = norms[i](convolutions[i](x), training, Activation::kRelu);
      }
      return x;
    }
  };

  // With a bias that begins at `bias`.
  Convolution Layer(const std::string& name, std::int64_t channels_in, std::int64_t channels,
                    std::int64_t kernel, Start start, double bias = 0) {
    Convolution layer;
    layer.weight = Add(name + ".weight", {channels, channels_in, kernel, kernel}, start);
    layer.bias = Add(name + ".bias", {channels}, {Start::Kind::kConstant, bias});
    return layer;
  }

  Convolution Output(const std::string& name, std::int64_t width, std::int64_t outputs,
                     double bias) {
    return Layer(name, width, outputs, 3, {Start::Kind::kNormal, 0.01}, bias);
  }

  // Group norm whatever the plan's: one tower serves all levels, whose statistics differ.
  Tower MakeTower(const std::string& prefix, std::int64_t width) {
    Tower tower;
    for (int i = 0; i < kHeadLayers; ++i) {
      tower.convolutions.push_back(
          Layer(StrCat(prefix, 3 * i), width, width, 3, {Start::Kind::kNormal, 0.01}));
      tower.norms.emplace_back(*this, StrCat(prefix, 3 * i + 1), width, plan::Norm::kGroup,
                               std::gcd(width, kGroups));
    }
    return tower;
  }

  ResNetBody body_;
  std::vector<Convolution> inner_, layer_;  // from the finest
  Tower classify_, regress_;
  Convolution cls_logits_, bbox_reg_, bbox_ctrness_;
};

}  // namespace

std::unique_ptr<Network> MakeFcos(const plan::Plan& plan) { return std::make_unique<Fcos>(plan); }

}  // namespace consilium::learning
