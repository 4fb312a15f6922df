#include "site_agent/learning/trainer.h"

#include <cmath>
#include <limits>
#include <set>

#include "tests/catch.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

NoProgress no_progress;

TrainTask Task(const plan::Plan& plan, std::uint64_t seed = 7, std::uint32_t epochs = 1) {
  return {.plan = plan, .seed = seed, .epochs = epochs};
}

ModelState First(const plan::Plan& plan) {
  absl::StatusOr<ModelState> model = InitialModel(plan);
  REQUIRE(model.ok());
  return *model;
}

TrainResult Trained(const plan::Plan& plan, const datasets::Dataset& data, std::uint64_t seed = 7,
                    std::uint32_t epochs = 1) {
  absl::StatusOr<TrainResult> result =
      Train(First(plan), data, Task(plan, seed, epochs), no_progress);
  INFO(result.status());
  REQUIRE(result.ok());
  return *std::move(result);
}

bool SameValues(const ModelState& a, const ModelState& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin(), b.values().end());
}

double Distance(const ModelState& a, const ModelState& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.values().size(); ++i) {
    squares += std::pow(double{a.values()[i]} - b.values()[i], 2);
  }
  return std::sqrt(squares);
}

double Auroc(const std::vector<float>& scores, const datasets::Dataset& data) {
  std::vector<bool> targets;
  for (std::size_t i = 0; i < data.size(); ++i) targets.push_back(data.GetLabel(i).target == 1);
  return metrics::ExactAuroc({scores.begin(), scores.end()}, targets).value();
}

void RequireRefusal(const absl::Status& status, absl::StatusCode code, std::string_view says) {
  INFO(status);
  CHECK(status.code() == code);
  CHECK(ToStd(status.message()).find(says) != std::string_view::npos);
}

TEST_CASE("Training learns to tell images with a square from those without, with either norm") {
  const SquareDataset train(192, 24, 1), test(128, 24, 2);
  plan::Plan plan = SquarePlan();
  plan.model.norm = GENERATE(plan::Norm::kGroup, plan::Norm::kBatch);
  plan.training.optimizer = GENERATE(plan::Optimizer::kAdamW, plan::Optimizer::kSgd);
  if (plan.training.optimizer == plan::Optimizer::kSgd) plan.training.learning_rate = 0.05;
  plan.training.augmentation = plan::Augmentation::kRadiograph;

  const TrainResult result = Trained(plan, train, 7, 6);
  CHECK(result.last_epoch_loss < result.first_epoch_loss);
  CHECK(result.examples == 192);
  CHECK(result.patients == 96);
  const std::vector<float> scores = Predict(result.trained, plan, test, no_progress).value();
  CHECK(Auroc(scores, test) > 0.95);
}

TEST_CASE("The same seed gives the same weights to the bit, and another seed others") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.model.norm = GENERATE(plan::Norm::kGroup, plan::Norm::kBatch);
  plan.training.augmentation = plan::Augmentation::kRadiograph;
  const ModelState one = Trained(plan, data, 7, 2).trained;
  CHECK(SameValues(one, Trained(plan, data, 7, 2).trained));
  CHECK_FALSE(SameValues(one, Trained(plan, data, 8, 2).trained));
}

TEST_CASE("The first model follows the plan's seed alone, and spreads as He et al. ask") {
  plan::Plan plan = SquarePlan();
  plan.model.architecture = plan::Architecture::kResNet18;
  const ModelState one = First(plan);
  CHECK(SameValues(one, First(plan)));
  plan.seed = 2;
  CHECK_FALSE(SameValues(one, First(plan)));

  std::size_t offset = 0;
  for (const TensorSpec& tensor : one.layout()) {
    if (tensor.name == "layer1.0.conv1.weight") break;
    offset += tensor.Elements();
  }
  const std::size_t count = 64 * 64 * 9;
  double squares = 0;
  for (const float value : one.values().subspan(offset, count)) squares += double{value} * value;
  CHECK(std::sqrt(squares / count) == Approx(std::sqrt(2.0 / (64 * 9))).epsilon(0.02));
}

TEST_CASE("ResNet-18 has torchvision's tensors in torchvision's order") {
  plan::Plan plan = SquarePlan();
  plan.model = {.architecture = plan::Architecture::kResNet18, .norm = plan::Norm::kBatch};
  const ModelState model = First(plan);
  CHECK(model.layout().size() == 122);
  // 11,689,512 in torchvision's own, less 2 x 64 x 49 for the colours and 999 x 513 for the
  // classes; then 20 norms' statistics: 2 x 4,800 and 20 counters.
  CHECK(model.values().size() == 11689512 - 2 * 64 * 49 - 999 * 513 + 2 * 4800 + 20);
  const std::vector<std::string> beginning = {
      "conv1.weight",         "bn1.weight",      "bn1.bias",
      "bn1.running_mean",     "bn1.running_var", "bn1.num_batches_tracked",
      "layer1.0.conv1.weight"};
  for (std::size_t i = 0; i < beginning.size(); ++i) CHECK(model.layout()[i].name == beginning[i]);
  CHECK(model.layout()[5].shape.empty());
  CHECK(model.layout().back().name == "fc.bias");
}

TEST_CASE("FedProx keeps the weights nearer to the base") {
  const SquareDataset data(64, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.optimizer = GENERATE(plan::Optimizer::kSgd, plan::Optimizer::kAdamW);
  plan.training.momentum = 0;
  plan.training.learning_rate = plan.training.optimizer == plan::Optimizer::kSgd ? 0.05 : 3e-3;
  plan.aggregation.proximal_mu = 10;
  const ModelState base = First(plan);
  const double free = Distance(base, Trained(plan, data, 7, 3).trained);
  plan.aggregation.method = plan::AggregationMethod::kFedProx;
  const double pulled = Distance(base, Trained(plan, data, 7, 3).trained);
  CHECK(pulled < 0.8 * free);
}

TEST_CASE("Two trainings with the optimizer kept between them are one of twice the epochs") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.optimizer = GENERATE(plan::Optimizer::kSgd, plan::Optimizer::kAdamW);
  plan.training.batch_size = 48;  // so that the order changes nothing but the last bits
  plan.training.augmentation = plan::Augmentation::kNone;
  plan.training.learning_rate = plan.training.optimizer == plan::Optimizer::kSgd ? 0.05 : 3e-3;
  CHECK_FALSE(Trained(plan, data).moments);
  plan.training.keep_optimizer = true;
  const ModelState whole = Trained(plan, data, 7, 6).trained;

  const TrainResult half = Trained(plan, data, 7, 3);
  REQUIRE(half.moments);
  CHECK(half.moments->steps == 3);
  CHECK(half.moments->second.empty() == (plan.training.optimizer == plan::Optimizer::kSgd));
  TrainTask task = Task(plan, 8, 3);
  const auto anew = Train(half.trained, data, task, no_progress);
  task.moments = half.moments;
  const auto kept = Train(half.trained, data, task, no_progress);
  REQUIRE(anew.ok());
  REQUIRE(kept.ok());
  CHECK(kept->moments->steps == 6);
  CHECK(Distance(whole, kept->trained) < 0.05 * Distance(whole, anew->trained));
}

TEST_CASE("Moments of another network or optimizer are refused") {
  const SquareDataset data(48, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.keep_optimizer = true;
  TrainTask task = Task(plan);
  task.moments = Trained(plan, data).moments;
  SECTION("of another network") {
    task.moments->first.pop_back();
    task.moments->second.pop_back();
  }
  SECTION("of another optimizer") { task.moments->second.clear(); }
  RequireRefusal(Train(First(plan), data, task, no_progress).status(),
                 absl::StatusCode::kInvalidArgument, "the plan's network trains");
}

TEST_CASE("Without class weighting a rare class moves the first loss less") {
  SquareDataset data(40, 24, 1);
  for (std::size_t i = 0; i < 32; ++i) data.SetTarget(i, 0);
  plan::Plan plan = SquarePlan();
  plan.training.learning_rate = 0;
  plan.training.weight_decay = 0;
  // Scores near one half cost log 2 an example whatever the weights, as their mean is one.
  const double weighted = Trained(plan, data).first_epoch_loss;
  plan.training.class_weighting = false;
  const double plain = Trained(plan, data).first_epoch_loss;

  const std::vector<float> scores = Predict(First(plan), plan, data, no_progress).value();
  double expected_plain = 0, sum[2] = {}, count[2] = {};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const int target = data.GetLabel(i).target;
    const double loss = -std::log(target == 1 ? scores[i] : 1 - scores[i]);
    expected_plain += loss / static_cast<double>(scores.size());
    sum[target] += loss;
    count[target] += 1;
  }
  CHECK(plain == Approx(expected_plain).epsilon(1e-4));
  CHECK(weighted == Approx((sum[0] / count[0] + sum[1] / count[1]) / 2).epsilon(1e-4));
}

TEST_CASE("Evaluate adds up what Predict scores") {
  const SquareDataset data(37, 24, 1);
  const plan::Plan plan = SquarePlan();
  const ModelState model = First(plan);
  const std::vector<float> scores = Predict(model, plan, data, no_progress).value();
  REQUIRE(scores.size() == 37);
  metrics::BinarySums sums;
  for (std::size_t i = 0; i < scores.size(); ++i) sums.Add(scores[i], data.GetLabel(i).target == 1);
  sums.patients = 19;
  CHECK(Evaluate(model, plan, data, no_progress).value() == sums);
}

TEST_CASE("Evaluation does not move the statistics of batch norm, and training does") {
  const SquareDataset data(32, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.model.norm = plan::Norm::kBatch;
  const ModelState trained = Trained(plan, data).trained;
  const auto once = Predict(trained, plan, data, no_progress).value();
  CHECK(once == Predict(trained, plan, data, no_progress).value());
  // conv1.weight (144), norm1.weight and bias (32), then the running mean (16) and variance (16),
  // and the counter.
  CHECK(trained.layout()[5].name == "norm1.num_batches_tracked");
  CHECK(trained.values()[144 + 32 + 32] == 2);
  CHECK(trained.values()[144 + 32] != 0);
}

TEST_CASE("Group norm trains on batches of one example, and batch norm says that it cannot") {
  const SquareDataset data(4, 24, 1);
  plan::Plan plan = SquarePlan();
  plan.training.batch_size = 1;
  CHECK(std::isfinite(Trained(plan, data).last_epoch_loss));
  plan.model.norm = plan::Norm::kBatch;
  RequireRefusal(Train(First(plan), data, Task(plan), no_progress).status(),
                 absl::StatusCode::kInvalidArgument, "batch_size");
}

TEST_CASE("A last batch of one example joins the one before it, so that batch norm can train") {
  const SquareDataset data(17, 16, 1);  // the last feature map is 2 x 2 here
  plan::Plan plan = SquarePlan(16);
  plan.model.norm = plan::Norm::kBatch;
  const ModelState trained = Trained(plan, data).trained;
  CHECK(trained.values()[144 + 32 + 32] == 1);  // num_batches_tracked: one batch of 17
}

TEST_CASE("Data that nothing can be learned from is refused") {
  const plan::Plan plan = SquarePlan();
  const ModelState base = First(plan);
  const auto code = absl::StatusCode::kInvalidArgument;
  SECTION("no examples") {
    const SquareDataset none(0, 24, 1);
    RequireRefusal(Train(base, none, Task(plan), no_progress).status(), code,
                   "no training examples");
    CHECK(Predict(base, plan, none, no_progress).value().empty());
  }
  SECTION("one class only") {
    SquareDataset negatives(6, 24, 1);
    for (std::size_t i = 0; i < 6; ++i) negatives.SetTarget(i, 0);
    RequireRefusal(Train(base, negatives, Task(plan), no_progress).status(), code, "both classes");
  }
  SECTION("a target that is neither 0 nor 1") {
    SquareDataset odd(6, 24, 1);
    odd.SetTarget(3, 2);
    RequireRefusal(Train(base, odd, Task(plan), no_progress).status(), code, "target 2");
    RequireRefusal(Evaluate(base, plan, odd, no_progress).status(), code, "target 2");
  }
  SECTION("images of another size than the plan's") {
    const SquareDataset large(6, 32, 1);
    RequireRefusal(Train(base, large, Task(plan), no_progress).status(), code, "32 pixels");
    RequireRefusal(Predict(base, plan, large, no_progress).status(), code, "32 pixels");
  }
}

TEST_CASE("A model of another network is refused with the tensor's name") {
  const SquareDataset data(8, 24, 1);
  plan::Plan plan = SquarePlan();
  const ModelState group = First(plan);
  plan.model.norm = plan::Norm::kBatch;
  for (const absl::Status& status : {Train(group, data, Task(plan), no_progress).status(),
                                     Predict(group, plan, data, no_progress).status()}) {
    RequireRefusal(status, absl::StatusCode::kInvalidArgument, "small_cnn with batch norm");
    RequireRefusal(status, absl::StatusCode::kInvalidArgument, "norm1.running_mean");
  }
}

TEST_CASE("Training that diverges ends with an error that says what to change") {
  SquareDataset data(32, 24, 1);
  plan::Plan plan = SquarePlan();
  SECTION("pixels that are not numbers") {
    data.FillImages(std::numeric_limits<float>::quiet_NaN());
  }
  SECTION("a learning rate far too high") {
    plan.training.optimizer = plan::Optimizer::kSgd;
    plan.training.learning_rate = 1e30;
  }
  RequireRefusal(Train(First(plan), data, Task(plan, 7, 3), no_progress).status(),
                 absl::StatusCode::kInternal, "learning_rate");
}

class CancelAfter final : public Progress {
 public:
  explicit CancelAfter(int reports) : left_(reports) {}
  void Report(std::string_view step, std::uint64_t done, std::uint64_t total,
              std::string_view) override {
    --left_;
    steps.insert(std::string(step));
    CHECK(done <= total);
  }
  bool Cancelled() const override { return left_ <= 0; }
  int left() const { return left_; }
  std::set<std::string> steps;

 private:
  int left_;
};

TEST_CASE("Training and evaluation report each step and stop at the next when cancelled") {
  const SquareDataset data(160, 24, 1);
  const plan::Plan plan = SquarePlan();
  CancelAfter thirteen(13), at_once(0);
  CHECK(Train(First(plan), data, Task(plan, 7, 2), thirteen).status().code() ==
        absl::StatusCode::kCancelled);
  CHECK(thirteen.left() == 0);
  CHECK(thirteen.steps == std::set<std::string>{"epoch 1 of 2", "epoch 2 of 2"});
  CHECK(Predict(First(plan), plan, data, at_once).status().code() == absl::StatusCode::kCancelled);
}

TEST_CASE("An update is the difference from the base, weighted by the plan's rule") {
  const SquareDataset data(16, 24, 1);
  const plan::Plan plan = SquarePlan();
  const ModelState base = First(plan);
  const TrainResult result = Trained(plan, data);
  ModelId id;
  id.bytes[0] = 9;
  const ModelUpdate update = MakeUpdate(id, base, result, plan::WeightRule::kExamples).value();
  CHECK(update.base == id);
  CHECK(update.weight == 16);
  CHECK(update.delta.size() == base.values().size());
  CHECK(update.delta[5] == result.trained.values()[5] - base.values()[5]);
  CHECK(MakeUpdate(id, base, result, plan::WeightRule::kPatients).value().weight == 8);
  CHECK(MakeUpdate(id, base, result, plan::WeightRule::kEqual).value().weight == 1);

  plan::Plan other = plan;
  other.model.norm = plan::Norm::kBatch;
  CHECK_FALSE(MakeUpdate(id, First(other), result, plan::WeightRule::kEqual).ok());
}

}  // namespace
}  // namespace consilium::learning
