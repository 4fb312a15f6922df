#include "common/metrics/usefulness.h"

#include <array>
#include <cmath>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Logit(double p) { return std::log(p / (1 - p)); }

BinarySums Groups(const std::vector<std::array<double, 3>>& groups) {
  BinarySums sums;
  for (const auto& [score, positives, negatives] : groups) {
    for (int i = 0; i < positives; ++i) sums.Add(score, true);
    for (int i = 0; i < negatives; ++i) sums.Add(score, false);
  }
  return sums;
}

TEST_CASE("net benefit is as Vickers and Elkin count it") {
  const BinarySums sums = Groups({{0.15, 2, 48}, {0.45, 8, 22}, {0.85, 15, 5}});
  const auto curve = DecisionCurve(sums, {0.1, 0.2, 0.5, 0.9});
  REQUIRE(curve.ok());
  REQUIRE(curve->size() == 4);
  CHECK((*curve)[0].net_benefit == Approx(0.25 - 0.75 / 9));  // all are above 0.1
  CHECK((*curve)[0].treat_all == Approx(0.25 - 0.75 / 9));
  CHECK((*curve)[1].net_benefit == Approx(0.23 - 0.27 / 4));
  CHECK((*curve)[2].net_benefit == Approx(0.15 - 0.05));
  CHECK((*curve)[2].treat_all == Approx(0.25 - 0.75));
  CHECK((*curve)[2].threshold == 0.5);
  CHECK((*curve)[3].net_benefit == 0);  // nobody is treated
}

TEST_CASE("decision curves of sites' sums together are those of all their examples") {
  const std::uint64_t seed = 81;
  CAPTURE(seed);
  SeededRandom random(seed);
  BinarySums pooled, whole;
  std::vector<double> scores;
  std::vector<bool> targets;
  for (int site = 0; site < 3; ++site) {
    BinarySums sums;
    for (int i = 0; i < 300; ++i) {
      targets.push_back(random.Chance(0.3));
      scores.push_back(Sigmoid(random.Normal() + (targets.back() ? 1 : -1)));
      sums.Add(scores.back(), targets.back());
      whole.Add(scores.back(), targets.back());
    }
    pooled += sums;
  }
  const std::vector<double> thresholds = {0.05, 0.1, 0.3, 0.6};
  const auto curve = DecisionCurve(pooled, thresholds);
  const auto same = DecisionCurve(whole, thresholds);
  REQUIRE(curve.ok());
  for (std::size_t t = 0; t < thresholds.size(); ++t) {
    double right = 0, wrong = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] >= thresholds[t]) (targets[i] ? right : wrong) += 1;
    }
    const double exact = (right - wrong * thresholds[t] / (1 - thresholds[t])) / 900;
    CHECK((*curve)[t].net_benefit == Approx(exact).margin(0.01));
    CHECK((*curve)[t].net_benefit == (*same)[t].net_benefit);
  }
}

TEST_CASE("thresholds out of range and nobody to treat are refused") {
  const BinarySums sums = Groups({{0.3, 2, 3}});
  CHECK(Says(DecisionCurve(sums, {0.5, 1.0}).status(), "threshold 1"));
  CHECK_FALSE(DecisionCurve(sums, {0.0}).ok());
  CHECK_FALSE(DecisionCurve(sums, {std::nan("")}).ok());
  CHECK(Says(DecisionCurve(BinarySums(), {0.5}).status(), "no example"));
}

TEST_CASE("two groups of scores are recalibrated to what was observed of each") {
  // Two unknowns and two groups: the line goes through both.
  const auto fit = Recalibrate(Groups({{0.2, 6, 14}, {0.8, 12, 8}}));
  REQUIRE(fit.ok());
  const double width = Logit(0.8) - Logit(0.2);
  CHECK(fit->slope == Approx((Logit(0.6) - Logit(0.3)) / width).epsilon(0.005));
  CHECK(fit->intercept == Approx((Logit(0.6) + Logit(0.3)) / 2).margin(0.005));
  CHECK(fit->observed_over_expected == Approx(18.0 / 20));
  // The slope's error by hand: weights 20 p (1 - p) of each group.
  const double low = 20 * 0.3 * 0.7, high = 20 * 0.6 * 0.4;
  const double error = std::sqrt((low + high) / (low * high)) / width;
  CHECK((fit->slope_95.high - fit->slope_95.low) / (2 * 1.959964) == Approx(error).epsilon(0.01));
}

TEST_CASE("an overconfident model is found to be one, with an interval that holds the truth") {
  const std::uint64_t seed = 82;
  CAPTURE(seed);
  SeededRandom random(seed);
  int slopes_held = 0, shifts_held = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    BinarySums twice, shifted;
    for (int i = 0; i < 300; ++i) {
      const double logit = 1.5 * random.Normal();
      const bool target = random.Chance(Sigmoid(logit));
      twice.Add(Sigmoid(2 * logit), target);
      shifted.Add(Sigmoid(logit + 0.7), target);
    }
    const auto fit = Recalibrate(twice), shift = Recalibrate(shifted);
    REQUIRE(fit.ok());
    slopes_held += fit->slope_95.low <= 0.5 && 0.5 <= fit->slope_95.high ? 1 : 0;
    REQUIRE(shift.ok());
    const Interval& held = shift->in_the_large_95;
    shifts_held += held.low <= -0.7 && -0.7 <= held.high ? 1 : 0;
    CHECK(shift->observed_over_expected < 1);
  }
  CHECK(slopes_held >= 180);
  CHECK(slopes_held < kTrials);
  CHECK(shifts_held >= 180);
  CHECK(shifts_held < kTrials);
}

TEST_CASE("saturated scores are recalibrated, too") {
  const auto fit = Recalibrate(Groups({{0.0, 1, 99}, {1.0, 97, 3}}));
  REQUIRE(fit.ok());
  CHECK(fit->slope == Approx((Logit(0.97) - Logit(0.01)) / 32).epsilon(0.01));
  CHECK(std::isfinite(fit->in_the_large));
  CHECK(std::isfinite(fit->slope_95.high));
}

TEST_CASE("where no slope fits best it is refused") {
  CHECK(Says(Recalibrate(Groups({{0.2, 0, 9}, {0.7, 9, 0}})).status(), "separate"));
  CHECK(Says(Recalibrate(Groups({{0.2, 9, 0}, {0.7, 0, 9}})).status(), "separate"));
  CHECK(Says(Recalibrate(Groups({{0.2, 0, 9}, {0.5, 3, 3}, {0.7, 9, 0}})).status(), "separate"));
  CHECK(Says(Recalibrate(Groups({{0.4, 5, 5}})).status(), "alike"));
  CHECK(Says(Recalibrate(Groups({{0.4, 5, 0}})).status(), "no negative"));
  CHECK(Says(Recalibrate(BinarySums()).status(), "no positive"));
}

}  // namespace
}  // namespace consilium::metrics
