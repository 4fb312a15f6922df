#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/plan/plan.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Examples of any shape, as a test makes them.
class MadeDataset final : public datasets::Dataset {
 public:
  struct Example {
    std::vector<float> input, target;
    std::uint64_t patient = 0;
  };

  MadeDataset(datasets::InputShape shape, std::size_t target_elements, float spacing_mm = 0)
      : shape_(shape), target_elements_(target_elements), spacing_mm_(spacing_mm) {}

  void Add(Example example) { examples_.push_back(std::move(example)); }
  Example& operator[](std::size_t index) { return examples_[index]; }

  std::size_t size() const override { return examples_.size(); }
  std::uint32_t image_size() const override { return shape_.width; }
  datasets::InputShape input_shape() const override { return shape_; }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::ranges::copy(examples_[index].input, out.begin());
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override {
    const int target = target_elements_ == 1 ? static_cast<int>(examples_[index].target[0]) : 0;
    return {.target = target, .patient = examples_[index].patient};
  }
  std::size_t target_elements() const override { return target_elements_; }
  void GetTarget(std::size_t index, std::span<float> out) const override {
    std::ranges::copy(examples_[index].target, out.begin());
  }
  float spacing_mm(std::size_t) const override { return spacing_mm_; }

 private:
  const datasets::InputShape shape_;
  const std::size_t target_elements_;
  const float spacing_mm_;
  std::vector<Example> examples_;
};

inline constexpr float kUnknown = std::numeric_limits<float>::quiet_NaN();

// A logistic (or Cox) model of a table of so many numbers.
inline plan::Plan TablePlan(Task task, int numbers = 2) {
  plan::Plan plan;
  plan.target.task = task;
  plan.target.name = "outcome";
  if (task == Task::kMulticlass) plan.target.classes = {"a", "b", "c"};
  if (task == Task::kMultilabel) plan.target.classes = {"a", "b"};
  if (task == Task::kSurvival) {
    plan.target.time = "days";
    plan.target.event = "died";
  }
  plan.data.source = plan::Source::kTable;
  plan.model.architecture = plan::Architecture::kLogistic;
  plan.table.name = "patients";
  for (int i = 0; i < numbers; ++i) {
    plan.table.columns.push_back({.name = "x" + std::to_string(i), .minimum = -10, .maximum = 10});
  }
  plan.training.optimizer = plan::Optimizer::kSgd;
  plan.training.momentum = 0;
  plan.training.weight_decay = 0;
  plan.training.learning_rate = 0.5;
  plan.training.batch_size = 32;
  return plan;
}

inline MadeDataset TableData(std::size_t target_elements, std::uint32_t numbers = 2) {
  return MadeDataset({.channels = 0, .columns = numbers}, target_elements);
}

inline plan::Plan OutlinePlan(std::uint32_t size = 16) {
  plan::Plan plan;
  plan.target.task = Task::kSegmentation;
  plan.target.name = "lesion";
  plan.target.classes = {"lesion"};
  plan.model.architecture = plan::Architecture::kUnet;
  plan.model.width = 8;
  plan.preprocessing.image_size = size;
  plan.training.batch_size = 8;
  plan.training.learning_rate = 5e-3;
  plan.training.augmentation = plan::Augmentation::kNone;
  return plan;
}

// Noise with a bright square, whose outline is the target. Images i and i + count / 2 are of one
// patient, so that no patient's images are next to each other.
inline MadeDataset OutlineData(std::size_t count, std::uint64_t seed, std::uint32_t size = 16) {
  MadeDataset data({.height = size, .width = size}, std::size_t{size} * size, 0.5f);
  SeededRandom random(seed, "outlines");
  for (std::size_t n = 0; n < count; ++n) {
    MadeDataset::Example example{.patient = n % (count / 2)};
    const std::uint64_t left = random.Below(size / 2), top = random.Below(size / 2);
    for (std::uint64_t y = 0; y < size; ++y) {
      for (std::uint64_t x = 0; x < size; ++x) {
        const bool inside = x >= left && x < left + size / 3 && y >= top && y < top + size / 3;
        example.input.push_back(static_cast<float>(0.5 * random.Normal() + (inside ? 3 : 0)));
        example.target.push_back(inside ? 1 : 0);
      }
    }
    data.Add(std::move(example));
  }
  return data;
}

inline plan::Plan BoxPlan(std::uint32_t size = 64) {
  plan::Plan plan = OutlinePlan(size);
  plan.target.task = Task::kDetection;
  plan.model.architecture = plan::Architecture::kFcos;
  plan.model.width = 32;
  plan.training.learning_rate = 1e-3;
  return plan;
}

// Noise with up to three bright squares, which are the findings of one kind. Every fifth image has
// none; three images in a row are of one patient.
inline MadeDataset BoxData(std::size_t count, std::uint64_t seed, std::uint32_t size = 64) {
  MadeDataset data({.height = size, .width = size}, std::size_t{size} * size, 0.5f);
  SeededRandom random(seed, "boxes");
  for (std::size_t n = 0; n < count; ++n) {
    MadeDataset::Example example{.patient = n / 3};
    example.target.resize(std::size_t{size} * size);
    for (std::size_t i = 0; i < example.target.size(); ++i) {
      example.input.push_back(static_cast<float>(0.5 * random.Normal()));
    }
    for (std::size_t square = 0; square < (n % 5 == 4 ? 0 : 1 + n % 3); ++square) {
      const std::uint64_t side = 10 + random.Below(8);
      const std::uint64_t left = random.Below(size - side), top = random.Below(size - side);
      for (std::uint64_t y = top; y < top + side; ++y) {
        for (std::uint64_t x = left; x < left + side; ++x) {
          example.input[y * size + x] += 3;
          example.target[y * size + x] = 1;
        }
      }
    }
    data.Add(std::move(example));
  }
  return data;
}

}  // namespace consilium::learning
