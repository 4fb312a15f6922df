#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/sigmoid.h>

#include <array>
#include <cmath>
#include <unordered_set>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

bool IsTarget(float value) { return value == 0 || value == 1 || std::isnan(value); }

class MultilabelEvaluation final : public TaskEvaluation {
 public:
  MultilabelEvaluation(const datasets::Dataset& data, std::uint32_t labels)
      : data_(data), sums_(labels), patients_(labels) {}

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t first,
                   std::size_t count) override {
    ASSIGN_OR_RETURN(const std::vector<float> scores, Numbers(at::sigmoid(output)));
    const std::size_t labels = patients_.size();
    CONSILIUM_CHECK(scores.size() == count * labels && targets.size() == scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (!IsTarget(targets[i])) {
        return absl::InvalidArgumentError(
            StrCat("an example has label ", targets[i], "; 0, 1 and unknown are allowed"));
      }
      const std::uint64_t patient = data_.GetLabel(first + i / labels).patient;
      all_patients_.insert(patient);
      if (std::isnan(targets[i])) continue;
      sums_.labels[i % labels].Add(scores[i], targets[i] == 1);
      patients_[i % labels].insert(patient);
    }
    return absl::OkStatus();
  }

  metrics::TaskSums Finish() override {
    sums_.patients = all_patients_.size();
    for (std::size_t i = 0; i < patients_.size(); ++i) {
      sums_.labels[i].patients = patients_[i].size();
    }
    return std::move(sums_);
  }

 private:
  const datasets::Dataset& data_;
  metrics::MultilabelSums sums_;
  std::unordered_set<std::uint64_t> all_patients_;
  std::vector<std::unordered_set<std::uint64_t>> patients_;  // of whom each label is known
};

class MultilabelTask final : public LearningTask {
 public:
  explicit MultilabelTask(const plan::Plan& plan)
      : plan_(plan), labels_(plan.target.Shape().classes) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    ASSIGN_OR_RETURN(Population population, CountExamples(data, plan_));
    std::vector<std::array<std::uint64_t, 2>> counts(labels_);
    std::vector<float> targets(labels_);
    for (std::size_t i = 0; i < data.size(); ++i) {
      data.GetTarget(i, targets);
      for (std::size_t label = 0; label < labels_; ++label) {
        if (!IsTarget(targets[label])) {
          return absl::InvalidArgumentError(StrCat("a training example has label ", targets[label],
                                                   "; 0, 1 and unknown are allowed"));
        }
        if (!std::isnan(targets[label])) ++counts[label][targets[label] == 1];
      }
    }
    bool known = false, both = false;
    for (const auto& [negatives, positives] : counts) {
      known = known || negatives + positives > 0;
      both = both || (negatives > 0 && positives > 0);
    }
    if (!known) {
      return absl::InvalidArgumentError(
          StrCat("no label is known of any of the ", population.examples,
                 " training examples: check the columns of [target] classes"));
    }
    if (plan_.training.class_weighting && !both) {
      return absl::InvalidArgumentError(StrCat(
          "no label is 1 in some and 0 in others of the ", population.examples,
          " training examples; training needs both classes of one label or more", kOneClassAdvice));
    }
    return population;
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population&) const override {
    const at::Tensor known = at::isnan(targets).logical_not();
    const at::Tensor mask = known.to(at::kFloat);
    const at::Tensor losses = at::binary_cross_entropy_with_logits(
        output, targets.masked_fill(known.logical_not(), 0), mask, {}, at::Reduction::Sum);
    return losses.div(mask.sum().clamp_min(1));
  }

  at::Tensor Predict(const at::Tensor& output) const override { return at::sigmoid(output); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return std::make_unique<MultilabelEvaluation>(data, labels_);
  }

 private:
  const plan::Plan plan_;
  const std::uint32_t labels_;
};

}  // namespace

std::unique_ptr<LearningTask> MakeMultilabelTask(const plan::Plan& plan) {
  return std::make_unique<MultilabelTask>(plan);
}

}  // namespace consilium::learning
