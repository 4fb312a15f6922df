// Classes that are grades, from the least to the most. The network gives one output a threshold
// between neighbouring grades; the logit of "above grade k" is the first output less the softplus
// of each of the outputs 1 to k, so that no grade is ever less likely to be reached than a higher
// one: what CORAL (Cao et al. 2020) gets by sharing the weights of all thresholds, with distances
// between them that may follow the image. The loss is theirs, the sum of the thresholds'
// cross-entropies.

#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

// N x (grades - 1), descending.
at::Tensor LogitsAbove(const at::Tensor& output) {
  const at::Tensor steps = at::softplus(output.narrow(1, 1, output.size(1) - 1));
  const at::Tensor first = output.narrow(1, 0, 1);
  return at::cat({first, first - steps.cumsum(1)}, 1);
}

at::Tensor Probabilities(const at::Tensor& output) {
  const at::Tensor above = at::sigmoid(LogitsAbove(output));
  const at::Tensor none = at::zeros_like(above.narrow(1, 0, 1));
  // Rounding alone could make one negative.
  return (at::cat({none + 1, above}, 1) - at::cat({above, none}, 1)).clamp_min(0);
}

class OrdinalTask final : public LearningTask {
 public:
  explicit OrdinalTask(const plan::Plan& plan) : plan_(plan) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    return SurveyClasses(data, plan_);
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population& population) const override {
    const at::Tensor logits = LogitsAbove(output);
    std::vector<at::Tensor> above;
    for (std::int64_t grade = 0; grade < logits.size(1); ++grade) {
      above.push_back(targets.squeeze(1).gt(grade).to(logits.scalar_type()));
    }
    const at::Tensor loss = at::binary_cross_entropy_with_logits(
        logits, at::stack(above, 1), /*weight=*/{}, /*pos_weight=*/{}, at::Reduction::None);
    return loss.sum(1).mul(WeightsOf(targets.squeeze(1), population)).mean();
  }

  at::Tensor Predict(const at::Tensor& output) const override { return Probabilities(output); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return EvaluateClasses(data, plan_.target.Shape().classes, Probabilities);
  }

 private:
  const plan::Plan plan_;
};

}  // namespace

std::unique_ptr<LearningTask> MakeOrdinalTask(const plan::Plan& plan) {
  return std::make_unique<OrdinalTask>(plan);
}

}  // namespace consilium::learning
