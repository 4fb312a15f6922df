// Grades, and survival in intervals: losses by hand, and sets that are made to be learned.

#include <ATen/ops/tensor.h>

#include <cmath>

#include "site_agent/learning/predictor.h"
#include "site_agent/learning/tasks/task.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::learning {
namespace {

NoProgress quiet;

at::Tensor Matrix(const std::vector<float>& values, std::int64_t columns) {
  return at::tensor(at::ArrayRef<float>(values)).view({-1, columns});
}

double Softplus(double x) { return std::log1p(std::exp(x)); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

plan::Plan Graded() {
  plan::Plan plan = TablePlan(Task::kMulticlass);
  plan.target.ordered = true;
  plan.training.class_weighting = false;
  return plan;
}

plan::Plan InIntervals(std::vector<double> ends) {
  plan::Plan plan = TablePlan(Task::kSurvival);
  plan.target.intervals = std::move(ends);
  plan.training.class_weighting = false;
  return plan;
}

ModelState Trained(const plan::Plan& plan, const datasets::Dataset& data, std::uint32_t epochs) {
  auto result =
      Train(InitialModel(plan).value(), data, {.plan = plan, .seed = 7, .epochs = epochs}, quiet);
  INFO(result.status());
  REQUIRE(result.ok());
  return std::move(result->trained);
}

TEST_CASE("the loss of grades is that of their thresholds, whose order no output can turn") {
  const auto task = LearningTask::Make(Graded());
  // Three grades: two outputs. The second threshold is a softplus below the first.
  const double first = 0.5, second = 0.5 - Softplus(0.25);
  const double expected = ((Softplus(first) + Softplus(second)) +   // grade 0: above neither
                           (Softplus(-first) + Softplus(second)) +  // grade 1
                           (Softplus(-first) + Softplus(-second))) /
                          3;
  CHECK(expected == Approx(1.292789).epsilon(1e-6));
  const at::Tensor output = Matrix({0.5f, 0.25f, 0.5f, 0.25f, 0.5f, 0.25f}, 2);
  CHECK(task->Loss(output, Matrix({0, 1, 2}, 1), {}).item<float>() == Approx(expected));

  for (const float step : {-30.0f, 0.0f, 30.0f}) {
    const at::Tensor answer = task->Predict(Matrix({0.5f, step}, 2)).contiguous();
    const float* p = answer.data_ptr<float>();
    const double above_first = Sigmoid(0.5), above_second = Sigmoid(0.5 - Softplus(step));
    CHECK(p[0] == Approx(1 - above_first).margin(1e-6));
    CHECK(p[1] == Approx(above_first - above_second).margin(1e-6));
    CHECK(p[2] == Approx(above_second).margin(1e-6));
    CHECK(std::min({p[0], p[1], p[2]}) >= 0);
  }
}

TEST_CASE("grades are learned, and their errors are of neighbours") {
  const auto made = [](std::uint64_t seed) {
    SeededRandom random(seed, "grades");
    MadeDataset data = TableData(1);
    for (std::uint64_t i = 0; i < 400; ++i) {
      const double x = random.Normal(), noisy = x + 0.2 * random.Normal();
      const float grade = noisy < -0.5 ? 0 : noisy < 0.5 ? 1 : 2;
      data.Add({{static_cast<float>(x), static_cast<float>(random.Normal())}, {grade}, i});
    }
    return data;
  };
  const plan::Plan plan = Graded();
  const ModelState model = Trained(plan, made(1), 30);
  const MadeDataset test = made(2);
  const auto sums = Evaluate(model, plan, test, quiet).value();
  const auto metrics = metrics::Compute(sums, 0.9).value();
  CHECK(std::get<metrics::MulticlassMetrics>(metrics.all).quadratic_kappa > 0.8);
  const std::vector<float> answers = Predict(model, plan, test, quiet).value();
  REQUIRE(answers.size() == 3 * test.size());
  CHECK(answers[0] + answers[1] + answers[2] == Approx(1));
  const auto predictor = Predictor::Create(model, plan).value();
  std::vector<float> row(2);
  test.Get(1, row);
  CHECK(predictor->Predict(row)->probabilities[2] == Approx(answers[5]));
}

TEST_CASE(
    "the likelihood of hazards is as by hand, of who died, was lost early and late, and lives") {
  const auto task = LearningTask::Make(InIntervals({10, 20, 40}));
  const std::vector<float> x = {0.2f, -0.4f, 0.1f};
  const at::Tensor output =
      Matrix({x[0], x[1], x[2], x[0], x[1], x[2], x[0], x[1], x[2], x[0], x[1], x[2]}, 3);
  const at::Tensor outcomes = Matrix({15, 1, 16, 0, 12, 0, 50, 1}, 2);
  const double died = Softplus(0.2) + Softplus(0.4);        // through the first, in the second
  const double lost_late = Softplus(0.2) + Softplus(-0.4);  // lived half of the second
  const double lost_early = Softplus(0.2);                  // did not
  const double lives = Softplus(0.2) + Softplus(-0.4) + Softplus(0.1);
  const double expected = (died + lost_late + lost_early + lives) / 4;
  CHECK(task->Loss(output, outcomes, {}).item<float>() == Approx(expected));
  CHECK(task->Predict(output).narrow(0, 0, 1).item<float>() == Approx(std::log(lives)));
}

TEST_CASE(
    "hazards that cross are learned, and a site without an event in the intervals is refused") {
  // High x: an early risk; the others die late.
  const auto made = [](std::uint64_t seed) {
    SeededRandom random(seed, "hazards");
    MadeDataset data = TableData(2);
    for (std::uint64_t i = 0; i < 300; ++i) {
      const double x = random.Normal();
      const double days = 1 - 300 * std::log(1 - random.Uniform()) * std::exp(-1.5 * x);
      const bool lost = days > 900;
      data.Add({{static_cast<float>(x), static_cast<float>(random.Normal())},
                {static_cast<float>(std::min(days, 900.0)), lost ? 0.0f : 1.0f},
                i});
    }
    return data;
  };
  const plan::Plan plan = InIntervals({60, 180, 400, 900});
  const ModelState model = Trained(plan, made(1), 40);
  const MadeDataset test = made(2);
  const auto sums = Evaluate(model, plan, test, quiet).value();
  CHECK(metrics::Compute(sums, 0.9).value().headline > 0.75);
  CHECK(Predict(model, plan, test, quiet).value().size() == test.size());

  const plan::Plan early = InIntervals({1, 2});
  MadeDataset late = TableData(2);
  for (std::uint64_t i = 0; i < 6; ++i) late.Add({{1, 2}, {5, 1}, i});
  const auto refused =
      Train(InitialModel(early).value(), late, {.plan = early, .seed = 7, .epochs = 1}, quiet);
  CHECK(absl::IsInvalidArgument(refused.status()));
  CHECK_THAT(std::string(refused.status().message()), ContainsText("within the 2 days"));
}

}  // namespace
}  // namespace consilium::learning
