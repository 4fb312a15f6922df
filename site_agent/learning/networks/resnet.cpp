#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/resnet_body.h"

namespace consilium::learning {
namespace {

class ResNet final : public ImageClassifier {
 public:
  explicit ResNet(const plan::Plan& plan)
      : body_(*this, "", plan.model.architecture, ChannelsOf(plan), plan.model.norm) {
    AddClassifier("fc", body_.channels(), OutputsOf(plan));
  }

  at::Tensor Features(const at::Tensor& images, bool training) override {
    return body_(images, training).back();
  }

  // Five strides of 2, each kernel centred on its first pixel.
  FeatureGrid feature_grid() const override { return {0.5, 32}; }

 private:
  ResNetBody body_;
};

}  // namespace

std::unique_ptr<Network> MakeResNet(const plan::Plan& plan) {
  return std::make_unique<ResNet>(plan);
}

}  // namespace consilium::learning
