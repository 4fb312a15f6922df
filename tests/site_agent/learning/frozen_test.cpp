// Frozen tensors and adapters in training.

#include <algorithm>

#include "common/model/adapters.h"
#include "common/model/travelling.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

NoProgress no_progress;

// Which tensors differ.
std::vector<std::string> Moved(const ModelState& a, const ModelState& b) {
  std::vector<std::string> moved;
  std::size_t offset = 0;
  for (const TensorSpec& tensor : a.layout()) {
    const auto before = a.values().subspan(offset, tensor.Elements());
    if (!std::ranges::equal(before, b.values().subspan(offset, tensor.Elements()))) {
      moved.push_back(tensor.name);
    }
    offset += tensor.Elements();
  }
  return moved;
}

plan::Plan BatchNormPlan() {
  plan::Plan plan = SquarePlan();
  plan.model.norm = plan::Norm::kBatch;
  plan.training.batch_size = 16;
  return plan;
}

absl::StatusOr<ModelState> Trained(const ModelState& base, const plan::Plan& plan,
                                   const datasets::Dataset& data, std::uint32_t epochs = 1) {
  auto result = Train(base, data, {.plan = plan, .seed = 7, .epochs = epochs}, no_progress);
  if (!result.ok()) return result.status();
  return std::move(result->trained);
}

}  // namespace

TEST_CASE("Training moves nothing of what is frozen, nor its norms' statistics") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = BatchNormPlan();
  const ModelState base = *InitialModel(plan);
  plan.model.frozen = {"conv1.", "norm1.", "conv2.", "norm2."};
  const auto trained = Trained(base, plan, data);
  INFO(trained.status());
  REQUIRE(trained.ok());
  const auto travelling = Travelling::Of(base.layout(), plan.model.frozen);
  for (const std::string& name : Moved(base, *trained)) {
    CHECK(std::any_of(travelling->layout().begin(), travelling->layout().end(),
                      [&](const TensorSpec& tensor) { return tensor.name == name; }));
  }
  const auto moved = Moved(base, *trained);
  for (const char* name : {"conv3.weight", "norm3.running_mean", "norm4.weight", "fc.bias"}) {
    INFO(name);
    CHECK(std::find(moved.begin(), moved.end(), name) != moved.end());
  }
}

TEST_CASE("A network that is frozen but for its head learns what a model on its features would") {
  const SquareDataset data(64, 24, 1);
  plan::Plan plan = BatchNormPlan();
  // Statistics that are not the start's: what is frozen must take these in training, too.
  const ModelState base = *Trained(*InitialModel(plan), plan, data);
  plan.model.frozen = {"conv", "norm"};
  plan.training.optimizer = plan::Optimizer::kSgd;
  plan.training.momentum = 0;
  plan.training.weight_decay = 0;
  plan.training.class_weighting = false;
  plan.training.batch_size = 64;
  plan.training.learning_rate = 1e-3;
  const ModelState after = *Trained(base, plan, data);
  // The bias's gradient of the mean loss is the mean of prediction minus target, as evaluated.
  const std::vector<float> scores = *Predict(base, plan, data, no_progress);
  double gradient = 0;
  for (std::size_t i = 0; i < data.size(); ++i) gradient += scores[i] - data.GetLabel(i).target;
  gradient /= static_cast<double>(data.size());
  const double moved = double{after.values().back()} - double{base.values().back()};
  CHECK(moved == Approx(-1e-3 * gradient).epsilon(1e-2).margin(1e-7));
}

TEST_CASE("Adapters change nothing until they are trained, then only they, norms and head move") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = BatchNormPlan();
  const ModelState plain = *InitialModel(plan);
  const std::vector<float> before = *Predict(plain, plan, data, no_progress);
  plan.model.adapter_rank = 2;
  const ModelState with = *WithAdapters(plain, 2, plan.seed);
  CHECK(std::ranges::equal(InitialModel(plan)->values(), with.values()));
  const std::vector<float> same = *Predict(with, plan, data, no_progress);
  CHECK(same == before);

  const auto trained = Trained(with, plan, data, 2);
  INFO(trained.status());
  REQUIRE(trained.ok());
  const auto moved = Moved(with, *trained);
  const auto has = [&](std::string_view name) {
    return std::find(moved.begin(), moved.end(), name) != moved.end();
  };
  for (int i = 1; i <= 4; ++i) {
    CHECK_FALSE(has(StrCat("conv", i, ".weight")));
    CHECK(has(StrCat("conv", i, ".lora_A")));
    CHECK(has(StrCat("conv", i, ".lora_B")));
    CHECK(has(StrCat("norm", i, ".running_var")));
  }
  CHECK(has("fc.weight"));
}

TEST_CASE("A model merged with its adapters says what it said, to 1e-5") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.batch_size = 16;
  const ModelState with = *WithAdapters(*InitialModel(plan), 4, plan.seed);
  plan.model.adapter_rank = 4;
  const ModelState trained = *Trained(with, plan, data, 3);
  const std::vector<float> adapted = *Predict(trained, plan, data, no_progress);
  const ModelState merged = *MergeAdapters(trained);
  plan.model.adapter_rank = 0;
  const std::vector<float> plain = *Predict(merged, plan, data, no_progress);
  CHECK(merged.layout() == InitialModel(plan)->layout());
  REQUIRE(plain.size() == adapted.size());
  double worst = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    worst = std::max(worst, std::abs(double{plain[i]} - double{adapted[i]}));
  }
  CHECK(worst < 1e-5);
  CHECK_FALSE(std::ranges::equal(merged.values(), InitialModel(plan)->values()));
}

TEST_CASE("Adapters learn to tell images with a square from those without") {
  const SquareDataset train(96, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.model.adapter_rank = 4;
  const auto result =
      Train(*InitialModel(plan), train, {.plan = plan, .seed = 7, .epochs = 12}, no_progress);
  INFO(result.status());
  REQUIRE(result.ok());
  CHECK(result->last_epoch_loss < 0.8 * result->first_epoch_loss);
}

TEST_CASE("A pull holds training near another model than the one it begins from") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.optimizer = plan::Optimizer::kSgd;
  plan.training.momentum = 0;
  plan.training.learning_rate = 0.01;
  const ModelState own = *InitialModel(plan);
  plan.seed = 2;
  const ModelState global = *InitialModel(plan);
  const auto distance = [&](const ModelState& a) {
    double squares = 0;
    for (std::size_t i = 0; i < a.values().size(); ++i) {
      const double d = double{a.values()[i]} - double{global.values()[i]};
      squares += d * d;
    }
    return std::sqrt(squares);
  };
  plan.aggregation.method = plan::AggregationMethod::kFedProx;
  plan.aggregation.proximal_mu = 20;
  TrainTask task{.plan = plan, .seed = 7, .epochs = 4};
  task.pulled_to = global;
  const auto result = Train(own, data, task, no_progress);
  INFO(result.status());
  REQUIRE(result.ok());
  CHECK(distance(result->trained) < 0.5 * distance(own));
}

}  // namespace consilium::learning
