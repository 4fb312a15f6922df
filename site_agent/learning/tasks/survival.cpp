#include <ATen/ops/index_select.h>
#include <ATen/ops/logcumsumexp.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/status.h"
#include "site_agent/learning/tasks/tasks.h"

namespace consilium::learning {
namespace {

bool IsOutcome(float days, float event) {
  return std::isfinite(days) && days > 0 && (event == 0 || event == 1);
}

class SurvivalEvaluation final : public TaskEvaluation {
 public:
  SurvivalEvaluation(std::size_t examples, Answer answer) : answer_(answer) {
    survivors_.reserve(examples);
  }

  absl::Status Add(const at::Tensor& output, std::span<const float> targets, std::size_t,
                   std::size_t count) override {
    ASSIGN_OR_RETURN(const std::vector<float> risks, Numbers(answer_(output)));
    CONSILIUM_CHECK(risks.size() == count && targets.size() == 2 * count);
    for (std::size_t i = 0; i < count; ++i) {
      const float days = targets[2 * i], event = targets[2 * i + 1];
      if (!IsOutcome(days, event)) {
        return absl::InvalidArgumentError(
            "an example has no outcome: a time above 0 days, and an event of 0 or 1 are needed");
      }
      survivors_.push_back({.days = days, .event = event == 1, .risk = risks[i]});
    }
    return absl::OkStatus();
  }

  metrics::TaskSums Finish() override { return metrics::SurvivalSums::Of(survivors_); }

 private:
  const Answer answer_;
  std::vector<metrics::Survivor> survivors_;
};

// A batch in the order of the time, the longest first, and of each event the last place of that
// order that is still at risk at its time: the places up to it are its risk set.
struct RiskSets {
  std::vector<std::int64_t> order;
  std::vector<std::int64_t> events, last_at_risk;  // places in `order`
};

RiskSets RiskSetsOf(const at::Tensor& targets) {
  const at::Tensor table = targets.to(at::kCPU, at::kDouble).contiguous();
  const double* values = table.data_ptr<double>();
  const auto days = [&](std::int64_t i) { return values[2 * i]; };
  RiskSets sets;
  sets.order.resize(static_cast<std::size_t>(table.size(0)));
  std::iota(sets.order.begin(), sets.order.end(), std::int64_t{0});
  std::stable_sort(sets.order.begin(), sets.order.end(),
                   [&](std::int64_t a, std::int64_t b) { return days(a) > days(b); });
  const std::size_t count = sets.order.size();
  for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
    while (end < count && days(sets.order[end]) == days(sets.order[begin])) ++end;
    for (std::size_t place = begin; place < end; ++place) {
      if (values[2 * sets.order[place] + 1] != 1) continue;
      sets.events.push_back(static_cast<std::int64_t>(place));
      sets.last_at_risk.push_back(static_cast<std::int64_t>(end) - 1);
    }
  }
  return sets;
}

at::Tensor Risk(const at::Tensor& output) { return output; }

class SurvivalTask final : public LearningTask {
 public:
  explicit SurvivalTask(const plan::Plan& plan) : plan_(plan) {}

  absl::StatusOr<Population> Survey(const datasets::Dataset& data) const override {
    return SurveySurvivors(data, plan_);
  }

  at::Tensor Loss(const at::Tensor& output, const at::Tensor& targets,
                  const Population&) const override {
    const RiskSets sets = RiskSetsOf(targets);
    if (sets.events.empty()) return output.sum().mul(0);
    const auto select = [](const at::Tensor& from, const std::vector<std::int64_t>& places) {
      const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(places), at::kLong);
      return at::index_select(from, 0, index.to(from.device()));
    };
    const at::Tensor risks = select(output, sets.order);
    const at::Tensor at_risk = at::logcumsumexp(risks, 0);
    return select(at_risk, sets.last_at_risk).sub(select(risks, sets.events)).mean();
  }

  at::Tensor Predict(const at::Tensor& output) const override { return Risk(output); }

  std::unique_ptr<TaskEvaluation> Evaluate(const datasets::Dataset& data) const override {
    return EvaluateSurvivors(data, Risk);
  }

 private:
  const plan::Plan plan_;
};

}  // namespace

absl::StatusOr<Population> SurveySurvivors(const datasets::Dataset& data, const plan::Plan& plan) {
  ASSIGN_OR_RETURN(Population population, CountExamples(data, plan));
  std::uint64_t events = 0;
  float outcome[2];
  for (std::size_t i = 0; i < data.size(); ++i) {
    data.GetTarget(i, outcome);
    if (!IsOutcome(outcome[0], outcome[1])) {
      return absl::InvalidArgumentError(
          StrCat("a training example has no outcome: column \"", plan.target.time,
                 "\" must be a number above 0 days, and \"", plan.target.event, "\" 0 or 1"));
    }
    events += outcome[1] == 1;
  }
  if (events == 0) {
    return absl::InvalidArgumentError(
        StrCat("none of the ", population.examples, " training examples has an event (column \"",
               plan.target.event,
               "\" is 0 in all): nothing says who is at greater risk; check the column, or leave "
               "this site out of the cohort"));
  }
  return population;
}

std::unique_ptr<TaskEvaluation> EvaluateSurvivors(const datasets::Dataset& data, Answer answer) {
  return std::make_unique<SurvivalEvaluation>(data.size(), answer);
}

std::unique_ptr<LearningTask> MakeSurvivalTask(const plan::Plan& plan) {
  return std::make_unique<SurvivalTask>(plan);
}

}  // namespace consilium::learning
