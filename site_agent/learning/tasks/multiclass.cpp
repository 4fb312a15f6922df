#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

class MulticlassEvaluation final : public TaskEvaluation {
 public:
  MulticlassEvaluation(const datasets::Dataset& data, std::uint32_t classes, Answer answer)
      : data_(data), answer_(answer), sums_(classes) {}

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t first,
                   std::size_t count) override {
    ASSIGN_OR_RETURN(const std::vector<float> probabilities, Numbers(answer_(output)));
    const std::size_t classes = sums_.classes;
    CONSILIUM_CHECK(probabilities.size() == count * classes && targets.size() == count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto truth = static_cast<std::uint32_t>(std::max(0.0f, targets[i]));
      if (static_cast<float>(truth) != targets[i] || truth >= classes) {
        return absl::InvalidArgumentError(StrCat("an example is of class ", targets[i],
                                                 "; classes 0 to ", classes - 1, " are allowed"));
      }
      sums_.Add(std::span(probabilities).subspan(i * classes, classes), truth);
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
  const Answer answer_;
  metrics::MulticlassSums sums_;
  std::unordered_set<std::uint64_t> patients_;
};

at::Tensor Probabilities(const at::Tensor& output) { return at::softmax(output, 1); }

class MulticlassTask final : public LearningTask {
 public:
  explicit MulticlassTask(const plan::Plan& plan) : plan_(plan) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    return SurveyClasses(data, plan_);
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population& population) const override {
    const at::Tensor truth = targets.to(at::kLong);  // N x 1
    const at::Tensor loss = at::log_softmax(output, 1).gather(1, truth).squeeze(1).neg();
    return loss.mul(WeightsOf(truth.squeeze(1), population)).mean();
  }

  at::Tensor Predict(const at::Tensor& output) const override { return Probabilities(output); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return EvaluateClasses(data, plan_.target.Shape().classes, Probabilities);
  }

 private:
  const plan::Plan plan_;
};

}  // namespace

absl::StatusOr<Population> SurveyClasses(const datasets::Dataset& data, const plan::Plan& plan) {
  const std::uint32_t classes = plan.target.Shape().classes;
  ASSIGN_OR_RETURN(Population population, CountExamples(data, plan));
  std::vector<std::uint64_t> counts(classes);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const int target = data.GetLabel(i).target;
    if (target < 0 || target >= static_cast<int>(classes)) {
      return absl::InvalidArgumentError(StrCat("a training example is of class ", target,
                                               "; classes 0 to ", classes - 1, " are allowed"));
    }
    ++counts[static_cast<std::size_t>(target)];
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  if (plan.training.class_weighting && *most == population.examples) {
    return absl::InvalidArgumentError(
        StrCat("all ", population.examples, " training examples are of class \"",
               plan.target.classes[static_cast<std::size_t>(most - counts.begin())],
               "\"; training needs two classes or more", kOneClassAdvice));
  }
  population.class_weights = ClassWeights(counts, plan.training);
  return population;
}

std::unique_ptr<TaskEvaluation> EvaluateClasses(const datasets::Dataset& data,
                                                std::uint32_t classes, Answer answer) {
  return std::make_unique<MulticlassEvaluation>(data, classes, answer);
}

std::unique_ptr<LearningTask> MakeMulticlassTask(const plan::Plan& plan) {
  return std::make_unique<MulticlassTask>(plan);
}

}  // namespace consilium::learning
