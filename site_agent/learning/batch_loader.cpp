#include "site_agent/learning/batch_loader.h"

#include <algorithm>
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
  if (starts_.size() > 1 && order_.size() - starts_.back() < options_.smallest_batch) {
    starts_.pop_back();
  }
  starts_.push_back(order_.size());
  Prefetch();
}

void ToChannelsLast(std::span<const float> in, const datasets::InputShape& shape,
                    std::span<float> out) {
  CONSILIUM_CHECK(in.size() == shape.ImageElements() && out.size() == in.size());
  const std::size_t channels = shape.channels, pixels = in.size() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    const float* const plane = in.data() + c * pixels;
    for (std::size_t i = 0; i < pixels; ++i) out[i * channels + c] = plane[i];
  }
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
  const datasets::InputShape shape = data_.input_shape();
  const std::size_t elements = shape.Elements(), image_elements = shape.ImageElements();
  const std::size_t target_elements = data_.target_elements();
  Batch batch{.count = count, .shape = shape};
  batch.inputs.resize(count * elements);
  batch.targets.resize(count * target_elements);
  const bool augmented = options_.augmentation != plan::Augmentation::kNone && image_elements > 0;
  std::vector<float> scratch(augmented || shape.channels > 1 ? image_elements : 0);
  for (std::size_t i = 0; i < count; ++i) {
    const auto input = std::span(batch.inputs).subspan(i * elements, elements);
    const auto target = std::span(batch.targets).subspan(i * target_elements, target_elements);
    const auto image = input.first(image_elements);
    data_.Get(order_[begin + i], input);
    data_.GetTarget(order_[begin + i], target);
    if (augmented) {
      SeededRandom random(options_.augmentation_seed, StrCat("augmentation/", begin + i));
      const auto mask = options_.targets_are_masks ? target : std::span<float>();
      Augment(options_.augmentation, shape, image, mask, scratch, random);
    }
    if (shape.channels > 1) {
      std::copy(image.begin(), image.end(), scratch.begin());
      ToChannelsLast(scratch, shape, image);
    }
  }
  return batch;
}

}  // namespace consilium::learning
