// Losses and evaluations of the tasks, on the network's outputs themselves.

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numeric>

#include "site_agent/learning/batch_loader.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/optimizer.h"
#include "site_agent/learning/tasks/task.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

at::Tensor Matrix(const std::vector<float>& values, std::int64_t columns) {
  return at::tensor(at::ArrayRef<float>(values)).view({-1, columns});
}

at::Tensor Vector(const std::vector<float>& values) {
  return at::tensor(at::ArrayRef<float>(values));
}

TEST_CASE("a binary classifier trains to the bit as cross-entropy with an example's weight does") {
  SquareDataset data(20, 16, 1);
  for (std::size_t i = 0; i < 8; ++i) data.SetTarget(i, 0);
  plan::Plan plan = SquarePlan(16);
  plan.training.batch_size = 8;
  plan.training.class_weighting = GENERATE(true, false);
  const ModelState base = InitialModel(plan).value();
  NoProgress quiet;
  const TrainResult result =
      Train(base, data, {.plan = plan, .seed = 3, .epochs = 1}, quiet).value();

  std::vector<std::size_t> order(20);
  std::iota(order.begin(), order.end(), std::size_t{0});
  SeededRandom random(3, "order/0");
  for (std::size_t i = 20; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  const auto network = Network::Make(plan);
  REQUIRE(network->Load(base).ok());
  Optimizer optimizer(*network, plan.training, 0);
  BatchLoader batches(data, order, {.batch_size = 8});
  for (std::size_t i = 0; i < batches.batches(); ++i) {
    const Batch batch = batches.Next();
    std::vector<float> weights;
    for (const float target : batch.targets) {
      const float weight = target == 1 ? 20.0f / (2 * 6) : 20.0f / (2 * 14);
      weights.push_back(plan.training.class_weighting ? weight : 1);
    }
    at::binary_cross_entropy_with_logits(network->Forward(TensorOf(batch), true),
                                         Vector(batch.targets), Vector(weights))
        .backward();
    optimizer.Step();
  }
  const ModelState expected = network->Save().value();
  CHECK(std::ranges::equal(result.trained.values(), expected.values()));
}

// Patients by time: D (1, event), B and C (3, both events), E (4, lost), A (6, lost).
const std::vector<float> kRisks = {0.2f, -0.5f, 1.0f, 0.3f, 0.0f};
const std::vector<float> kOutcomes = {6, 0, 3, 1, 3, 1, 1, 1, 4, 0};  // A, B, C, D, E

TEST_CASE("Cox's partial likelihood of five patients with a tie is as by hand") {
  const auto task = LearningTask::Make(TablePlan(Task::kSurvival));
  const double four = std::log(std::exp(0.2) + std::exp(-0.5) + std::exp(1.0) + 1);  // A, B, C, E
  const double five = std::log(std::exp(four) + std::exp(0.3));
  const double expected = ((five - 0.3) + (four + 0.5) + (four - 1.0)) / 3;
  CHECK(expected == Approx(1.519061).epsilon(1e-6));
  CHECK(task->Loss(Vector(kRisks), Matrix(kOutcomes, 2), {}).item<float>() == Approx(expected));
}

TEST_CASE("the gradient of Cox's loss is that of finite differences") {
  const auto task = LearningTask::Make(TablePlan(Task::kSurvival));
  const at::Tensor outcomes = Matrix(kOutcomes, 2);
  at::Tensor risks = Vector(kRisks).to(at::kDouble).requires_grad_();
  task->Loss(risks, outcomes, {}).backward();
  constexpr double kStep = 1e-5;
  for (std::int64_t i = 0; i < 5; ++i) {
    at::Tensor up = risks.detach().clone(), down = risks.detach().clone();
    up[i].add_(kStep);
    down[i].sub_(kStep);
    const double difference = (task->Loss(up, outcomes, {}).item<double>() -
                               task->Loss(down, outcomes, {}).item<double>()) /
                              (2 * kStep);
    CHECK(risks.grad()[i].item<double>() == Approx(difference).margin(1e-8));
  }
}

TEST_CASE("a batch without an event costs nothing and moves nothing") {
  const auto task = LearningTask::Make(TablePlan(Task::kSurvival));
  at::Tensor risks = Vector({1, 2}).requires_grad_();
  const at::Tensor loss = task->Loss(risks, Matrix({5, 0, 7, 0}, 2), {});
  loss.backward();
  CHECK(loss.item<float>() == 0);
  CHECK(risks.grad().abs().sum().item<float>() == 0);
}

TEST_CASE("the loss of an outline is cross-entropy and one minus soft Dice") {
  const auto task = LearningTask::Make(OutlinePlan());
  const at::Tensor two_of_four = Matrix({1, 1, 0, 0}, 4), nothing = Matrix({0, 0, 0, 0}, 4);
  const at::Tensor undecided = at::zeros({1, 2, 2, 2});
  // Every pixel one half: overlap 1, both sizes 2, a pixel added above and below: 3 / 5.
  CHECK(task->Loss(undecided, two_of_four, {}).item<float>() == Approx(std::log(2.0) + 1 - 0.6));
  // Nothing to find: 1 / (2 + 1).
  CHECK(task->Loss(undecided, nothing, {}).item<float>() == Approx(std::log(2.0) + 1 - 1 / 3.0));
  const at::Tensor right = Vector({-20, -20, 20, 20, 20, 20, -20, -20}).view({1, 2, 2, 2});
  CHECK(task->Loss(right, two_of_four, {}).item<float>() == Approx(0).margin(1e-6));
  const at::Tensor none = Vector({20, 20, 20, 20, -20, -20, -20, -20}).view({1, 2, 2, 2});
  CHECK(task->Loss(none, nothing, {}).item<float>() == Approx(0).margin(1e-6));
  CHECK(task->Loss(none, two_of_four, {}).item<float>() == Approx(20 + 1 - 1 / 3.0));
}

TEST_CASE("labels that are not known are no part of the loss and move nothing") {
  const auto task = LearningTask::Make(TablePlan(Task::kMultilabel));
  at::Tensor logits = Matrix({0, 2, 0, -1}, 2).requires_grad_();
  const at::Tensor loss = task->Loss(logits, Matrix({1, kUnknown, 0, 0}, 2), {});
  loss.backward();
  CHECK(loss.item<float>() == Approx((2 * std::log(2.0) + std::log1p(std::exp(-1.0))) / 3));
  CHECK(logits.grad()[0][1].item<float>() == 0);
  CHECK(logits.grad()[1][1].item<float>() > 0);
  const at::Tensor nothing = Matrix({kUnknown, kUnknown, kUnknown, kUnknown}, 2);
  CHECK(task->Loss(logits.detach(), nothing, {}).item<float>() == 0);
}

TEST_CASE("a class's weight counts in the loss, by the number of examples") {
  const auto task = LearningTask::Make(TablePlan(Task::kMulticlass));
  const Population population{.class_weights = {0.5f, 2, 0}};
  const double loss = task->Loss(at::zeros({2, 3}), Matrix({0, 1}, 1), population).item<float>();
  CHECK(loss == Approx((0.5 + 2) * std::log(3.0) / 2));
}

double Headline(const LearningTask& task, const MadeDataset& data, const at::Tensor& output) {
  std::vector<float> targets(data.size() * data.target_elements());
  for (std::size_t i = 0; i < data.size(); ++i) {
    data.GetTarget(i,
                   std::span(targets).subspan(i * data.target_elements(), data.target_elements()));
  }
  const auto evaluation = task.Evaluate(data);
  REQUIRE(evaluation->Add(output, targets, 0, data.size()).ok());
  return metrics::Compute(evaluation->Finish(), 0.9).value().headline;
}

TEST_CASE("a perfect model's headline is 1, and that of chance one half") {
  SeededRandom random(11, "chance");
  constexpr int kExamples = 600;
  MadeDataset classes = TableData(1), labels = TableData(2), survivors = TableData(2);
  std::vector<float> class_logits, label_logits, risks, noise;
  for (int i = 0; i < kExamples; ++i) {
    const auto number = static_cast<std::uint64_t>(i);
    const auto truth = static_cast<float>(i % 3), a = static_cast<float>(i % 2);
    classes.Add({{0, 0}, {truth}, number});
    labels.Add({{0, 0}, {a, i % 5 == 0 ? kUnknown : 1 - a}, number});
    survivors.Add({{0, 0}, {static_cast<float>(i + 1), static_cast<float>(i % 3 > 0)}, number});
    for (int c = 0; c < 3; ++c) class_logits.push_back(c == i % 3 ? 5 : 0);
    label_logits.insert(label_logits.end(), {a * 6 - 3, 3 - a * 6});
    risks.push_back(4 - static_cast<float>(i) / 100);
  }
  for (int i = 0; i < 3 * kExamples; ++i) noise.push_back(static_cast<float>(random.Normal()));
  const auto multiclass = LearningTask::Make(TablePlan(Task::kMulticlass));
  const auto multilabel = LearningTask::Make(TablePlan(Task::kMultilabel));
  const auto survival = LearningTask::Make(TablePlan(Task::kSurvival));
  const at::Tensor chance = Vector(noise);
  CHECK(Headline(*multiclass, classes, Matrix(class_logits, 3)) == Approx(1));
  CHECK(Headline(*multiclass, classes, chance.view({-1, 3})) == Approx(0.5).margin(0.07));
  CHECK(Headline(*multilabel, labels, Matrix(label_logits, 2)) == Approx(1));
  CHECK(Headline(*multilabel, labels, chance.narrow(0, 0, 2 * kExamples).view({-1, 2})) ==
        Approx(0.5).margin(0.07));
  CHECK(Headline(*survival, survivors, Vector(risks)) == Approx(1));
  CHECK(Headline(*survival, survivors, chance.narrow(0, 0, kExamples)) == Approx(0.5).margin(0.07));
}

TEST_CASE("outlines are counted by patient, wherever a patient's images lie") {
  constexpr std::uint32_t kSide = 4;
  MadeDataset data({.height = kSide, .width = kSide}, kSide * kSide, 2);
  const std::vector<float> left = {1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<float> empty(16);
  data.Add({empty, left, 1});
  data.Add({empty, empty, 2});
  data.Add({empty, left, 1});
  const auto task = LearningTask::Make(OutlinePlan(kSide));
  // Right in the first image, nothing in the others: of patient 1 half is found.
  at::Tensor output = at::zeros({3, 2, kSide, kSide});
  output.select(1, 0).fill_(1);
  output[0][1].copy_(Vector(left).view({kSide, kSide}).mul(3));
  const auto evaluation = task->Evaluate(data);
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<float> target(16);
    data.GetTarget(i, target);
    REQUIRE(evaluation->Add(output.narrow(0, static_cast<std::int64_t>(i), 1), target, i, 1).ok());
  }
  const auto sums = evaluation->Finish().As<metrics::SegmentationSums>();
  CHECK(sums.patients == 2);
  CHECK(sums.images == 3);
  const metrics::StructureSums& lesion = sums.structures[0];
  CHECK(lesion.patients == 1);
  CHECK(lesion.both_empty == 1);
  CHECK(lesion.intersection == 4);
  CHECK(lesion.truth == 8);
  CHECK(lesion.dice == Approx(2 * 4 / 12.0));
  CHECK(lesion.with_distance == 1);
  CHECK(lesion.hd95 == Approx(0).margin(1e-9));
  CHECK(lesion.truth_ml == Approx(8 * 0.004));  // 2 x 2 x 1 mm
}

TEST_CASE("an output that is no number, or a target that is none, ends an evaluation") {
  MadeDataset data = TableData(1);
  data.Add({{0, 0}, {1}, 1});
  const auto task = LearningTask::Make(TablePlan(Task::kMulticlass));
  const std::vector<float> one = {1}, seven = {7};
  CHECK(absl::IsInvalidArgument(task->Evaluate(data)->Add(Matrix({kUnknown, 0, 0}, 3), one, 0, 1)));
  CHECK(absl::IsInvalidArgument(task->Evaluate(data)->Add(Matrix({0, 0, 0}, 3), seven, 0, 1)));
}

}  // namespace
}  // namespace consilium::learning
