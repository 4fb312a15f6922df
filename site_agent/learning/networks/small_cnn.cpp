#include <ATen/ops/max_pool2d.h>

#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kGroups = 8;

class SmallCnn final : public ImageClassifier {
 public:
  explicit SmallCnn(const plan::Plan& plan) {
    std::int64_t channels_in = ChannelsOf(plan), channels = 16;
    for (int i = 0; i < 4; ++i) {
      const std::string number = std::to_string(i + 1);
      convolutions_[i] = Convolution(*this, "conv" + number, channels_in, channels, {});
      norms_[i] = Norm(*this, "norm" + number, channels, plan.model.norm, kGroups);
      channels_in = channels;
      channels *= 2;
    }
    AddClassifier("fc", channels_in, OutputsOf(plan));
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    at::Tensor x = images;
    for (int i = 0; i < 4; ++i) {
      x = norms_[i](convolutions_[i](x), training, Activation::kRelu);
      if (i < 3) x = at::max_pool2d(x, 2);
    }
    return x;
  }

  // Three poolings of 2 pixels.
  FeatureGrid feature_grid() const override { return {4, 8}; }

 private:
  Convolution convolutions_[4];
  Norm norms_[4];
};

}  // namespace

std::unique_ptr<Network> MakeSmallCnn(const plan::Plan& plan) {
  return std::make_unique<SmallCnn>(plan);
}

}  // namespace consilium::learning
