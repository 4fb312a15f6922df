#include <ATen/ops/max_pool2d.h>

#include "common/base/text.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kGroups = 8;
constexpr std::int64_t kWidths[] = {16, 32, 64, 128};
constexpr std::size_t kBlocks = std::size(kWidths);

class SpectrogramCnn final : public Network {
 public:
  explicit SpectrogramCnn(const plan::Plan& plan) {
    std::int64_t channels = 1;
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const std::string name = StrCat("blocks.", i);
      convolutions_[i] = Convolution(*this, name + ".conv", channels, kWidths[i], {});
      norms_[i] = Norm(*this, name + ".norm", kWidths[i], plan.model.norm, kGroups);
      channels = kWidths[i];
    }
    fc_ = Linear(*this, "fc", channels, OutputsOf(plan));
  }

  at::Tensor Forward(const at::Tensor& spectrograms, bool training) override {
    at::Tensor x = spectrograms;
    for (std::size_t i = 0; i < kBlocks; ++i) {
      x = norms_[i](convolutions_[i](x), training, Activation::kRelu);
      if (i + 1 < kBlocks) x = at::max_pool2d(x, 2);
    }
    const at::Tensor over_time = x.mean(2);  // N x channels x frames
    return fc_(over_time.mean(2).add(over_time.amax(2))).squeeze(1);
  }

 private:
  Convolution convolutions_[kBlocks];
  Norm norms_[kBlocks];
  Linear fc_;
};

}  // namespace

std::unique_ptr<Network> MakeSpectrogramCnn(const plan::Plan& plan) {
  return std::make_unique<SpectrogramCnn>(plan);
}

}  // namespace consilium::learning
