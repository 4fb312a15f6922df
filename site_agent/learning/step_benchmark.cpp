#include "site_agent/learning/step_benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/tasks/shape.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

// As a site's pixel cache is once it has been read, or its table.
class NoiseDataset final : public datasets::Dataset {
 public:
  NoiseDataset(const plan::Plan& plan, std::size_t count)
      : shape_(InputOf(plan)),
        target_elements_(TargetElementsOf(plan)),
        count_(count),
        survival_(plan.target.task == Task::kSurvival) {
    SeededRandom random(plan.seed, "benchmark");
    inputs_.resize(count * shape_.Elements());
    for (float& value : inputs_) value = static_cast<float>(random.Normal());
  }
  std::size_t size() const override { return count_; }
  std::uint32_t image_size() const override { return shape_.width; }
  datasets::InputShape input_shape() const override { return shape_; }
  std::size_t target_elements() const override { return target_elements_; }
  Label Get(std::size_t index, std::span<float> out) const override {
    const auto first = inputs_.begin() + static_cast<std::ptrdiff_t>(index * out.size());
    std::copy_n(first, out.size(), out.begin());
    return GetLabel(index);
  }
  Label GetLabel(std::size_t index) const override {
    return {.target = static_cast<int>(index % 2), .patient = index};
  }
  // A mask is a square in the middle (of a volume: a beam); classes 0 and 1 take turns, and so does
  // who lived, each a day longer than the one before.
  void GetTarget(std::size_t index, std::span<float> out) const override {
    const std::size_t width = shape_.width, height = shape_.height;
    const bool mask = width > 0 && out.size() >= width * height;
    const auto inside = [&](std::size_t i) {
      const std::size_t x = i % width, y = i / width % height;
      return x >= width / 4 && x < width - width / 4 && y >= height / 4 && y < height - height / 4;
    };
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = (mask ? inside(i) : (index + i) % 2 == 1) ? 1 : 0;
    }
    if (survival_) out[0] = static_cast<float>(index + 1);
  }

 private:
  const datasets::InputShape shape_;
  const std::size_t target_elements_, count_;
  const bool survival_;
  std::vector<float> inputs_;
};

Batch BatchOf(const datasets::Dataset& data) {
  Batch batch{.count = data.size(), .shape = data.input_shape()};
  const std::size_t inputs = batch.shape.Elements(), targets = data.target_elements();
  batch.inputs.resize(batch.count * inputs);
  batch.targets.resize(batch.count * targets);
  for (std::size_t i = 0; i < batch.count; ++i) {
    data.Get(i, std::span(batch.inputs).subspan(i * inputs, inputs));
    data.GetTarget(i, std::span(batch.targets).subspan(i * targets, targets));
  }
  return batch;
}

}  // namespace

std::unique_ptr<datasets::Dataset> NoiseData(const plan::Plan& plan, std::size_t count) {
  return std::make_unique<NoiseDataset>(plan, count);
}

absl::StatusOr<std::vector<double>> TimeTrainingSteps(const plan::Plan& plan, int warm_up,
                                                      int steps) {
  ASSIGN_OR_RETURN(const ModelState model, InitialModel(plan));
  return WithTorch("the benchmark", [&]() -> absl::StatusOr<std::vector<double>> {
    const std::unique_ptr<Network> network = Network::Make(plan);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
    TrainingStep step(*network, *task, {}, plan);
    const Batch batch = BatchOf(NoiseDataset(plan, plan.training.batch_size));
    std::vector<double> seconds;
    for (int i = 0; i < warm_up + steps; ++i) {
      const auto started = std::chrono::steady_clock::now();
      const double loss = step.Run(batch);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
      if (!std::isfinite(loss)) return absl::InternalError("the loss is not a number");
      if (i >= warm_up) seconds.push_back(taken.count());
    }
    return seconds;
  });
}

}  // namespace consilium::learning
