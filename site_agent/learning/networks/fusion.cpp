// An image and its patient's row of a table, in one classifier.

#include <ATen/ops/cat.h>

#include "common/base/status.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/prepared_columns.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kColumnFeatures = 32;

class Fusion final : public Network {
 public:
  Fusion(const plan::Plan& plan, std::unique_ptr<Network> image)
      : channels_(ChannelsOf(plan)),
        size_(plan.preprocessing.image_size),
        columns_(plan.table.Inputs()),
        prepare_(*this, plan.table),
        image_(std::move(image)) {
    CONSILIUM_CHECK(image_->AsImageClassifier() != nullptr);
    // The last two are the classifier of the image alone, whose place is taken by `fc`.
    const std::span<const NamedTensor> tensors = image_->tensors();
    const std::size_t kept = tensors.size() - 2;
    for (NamedTensor entry : tensors.first(kept)) {
      entry.name = "image." + entry.name;
      Adopt(std::move(entry));
    }
    const std::int64_t image_features = tensors[kept].tensor.size(1);
    of_columns_ = Linear(*this, "columns", columns_, kColumnFeatures);
    fc_ = Linear(*this, "fc", image_features + kColumnFeatures, OutputsOf(plan));
  }

  at::Tensor Forward(const at::Tensor& input, bool training) override {
    const std::int64_t image_elements = channels_ * size_ * size_;
    const at::Tensor images = input.narrow(1, 0, image_elements)
                                  .reshape({input.size(0), size_, size_, channels_})
                                  .permute({0, 3, 1, 2})
                                  .contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor features =
        image_->AsImageClassifier()->Features(images, training).mean({2, 3});
    const at::Tensor columns = prepare_(input.narrow(1, image_elements, columns_));
    return fc_(at::cat({features, of_columns_(columns).relu()}, 1)).squeeze(1);
  }

  void Seed(std::uint64_t seed) override { image_->Seed(seed); }

 private:
  const std::int64_t channels_, size_, columns_;
  const PreparedColumns prepare_;
  const std::unique_ptr<Network> image_;
  Linear of_columns_, fc_;
};

}  // namespace

std::unique_ptr<Network> MakeFusion(const plan::Plan& plan, std::unique_ptr<Network> image) {
  return std::make_unique<Fusion>(plan, std::move(image));
}

}  // namespace consilium::learning
