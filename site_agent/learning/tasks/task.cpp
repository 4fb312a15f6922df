#include "site_agent/learning/tasks/task.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {

std::unique_ptr<LearningTask> LearningTask::Make(const plan::Plan& plan) {
  switch (plan.target.task) {
    case Task::kBinary:
      return MakeBinaryTask(plan);
    case Task::kMulticlass:
      return plan.target.ordered ? MakeOrdinalTask(plan) : MakeMulticlassTask(plan);
    case Task::kMultilabel:
      return MakeMultilabelTask(plan);
    case Task::kSegmentation:
      return MakeSegmentationTask(plan);
    case Task::kSurvival:
      return plan.target.intervals.empty() ? MakeSurvivalTask(plan) : MakeHazardsTask(plan);
    case Task::kDetection:
      return MakeDetectionTask(plan);
  }
  CONSILIUM_CHECK(false);
}

absl::StatusOr<Population> CountExamples(const datasets::Dataset& data, const plan::Plan& plan) {
  if (data.size() == 0) {
    return absl::InvalidArgumentError(
        plan.data.source == plan::Source::kTable
            ? "there are no training examples: the table needs rows with the plan's target"
        : plan.data.source == plan::Source::kAudio
            ? "there are no training examples: recordings.csv needs rows with the plan's target"
            : "there are no training examples: index images with labels for the plan's target");
  }
  std::unordered_set<std::uint64_t> patients;
  for (std::size_t i = 0; i < data.size(); ++i) patients.insert(data.GetLabel(i).patient);
  return Population{.examples = data.size(), .patients = patients.size()};
}

std::vector<float> ClassWeights(std::span<const std::uint64_t> examples,
                                const plan::Training& training) {
  if (!training.class_weighting) return {};
  double all = 0, present = 0;
  for (const std::uint64_t count : examples) {
    all += static_cast<double>(count);
    present += count > 0;
  }
  std::vector<float> weights;
  for (const std::uint64_t count : examples) {
    weights.push_back(
        count == 0 ? 0 : static_cast<float>(all / (present * static_cast<double>(count))));
  }
  return weights;
}

at::Tensor WeightsOf(const at::Tensor& classes, const Population& population) {
  if (population.class_weights.empty()) return at::ones_like(classes, at::kFloat);
  const at::Tensor weights =
      at::tensor(at::ArrayRef<float>(population.class_weights)).to(classes.device());
  return at::index_select(weights, 0, classes.to(at::kLong));
}

absl::Status CheckMask(std::span<const float> mask, std::uint32_t structures) {
  for (const float value : mask) {
    const bool is_structure = value >= 0 && value <= static_cast<float>(structures) &&
                              value == static_cast<float>(static_cast<std::uint32_t>(value));
    if (is_structure) continue;
    return absl::InvalidArgumentError(
        StrCat("a mask holds the value ", value, "; 0 to ", structures, " are allowed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> Numbers(const at::Tensor& output) {
  const at::Tensor values = output.to(at::kCPU).contiguous();
  const float* begin = values.data_ptr<float>();
  std::vector<float> numbers(begin, begin + values.numel());
  if (std::all_of(numbers.begin(), numbers.end(), [](float v) { return std::isfinite(v); })) {
    return numbers;
  }
  return absl::InvalidArgumentError(
      "the model gives a score that is not a number: its weights are out of range");
}

}  // namespace consilium::learning
