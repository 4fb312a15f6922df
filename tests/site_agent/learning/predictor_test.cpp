#include "site_agent/learning/predictor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/progress.h"
#include "common/base/random.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"

namespace consilium::learning {
namespace {

plan::Plan PlanOf(plan::Architecture architecture, plan::Norm norm) {
  plan::Plan plan;
  plan.model.architecture = architecture;
  plan.model.norm = norm;
  plan.preprocessing.image_size = 64;
  plan.seed = 5;
  return plan;
}

std::vector<float> Noise(std::uint64_t seed) {
  SeededRandom random(seed, "image");
  std::vector<float> pixels(64 * 64);
  for (float& pixel : pixels) pixel = static_cast<float>(random.Below(1000)) / 500 - 1;
  return pixels;
}

class OneImage final : public datasets::Dataset {
 public:
  explicit OneImage(std::vector<float> pixels) : pixels_(std::move(pixels)) {}
  std::size_t size() const override { return 1; }
  std::uint32_t image_size() const override { return 64; }
  Label GetLabel(std::size_t) const override { return {1, 1}; }
  Label Get(std::size_t index, std::span<float> out) const override {
    std::copy(pixels_.begin(), pixels_.end(), out.begin());
    return GetLabel(index);
  }

 private:
  const std::vector<float> pixels_;
};

TEST_CASE("a prediction is the evaluation's score, and its activation adds up to the logit") {
  for (const auto architecture : {plan::Architecture::kSmallCnn, plan::Architecture::kResNet18}) {
    for (const auto norm : {plan::Norm::kGroup, plan::Norm::kBatch}) {
      const plan::Plan plan = PlanOf(architecture, norm);
      const auto model = InitialModel(plan);
      REQUIRE(model.ok());
      auto predictor = Predictor::Create(*model, plan);
      REQUIRE(predictor.ok());
      for (const std::uint64_t seed : {1, 2}) {
        INFO(plan::Name(architecture) << " " << plan::Name(norm) << ", seed " << seed);
        const std::vector<float> pixels = Noise(seed);
        const auto prediction = (*predictor)->Predict(pixels);
        REQUIRE(prediction.ok());
        NoProgress quiet;
        const auto evaluated = Predict(*model, plan, OneImage(pixels), quiet);
        REQUIRE(evaluated.ok());
        CHECK(prediction->score == Approx(evaluated->at(0)).epsilon(1e-5));
        const auto& map = prediction->activation;
        CHECK(map.size == (architecture == plan::Architecture::kSmallCnn ? 8u : 2u));
        REQUIRE(map.values.size() == std::size_t{map.size} * map.size);
        const double mean = std::accumulate(map.values.begin(), map.values.end(), 0.0) /
                            static_cast<double>(map.values.size());
        const double logit = std::log(prediction->score / (1 - prediction->score));
        CHECK(mean + double{model->values().back()} == Approx(logit).margin(1e-4));
      }
    }
  }
}

// How far from a bright spot of the input the map of a network with random weights moves.
struct Away {
  double columns = 0, rows = 0, moved = 0;
};
Away MovedBySpots(Predictor& predictor) {
  constexpr std::size_t kSide = 256;
  const std::vector<float> nothing(kSide * kSide);
  const auto base = predictor.Predict(nothing);
  REQUIRE(base.ok());
  Away away;
  for (std::size_t shift = 0; shift < 32; shift += 8) {
    std::vector<float> spot = nothing;
    const std::size_t row = 96 + shift, column = 104 + shift;
    spot[row * kSide + column] = 30;
    const auto moved = predictor.Predict(spot);
    REQUIRE(moved.ok());
    const auto& map = moved->activation;
    for (std::size_t i = 0; i < map.values.size(); ++i) {
      const double change = std::abs(double{map.values[i]} - base->activation.values[i]);
      away.columns += change * (map.first + map.step * double(i % map.size) - double(column) - 0.5);
      away.rows += change * (map.first + map.step * double(i / map.size) - double(row) - 0.5);
      away.moved += change;
    }
  }
  return away;
}

// One network's random kernels lean to a side; many lean to none.
TEST_CASE("the values of an activation map lie over the input pixels that they are made of") {
  for (const auto architecture : {plan::Architecture::kSmallCnn, plan::Architecture::kResNet18}) {
    plan::Plan plan = PlanOf(architecture, plan::Norm::kBatch);
    plan.preprocessing.image_size = 256;
    double columns = 0, rows = 0, step = 0;
    constexpr int kNetworks = 12;
    for (int seed = 0; seed < kNetworks; ++seed) {
      plan.seed = static_cast<std::uint64_t>(seed);
      const auto model = InitialModel(plan);
      REQUIRE(model.ok());
      auto predictor = Predictor::Create(*model, plan);
      REQUIRE(predictor.ok());
      const Away away = MovedBySpots(**predictor);
      columns += away.columns / away.moved / kNetworks;
      rows += away.rows / away.moved / kNetworks;
      step = architecture == plan::Architecture::kSmallCnn ? 8 : 32;
    }
    INFO(plan::Name(architecture) << ": " << columns << " columns, " << rows << " rows away");
    CHECK(std::abs(columns) < step / 4);
    CHECK(std::abs(rows) < step / 4);
  }
}

TEST_CASE("an input of another size, or a model of another network, is refused") {
  const plan::Plan plan = PlanOf(plan::Architecture::kSmallCnn, plan::Norm::kGroup);
  const auto model = InitialModel(plan);
  REQUIRE(model.ok());
  auto predictor = Predictor::Create(*model, plan);
  REQUIRE(predictor.ok());
  CHECK(absl::IsInvalidArgument((*predictor)->Predict(std::vector<float>(100)).status()));
  const auto other =
      Predictor::Create(*model, PlanOf(plan::Architecture::kResNet18, plan::Norm::kGroup));
  CHECK(absl::IsInvalidArgument(other.status()));
}

}  // namespace
}  // namespace consilium::learning
