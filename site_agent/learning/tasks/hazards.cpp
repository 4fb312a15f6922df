// Survival in discrete time (Gensheimer and Narasimhan 2019): the network gives one output an
// interval, the logit of the chance to have the event in it for who comes to its beginning. Nothing
// is assumed of how hazards change with time, and the loss of each patient is his own: no risk
// sets.
//
// For the sums of an evaluation each patient has one risk: the logarithm of the cumulative hazard
// at the end of the last interval, log(-log S(end)). With hazards that are proportional it is Cox's
// log relative hazard but for a constant, which the sums' own baseline takes up.

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

at::Tensor LogCumulativeHazard(const at::Tensor& output) {
  // -log(1 - sigmoid(x)) = softplus(x); the floor is far below RiskBin's.
  return at::softplus(output).sum(1).clamp_min(1e-12).log();
}

// Of each interval of each patient whether the event happened in it, and whether he counts there.
struct Observed {
  at::Tensor event, at_risk;  // N x intervals
};

Observed ObservedIn(const std::vector<double>& ends, const at::Tensor& targets) {
  const at::Tensor table = targets.to(at::kCPU, at::kDouble).contiguous();
  const double* values = table.data_ptr<double>();
  std::vector<float> event, at_risk;
  for (std::int64_t patient = 0; patient < table.size(0); ++patient) {
    const double days = values[2 * patient];
    const bool died = values[2 * patient + 1] == 1;
    double begin = 0;
    for (const double end : ends) {
      const bool here = died && days > begin && days <= end;
      // Who is lost counts for an interval of which he lived half (as in their paper).
      const bool survived = days > end || (!died && days >= (begin + end) / 2);
      event.push_back(here ? 1 : 0);
      at_risk.push_back(here || survived ? 1 : 0);
      begin = end;
    }
  }
  const auto shaped = [&](const std::vector<float>& numbers) {
    return at::tensor(at::ArrayRef<float>(numbers))
        .view({-1, static_cast<std::int64_t>(ends.size())})
        .to(targets.device());
  };
  return {shaped(event), shaped(at_risk)};
}

class HazardsTask final : public LearningTask {
 public:
  explicit HazardsTask(const plan::Plan& plan) : plan_(plan) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    ASSIGN_OR_RETURN(Population population, SurveySurvivors(data, plan_));
    float outcome[2];
    for (std::size_t i = 0; i < data.size(); ++i) {
      data.GetTarget(i, outcome);
      if (outcome[1] == 1 && outcome[0] <= plan_.target.intervals.back()) return population;
    }
    return absl::InvalidArgumentError(StrCat("none of the ", population.examples,
                                             " training examples has an event within the ",
                                             plan_.target.intervals.back(),
                                             " days of target.intervals: let them reach further, "
                                             "or leave this site out of the cohort"));
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population&) const override {
    const Observed observed = ObservedIn(plan_.target.intervals, targets);
    return at::binary_cross_entropy_with_logits(output, observed.event, observed.at_risk,
                                                /*pos_weight=*/{}, at::Reduction::None)
        .sum(1)
        .mean();
  }

  at::Tensor Predict(const at::Tensor& output) const override {
    return LogCumulativeHazard(output);
  }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return EvaluateSurvivors(data, LogCumulativeHazard);
  }

 private:
  const plan::Plan plan_;
};

}  // namespace

std::unique_ptr<LearningTask> MakeHazardsTask(const plan::Plan& plan) {
  return std::make_unique<HazardsTask>(plan);
}

}  // namespace consilium::learning
