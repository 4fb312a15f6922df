#include "site_agent/learning/device.h"

#include <cmath>

#include "site_agent/learning/predictor.h"
#include "site_agent/learning/step_benchmark.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/network_plans.h"
#include "tests/site_agent/learning/second_device.h"

namespace consilium::learning {
namespace {

NoProgress no_progress;

struct Learned {
  double loss = 0;
  std::vector<float> update, predictions;
};

Learned LearnOn(c10::Device device, const plan::Plan& plan, std::uint32_t epochs) {
  SetStepDevice(device);
  const auto data = NoiseData(plan, 8);
  const absl::StatusOr<ModelState> base = InitialModel(plan);
  REQUIRE(base.ok());
  absl::StatusOr<TrainResult> result =
      Train(*base, *data, {.plan = plan, .seed = 3, .epochs = epochs}, no_progress);
  INFO(plan.name << ": " << result.status());
  REQUIRE(result.ok());
  const auto predictions = Predict(result->trained, plan, *data, no_progress);
  INFO(predictions.status());
  REQUIRE(predictions.ok());
  const absl::Status evaluated = Evaluate(result->trained, plan, *data, no_progress).status();
  INFO(evaluated);
  REQUIRE(evaluated.ok());
  SetStepDevice(c10::kCPU);
  const auto update = MakeUpdate({}, *base, *result, plan::WeightRule::kExamples);
  REQUIRE(update.ok());
  return {result->last_epoch_loss, update->delta, *predictions};
}

double Norm(std::span<const float> values) {
  double squares = 0;
  for (const float value : values) squares += double{value} * value;
  return std::sqrt(squares);
}

// The length of the difference by that of `a`.
double Apart(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  std::vector<float> difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return Norm(difference) / Norm(a);
}

// To rounding: the processor's norms and optimizers are kernels of our own.
void CheckSame(const plan::Plan& plan, std::uint32_t epochs) {
  INFO(plan.name);
  const Learned here = LearnOn(c10::kCPU, plan, epochs);
  const Learned there = LearnOn(kSecondDevice, plan, epochs);
  CHECK(there.loss == Approx(here.loss).epsilon(1e-3));
  CHECK(Apart(here.update, there.update) < 1e-2);
  CHECK(Apart(here.predictions, there.predictions) < 1e-2);
}

TEST_CASE("The processor is where steps run when LibTorch finds no other device") {
  CHECK(StepDevice() == c10::kCPU);
}

TEST_CASE("Every network learns and answers on another device as on the processor") {
  for (plan::Plan plan : NetworkPlans()) {
    plan.training.batch_size = 8;  // one step: a deep network soon makes much of rounding
    plan.training.optimizer = plan::Optimizer::kSgd;
    plan.training.learning_rate = 1e-3;
    CheckSame(plan, 1);
  }
}

TEST_CASE("What else a step may be made of is the same on another device") {
  plan::Plan plan = ImagePlan(plan::Architecture::kSmallCnn, plan::Norm::kGroup);
  plan.training.batch_size = 4;
  SECTION("AdamW with FedProx's pull") {
    plan.training.optimizer = plan::Optimizer::kAdamW;
    plan.aggregation.method = plan::AggregationMethod::kFedProx;
    plan.aggregation.proximal_mu = 0.1;
  }
  SECTION("SGD with momentum, decay and FedProx's pull") {
    plan.training.optimizer = plan::Optimizer::kSgd;
    plan.training.momentum = 0.9;
    plan.training.weight_decay = 0.01;
    plan.aggregation.method = plan::AggregationMethod::kFedProx;
    plan.aggregation.proximal_mu = 0.1;
  }
  SECTION("an optimizer that is kept") { plan.training.keep_optimizer = true; }
  SECTION("batches in parts") { plan.training.accumulation = 2; }
  SECTION("weights by class") { plan.training.class_weighting = true; }
  SECTION("frozen layers and adapters") {
    plan.model.frozen = {"conv1"};
    plan.model.adapter_rank = 2;
  }
  SECTION("dropout") {
    plan = TablePlan(plan::Architecture::kMlp);
    plan.model.dropout = 0.5;
  }
  SECTION("volumes in cubes, levels computed twice") {
    plan = ImagePlan(plan::Architecture::kUnet3d, plan::Norm::kGroup);
    plan.training.batch_size = 2;
    plan.training.block = 16;
    plan.training.checkpointing = true;
    plan.training.optimizer = plan::Optimizer::kSgd;
  }
  for (const bool hazards : {false, true}) {
    DYNAMIC_SECTION("survival, " << (hazards ? "in intervals" : "by Cox")) {
      plan = TablePlan(plan::Architecture::kLogistic);
      plan.target.task = Task::kSurvival;
      if (hazards) plan.target.intervals = {1, 2, 3};
    }
  }
  CheckSame(plan, 2);
}

}  // namespace
}  // namespace consilium::learning
