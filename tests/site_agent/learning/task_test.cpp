// Every task learns, and says why it cannot.

#include "site_agent/learning/trainer.h"

#include <array>
#include <cmath>

#include "site_agent/learning/predictor.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

NoProgress quiet;

TrainResult Trained(const plan::Plan& plan, const datasets::Dataset& data, std::uint32_t epochs) {
  const ModelState base = InitialModel(plan).value();
  absl::StatusOr<TrainResult> result =
      Train(base, data, {.plan = plan, .seed = 7, .epochs = epochs}, quiet);
  INFO(result.status());
  REQUIRE(result.ok());
  return *std::move(result);
}

double Headline(const ModelState& model, const plan::Plan& plan, const datasets::Dataset& data) {
  return metrics::Compute(Evaluate(model, plan, data, quiet).value(), 0.9).value().headline;
}

void RequireRefusal(const plan::Plan& plan, const datasets::Dataset& data,
                    const std::string& says) {
  const absl::Status status =
      Train(InitialModel(plan).value(), data, {.plan = plan, .seed = 7, .epochs = 1}, quiet)
          .status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK_THAT(std::string(status.message()), ContainsText(says));
}

bool SameValues(const ModelState& a, const ModelState& b) {
  return std::ranges::equal(a.values(), b.values());
}

// Three clouds of points.
MadeDataset Clouds(int count, std::uint64_t seed) {
  SeededRandom random(seed, "clouds");
  MadeDataset data = TableData(1);
  for (int i = 0; i < count; ++i) {
    const double angle = 2 * (i % 3);
    data.Add({{static_cast<float>(2 * std::cos(angle) + random.Normal()),
               static_cast<float>(2 * std::sin(angle) + random.Normal())},
              {static_cast<float>(i % 3)},
              static_cast<std::uint64_t>(i)});
  }
  return data;
}

TEST_CASE("several classes are learned, and the same seed gives the same weights") {
  const plan::Plan plan = TablePlan(Task::kMulticlass);
  const MadeDataset train = Clouds(300, 1), test = Clouds(150, 2);
  const ModelState model = Trained(plan, train, 10).trained;
  CHECK(Headline(model, plan, test) > 0.9);
  CHECK(SameValues(model, Trained(plan, train, 10).trained));
  const std::vector<float> answers = Predict(model, plan, test, quiet).value();
  REQUIRE(answers.size() == 450);
  CHECK(answers[0] + answers[1] + answers[2] == Approx(1));
  const auto predictor = Predictor::Create(model, plan).value();
  std::vector<float> row(2);
  test.Get(1, row);
  CHECK(predictor->Predict(row)->probabilities[2] == Approx(answers[5]));
}

TEST_CASE("several labels are learned where they are known") {
  const plan::Plan plan = TablePlan(Task::kMultilabel);
  const auto made = [](std::uint64_t seed) {
    SeededRandom random(seed, "labels");
    MadeDataset data = TableData(2);
    for (std::uint64_t i = 0; i < 200; ++i) {
      const auto x = static_cast<float>(random.Normal()), y = static_cast<float>(random.Normal());
      data.Add({{x, y}, {x > 0 ? 1.0f : 0.0f, i % 2 == 0 ? kUnknown : (y > x ? 1.0f : 0.0f)}, i});
    }
    return data;
  };
  const ModelState model = Trained(plan, made(1), 10).trained;
  CHECK(Headline(model, plan, made(2)) > 0.95);
  CHECK(SameValues(model, Trained(plan, made(1), 10).trained));
}

TEST_CASE("who is at greater risk is learned from images, too, by a hazard or by intervals") {
  plan::Plan plan = SquarePlan();
  plan.target.task = Task::kSurvival;
  plan.target.time = "days";
  plan.target.event = "died";
  plan.training.batch_size = 48;
  SECTION("a relative hazard") {}
  SECTION("intervals") { plan.target.intervals = {100, 300, 600, 1000}; }
  // A brighter square divides the days that remain by ten.
  const auto made = [](std::uint64_t seed) {
    const SquareDataset squares(192, 24, seed);
    SeededRandom random(seed, "survivors");
    MadeDataset data({.height = 24, .width = 24}, 2);
    for (std::size_t i = 0; i < squares.size(); ++i) {
      std::vector<float> pixels(24 * 24);
      const double rate = squares.Get(i, pixels).target == 1 ? 10 : 1;
      const double days = 1 - 1000 * std::log(1 - random.Uniform()) / rate;
      data.Add(
          {pixels, {static_cast<float>(std::min(days, 1500.0)), days < 1500 ? 1.0f : 0.0f}, i});
    }
    return data;
  };
  const MadeDataset test = made(2);
  // Who knows the squares alone is right in ten pairs of eleven across the two kinds, and in half of
  // those within one: about 0.71 in all.
  CHECK(Headline(InitialModel(plan).value(), plan, test) < 0.6);
  CHECK(Headline(Trained(plan, made(1), 10).trained, plan, test) > 0.67);
}

TEST_CASE("who is at greater risk is learned, and batches of one are refused") {
  plan::Plan plan = TablePlan(Task::kSurvival);
  plan.training.batch_size = 400;
  const auto made = [](std::uint64_t seed) {
    SeededRandom random(seed, "survivors");
    MadeDataset data = TableData(2);
    for (std::uint64_t i = 0; i < 300; ++i) {
      const double x = random.Normal();
      const double days = -1000 * std::log(1 - random.Uniform()) * std::exp(-1.5 * x) + 1;
      const bool lost = days > 2000;
      data.Add({{static_cast<float>(x), static_cast<float>(random.Normal())},
                {static_cast<float>(std::min(days, 2000.0)), lost ? 0.0f : 1.0f},
                i});
    }
    return data;
  };
  const MadeDataset train = made(1);
  const ModelState model = Trained(plan, train, 60).trained;
  CHECK(Headline(model, plan, made(2)) > 0.75);
  // The log hazard ratio that made the data, near enough for 300 patients. After the two
  // preparations (four values) comes the linear layer.
  CHECK(model.values()[4] == Approx(1.5).margin(0.3));
  CHECK(model.values()[5] == Approx(0).margin(0.25));
  plan.training.batch_size = 1;
  RequireRefusal(plan, train, "batches of one");
}

TEST_CASE("an outline is learned, evaluated by patient, and predicted as a mask") {
  const plan::Plan plan = OutlinePlan();
  const MadeDataset train = OutlineData(48, 1), test = OutlineData(24, 2);
  const ModelState model = Trained(plan, train, 8).trained;
  const metrics::TaskSums sums = Evaluate(model, plan, test, quiet).value();
  CHECK(sums.As<metrics::SegmentationSums>().patients == 12);
  CHECK(sums.As<metrics::SegmentationSums>().images == 24);
  CHECK(metrics::Compute(sums, 0.9).value().headline > 0.85);

  const auto predictor = Predictor::Create(model, plan).value();
  std::vector<float> image(256), mask(256);
  test.Get(0, image);
  test.GetTarget(0, mask);
  const Prediction prediction = predictor->Predict(image).value();
  REQUIRE(prediction.mask.size() == 256);
  int wrong = 0;
  for (std::size_t i = 0; i < 256; ++i) wrong += static_cast<float>(prediction.mask[i]) != mask[i];
  CHECK(wrong < 25);
}

TEST_CASE("outlines train to the same weights under a seed, with masks that move along") {
  plan::Plan plan = OutlinePlan();
  plan.training.augmentation = plan::Augmentation::kMirrored;
  const MadeDataset train = OutlineData(16, 1);
  CHECK(SameValues(Trained(plan, train, 2).trained, Trained(plan, train, 2).trained));
}

TEST_CASE("data that teach a task nothing are refused, one class only where classes are weighted") {
  SECTION("binary") {
    plan::Plan plan = TablePlan(Task::kBinary);
    MadeDataset data = TableData(1);
    RequireRefusal(plan, data, "rows");
    for (std::uint64_t i = 0; i < 6; ++i) data.Add({{1, 2}, {1}, i});
    RequireRefusal(plan, data, "both classes");
    plan.training.class_weighting = false;
    CHECK(Trained(plan, data, 1).examples == 6);
  }
  SECTION("multiclass") {
    plan::Plan plan = TablePlan(Task::kMulticlass);
    MadeDataset data = TableData(1);
    for (std::uint64_t i = 0; i < 6; ++i) data.Add({{1, 2}, {1}, i});
    RequireRefusal(plan, data, "\"b\"");
    plan.training.class_weighting = false;
    CHECK(Trained(plan, data, 1).examples == 6);
    data[2].target[0] = 3;
    RequireRefusal(plan, data, "class 3");
  }
  SECTION("multilabel") {
    plan::Plan plan = TablePlan(Task::kMultilabel);
    MadeDataset data = TableData(2);
    for (std::uint64_t i = 0; i < 6; ++i) data.Add({{1, 2}, {1, kUnknown}, i});
    RequireRefusal(plan, data, "both classes");
    plan.training.class_weighting = false;
    CHECK(Trained(plan, data, 1).examples == 6);
    for (std::size_t i = 0; i < 6; ++i) data[i].target[0] = kUnknown;
    RequireRefusal(plan, data, "no label is known");
  }
  SECTION("segmentation") {
    plan::Plan plan = OutlinePlan();
    MadeDataset data = OutlineData(4, 1);
    for (std::size_t i = 0; i < 4; ++i) std::ranges::fill(data[i].target, 0.0f);
    RequireRefusal(plan, data, "structure");
    plan.training.class_weighting = false;
    CHECK(Trained(plan, data, 1).examples == 4);
    data[1].target[7] = 2;
    RequireRefusal(plan, data, "value 2");
  }
  SECTION("survival") {
    plan::Plan plan = TablePlan(Task::kSurvival);
    plan.training.class_weighting = false;
    MadeDataset data = TableData(2);
    for (std::uint64_t i = 0; i < 6; ++i) data.Add({{1, 2}, {5, 0}, i});
    RequireRefusal(plan, data, "event");
    data[1].target[0] = 0;
    RequireRefusal(plan, data, "above 0 days");
  }
  SECTION("targets of another task") {
    RequireRefusal(TablePlan(Task::kSurvival), TableData(1), "target values");
  }
}

// A hospital's patients: who comes differs, what the columns mean does not.
MadeDataset Hospital(int patients, double shift, double spread, std::uint64_t seed) {
  SeededRandom random(seed, "hospital");
  MadeDataset data = TableData(1);
  for (int i = 0; i < patients; ++i) {
    const double x = shift + spread * random.Normal(), y = random.Normal() - shift / 2;
    const double chance = 1 / (1 + std::exp(-(x - 0.7 * y - 0.3)));
    data.Add({{static_cast<float>(x), static_cast<float>(y)},
              {random.Uniform() < chance ? 1.0f : 0.0f},
              static_cast<std::uint64_t>(i)});
  }
  return data;
}

// Logistic regression on all rows together, by gradient descent to the end: weights, then the bias.
std::array<double, 3> PooledOptimum(const std::vector<MadeDataset>& hospitals) {
  std::array<double, 3> w{};
  for (int step = 0; step < 3000; ++step) {
    std::array<double, 3> gradient{};
    double count = 0;
    for (const MadeDataset& hospital : hospitals) {
      for (std::size_t i = 0; i < hospital.size(); ++i) {
        std::array<float, 2> x;
        const int target = hospital.Get(i, x).target;
        const double error = 1 / (1 + std::exp(-(w[0] * x[0] + w[1] * x[1] + w[2]))) - target;
        gradient[0] += error * x[0];
        gradient[1] += error * x[1];
        gradient[2] += error;
        ++count;
      }
    }
    for (std::size_t i = 0; i < 3; ++i) w[i] -= gradient[i] / count;
  }
  return w;
}

std::array<double, 3> Federated(const plan::Plan& plan, const std::vector<MadeDataset>& hospitals,
                                std::uint64_t rounds) {
  ModelState model = InitialModel(plan).value();
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::vector<double> sum(model.values().size());
    double weight = 0;
    for (const MadeDataset& hospital : hospitals) {
      const TrainTask task{.plan = plan, .seed = round, .epochs = plan.training.local_epochs};
      const TrainResult result = Train(model, hospital, task, quiet).value();
      const ModelUpdate update = MakeUpdate({}, model, result, plan::WeightRule::kExamples).value();
      weight += update.weight;
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += update.weight * update.delta[i];
    }
    std::vector<float> values(model.values().begin(), model.values().end());
    for (std::size_t i = 0; i < sum.size(); ++i) values[i] += static_cast<float>(sum[i] / weight);
    model = ModelState::Create(model.layout(), std::move(values)).value();
  }
  const std::span<const float> linear = model.values().last(3);
  return {linear[0], linear[1], linear[2]};
}

TEST_CASE("a federation of three unlike hospitals reaches the pooled logistic regression") {
  std::vector<MadeDataset> hospitals;
  hospitals.push_back(Hospital(200, 0, 1, 1));
  hospitals.push_back(Hospital(80, 1.5, 0.7, 2));
  hospitals.push_back(Hospital(120, -1, 1.5, 3));
  const std::array<double, 3> pooled = PooledOptimum(hospitals);
  plan::Plan plan = TablePlan(Task::kBinary);
  plan.training.class_weighting = false;
  double tolerance = 0;
  std::uint64_t rounds = 0;
  SECTION("with one full step a round, exactly") {
    plan.training.batch_size = 1000;
    plan.training.learning_rate = 1;
    rounds = 200;
    tolerance = 2e-3;
  }
  SECTION("with many small steps a round, nearly") {
    plan.training.batch_size = 16;
    plan.training.learning_rate = 0.02;
    plan.training.local_epochs = 2;
    rounds = 60;
    tolerance = 0.08;
  }
  const std::array<double, 3> reached = Federated(plan, hospitals, rounds);
  for (std::size_t i = 0; i < 3; ++i) {
    INFO(i << ": " << reached[i] << ", pooled " << pooled[i]);
    CHECK(std::abs(reached[i] - pooled[i]) < tolerance);
  }
}

TEST_CASE("an update that is no number never leaves") {
  const plan::Plan plan = TablePlan(Task::kBinary);
  const ModelState base = InitialModel(plan).value();
  const auto filled = [&](float value) {
    return ModelState::Create(base.layout(), std::vector<float>(base.values().size(), value))
        .value();
  };
  const TrainResult result{.trained = filled(3e38f), .examples = 5, .patients = 5};
  const auto update = MakeUpdate({}, filled(-3e38f), result, plan::WeightRule::kExamples);
  CHECK(update.status().code() == absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace consilium::learning
