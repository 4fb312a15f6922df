#include "site_agent/learning/batch_loader.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "common/base/status.h"
#include "site_agent/learning/augmentation.h"

namespace consilium::learning {
namespace {

using Corner = std::array<std::uint32_t, 3>;  // of a block: slice, row, column

// A voxel of a structure, if there is one.
std::optional<std::size_t> RandomMarked(std::span<const float> mask, SeededRandom& random) {
  const auto marked = static_cast<std::uint64_t>(
      std::ranges::count_if(mask, [](float value) { return value > 0; }));
  if (marked == 0) return std::nullopt;
  std::uint64_t before = random.Below(marked);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] > 0 && before-- == 0) return i;
  }
  return std::nullopt;
}

Corner RandomCorner(const datasets::InputShape& shape, std::uint32_t block,
                    std::span<const float> mask, SeededRandom& random) {
  const std::array<std::uint32_t, 3> sides = {shape.depth, shape.height, shape.width};
  Corner corner{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    corner[axis] = static_cast<std::uint32_t>(random.Below(sides[axis] - block + 1));
  }
  if (mask.empty() || !random.Chance(1.0 / 3)) return corner;
  const auto voxel = RandomMarked(mask, random);
  if (!voxel) return corner;
  const std::size_t plane = std::size_t{shape.height} * shape.width;
  const std::array<std::size_t, 3> at = {*voxel / plane, *voxel % plane / shape.width,
                                         *voxel % shape.width};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::int64_t start = static_cast<std::int64_t>(at[axis]) - block / 2;
    corner[axis] = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(start, 0, std::int64_t{sides[axis]} - block));
  }
  return corner;
}

void CopyBlock(std::span<const float> volume, const datasets::InputShape& shape,
               const Corner& corner, std::uint32_t block, std::span<float> out) {
  float* to = out.data();
  for (std::uint32_t z = 0; z < block; ++z) {
    for (std::uint32_t y = 0; y < block; ++y, to += block) {
      const std::size_t row = std::size_t{corner[0] + z} * shape.height + corner[1] + y;
      std::copy_n(volume.data() + row * shape.width + corner[2], block, to);
    }
  }
}

}  // namespace

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
  if (options_.block > 0) return FillBlocks(index);
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
    data_.GetTarget(order_[begin + i], target);
    if (!augmented) {
      data_.Get(order_[begin + i], input);
    } else {
      SeededRandom random(options_.augmentation_seed, StrCat("augmentation/", begin + i));
      data_.GetAnyPart(order_[begin + i], random, input);
      const auto mask = options_.targets_are_masks ? target : std::span<float>();
      Augment(options_.augmentation, shape, image, mask, scratch, random);
    }
    if (shape.channels > 1 && shape.depth == 1) {
      std::copy(image.begin(), image.end(), scratch.begin());
      ToChannelsLast(scratch, shape, image);
    }
  }
  return batch;
}

Batch BatchLoader::FillBlocks(std::size_t index) const {
  const std::size_t begin = starts_[index], count = starts_[index + 1] - begin;
  const datasets::InputShape whole = data_.input_shape();
  CONSILIUM_CHECK(options_.block <= std::min({whole.depth, whole.height, whole.width}));
  datasets::InputShape shape = whole;
  shape.depth = shape.height = shape.width = options_.block;
  const std::size_t voxels = std::size_t{shape.depth} * shape.height * shape.width;
  const std::size_t all_voxels = std::size_t{whole.depth} * whole.height * whole.width;
  const std::size_t target_elements = options_.targets_are_masks ? voxels : data_.target_elements();
  Batch batch{.count = count, .shape = shape};
  batch.inputs.resize(count * shape.Elements());
  batch.targets.resize(count * target_elements);
  std::vector<float> image(whole.ImageElements()), scratch(whole.ImageElements());
  std::vector<float> target(data_.target_elements());
  for (std::size_t i = 0; i < count; ++i) {
    data_.Get(order_[begin + i], image);
    data_.GetTarget(order_[begin + i], target);
    const auto mask = options_.targets_are_masks ? std::span(target) : std::span<float>();
    SeededRandom random(options_.augmentation_seed, StrCat("augmentation/", begin + i));
    Augment(options_.augmentation, whole, image, mask, scratch, random);
    const Corner corner = RandomCorner(whole, options_.block, mask, random);
    auto out = std::span(batch.inputs).subspan(i * shape.Elements(), shape.Elements());
    for (std::uint32_t c = 0; c < whole.channels; ++c) {
      CopyBlock(std::span(image).subspan(c * all_voxels, all_voxels), whole, corner, options_.block,
                out.subspan(c * voxels, voxels));
    }
    out = std::span(batch.targets).subspan(i * target_elements, target_elements);
    if (options_.targets_are_masks) {
      CopyBlock(target, whole, corner, options_.block, out);
    } else {
      std::ranges::copy(target, out.begin());
    }
  }
  return batch;
}

}  // namespace consilium::learning
