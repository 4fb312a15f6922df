#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/sigmoid.h>

#include <array>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

class BinaryEvaluation final : public TaskEvaluation {
 public:
  explicit BinaryEvaluation(const datasets::Dataset& data) : data_(data) {}

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t first,
                   std::size_t count) override {
    ASSIGN_OR_RETURN(const std::vector<float> scores, Numbers(at::sigmoid(output)));
    CONSILIUM_CHECK(scores.size() == count && targets.size() == count);
    for (std::size_t i = 0; i < count; ++i) {
      if (targets[i] != 0 && targets[i] != 1) {
        return absl::InvalidArgumentError(
            StrCat("an example has target ", targets[i], "; 0 and 1 are allowed"));
      }
      sums_.Add(scores[i], targets[i] == 1);
      patients_.insert(data_.GetLabel(first + i).patient);
    }
    return absl::OkStatus();
  }

  metrics::TaskSums Finish() override {
    sums_.patients = patients_.size();
    return std::move(sums_);
  }

 private:
  const datasets::Dataset& data_;
  metrics::BinarySums sums_;
  std::unordered_set<std::uint64_t> patients_;
};

class BinaryTask final : public LearningTask {
 public:
  explicit BinaryTask(const plan::Plan& plan) : plan_(plan) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    ASSIGN_OR_RETURN(Population population, CountExamples(data, plan_));
    std::array<std::uint64_t, 2> counts{};
    for (std::size_t i = 0; i < data.size(); ++i) {
      const int target = data.GetLabel(i).target;
      if (target != 0 && target != 1) {
        return absl::InvalidArgumentError(
            StrCat("a training example has target ", target, "; 0 and 1 are allowed"));
      }
      ++counts[static_cast<std::size_t>(target)];
    }
    if (plan_.training.class_weighting && (counts[0] == 0 || counts[1] == 0)) {
      return absl::InvalidArgumentError(
          StrCat("all ", population.examples, " training examples have target ",
                 counts[1] == 0 ? 0 : 1, "; training needs both classes", kOneClassAdvice));
    }
    population.class_weights = ClassWeights(counts, plan_.training);
    return population;
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population& population) const override {
    const at::Tensor truth = targets.squeeze(1);
    return at::binary_cross_entropy_with_logits(output, truth, WeightsOf(truth, population));
  }

  at::Tensor Predict(const at::Tensor& output) const override { return at::sigmoid(output); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return std::make_unique<BinaryEvaluation>(data);
  }

 private:
  const plan::Plan plan_;
};

}  // namespace

std::unique_ptr<LearningTask> MakeBinaryTask(const plan::Plan& plan) {
  return std::make_unique<BinaryTask>(plan);
}

}  // namespace consilium::learning
