#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/random.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Images of noise; those with target 1 have a brighter square somewhere. Two examples a patient.
class SquareDataset final : public datasets::Dataset {
 public:
  SquareDataset(std::size_t count, std::uint32_t size, std::uint64_t seed) : size_(size) {
    SeededRandom random(seed, "squares");
    for (std::size_t i = 0; i < count; ++i) {
      targets_.push_back(static_cast<int>(i % 2));
      std::vector<float> image(std::size_t{size} * size);
      for (float& pixel : image) pixel = static_cast<float>(random.Normal());
      if (targets_.back() == 1) AddSquare(image, random);
      images_.push_back(std::move(image));
    }
  }

  std::size_t size() const override { return images_.size(); }
  std::uint32_t image_size() const override { return size_; }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::copy(images_[index].begin(), images_[index].end(), out.begin());
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override {
    return {.target = targets_[index], .patient = index / 2};
  }

  void SetTarget(std::size_t index, int target) { targets_[index] = target; }
  void FillImages(float value) {
    for (auto& image : images_) std::fill(image.begin(), image.end(), value);
  }

 private:
  void AddSquare(std::vector<float>& image, SeededRandom& random) const {
    const std::uint32_t side = size_ / 4;
    const std::uint64_t left = random.Below(size_ - side), top = random.Below(size_ - side);
    for (std::uint64_t y = top; y < top + side; ++y) {
      for (std::uint64_t x = left; x < left + side; ++x) image[y * size_ + x] += 3;
    }
  }

  std::uint32_t size_;
  std::vector<std::vector<float>> images_;
  std::vector<int> targets_;
};

// A plan for these images: small CNN, group norm, no augmentation.
inline plan::Plan SquarePlan(std::uint32_t size = 24) {
  plan::Plan plan;
  plan.preprocessing.image_size = size;
  plan.training.batch_size = 16;
  plan.training.learning_rate = 3e-3;
  plan.training.augmentation = plan::Augmentation::kNone;
  return plan;
}

}  // namespace consilium::learning
