#include "site_agent/learning/batch_loader.h"

#include <chrono>

#include "common/base/status.h"
#include "site_agent/learning/augmentation.h"

namespace consilium::learning {

BatchLoader::BatchLoader(const datasets::Dataset& data, std::vector<std::size_t> order,
                         Options options)
    : data_(data), order_(std::move(order)), options_(options) {
  CONSILIUM_CHECK(options_.batch_size > 0);
  for (std::size_t start = 0; start < order_.size(); start += options_.batch_size) {
    starts_.push_back(start);
  }
  if (starts_.size() > 1 && order_.size() - starts_.back() == 1) starts_.pop_back();
  starts_.push_back(order_.size());
  Prefetch();
}

Batch BatchLoader::Next() {
  const auto asked = std::chrono::steady_clock::now();
  Batch batch = next_.get();
  waited_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
  Prefetch();
  return batch;
}

void BatchLoader::Prefetch() {
  if (prefetched_ == batches()) return;
  next_ = std::async(std::launch::async, [this, batch = prefetched_++] { return Fill(batch); });
}

Batch BatchLoader::Fill(std::size_t index) const {
  const std::size_t begin = starts_[index], count = starts_[index + 1] - begin;
  const std::uint32_t size = data_.image_size();
  const std::size_t pixels = std::size_t{size} * size;
  Batch batch{.count = count};
  batch.pixels.resize(count * pixels);
  batch.targets.resize(count);
  batch.weights.resize(count);
  std::vector<float> scratch(pixels);
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<float> image(batch.pixels.data() + i * pixels, pixels);
    const int target = data_.Get(order_[begin + i], image).target;
    if (options_.augmentation == plan::Augmentation::kRadiograph) {
      SeededRandom random(options_.augmentation_seed, StrCat("augmentation/", begin + i));
      AugmentRadiograph(image, scratch, size, random);
    }
    batch.targets[i] = static_cast<float>(target);
    batch.weights[i] = target == 1 ? options_.weights.positive : options_.weights.negative;
  }
  return batch;
}

}  // namespace consilium::learning
