#include "common/metrics/binary_metrics.h"

#include <cmath>
#include <functional>
#include <limits>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

struct Examples {
  std::vector<double> scores;
  std::vector<bool> targets;

  void Add(double score, bool target) {
    scores.push_back(score);
    targets.push_back(target);
  }
};

BinarySums SumsOf(const Examples& examples) {
  BinarySums sums;
  for (std::size_t i = 0; i < examples.scores.size(); ++i) {
    sums.Add(examples.scores[i], examples.targets[i]);
  }
  sums.patients = examples.scores.size();
  return sums;
}

BinaryMetrics MetricsOf(const Examples& examples, double at_specificity = 0.9) {
  auto metrics = Compute(SumsOf(examples), at_specificity);
  INFO(metrics.status().ToString());
  REQUIRE(metrics.ok());
  return *metrics;
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Scores of `kind`: spread over the scale, close together, saturated at the ends, few values with
// many ties, or constant.
double Score(SeededRandom& random, int kind, bool target) {
  const double shift = target ? 0.5 : -0.5;
  switch (kind) {
    case 0:
      return Sigmoid(random.Normal() + shift);
    case 1:
      return 0.5 + 1e-4 * (random.Uniform() + shift);
    case 2:
      return Sigmoid(30 * (random.Normal() + shift));
    case 3:
      return std::round(10 * Sigmoid(random.Normal() + shift)) / 10;
    case 4:
      return static_cast<float>(random.Uniform());
    default:
      return 0.3;
  }
}

Examples RandomExamples(SeededRandom& random, int kind, std::uint64_t count) {
  Examples examples;
  examples.Add(Score(random, kind, true), true);
  examples.Add(Score(random, kind, false), false);
  while (examples.scores.size() < count) {
    const bool target = random.Chance(0.3);
    examples.Add(Score(random, kind, target), target);
  }
  return examples;
}

// DeLong et al. 1988 as it is written down: every positive against every negative.
double DirectDeLongVariance(const Examples& examples, double auroc) {
  std::vector<int> positives, negatives;
  for (std::size_t i = 0; i < examples.scores.size(); ++i) {
    (examples.targets[i] ? positives : negatives).push_back(ScoreBin(examples.scores[i]));
  }
  const auto wins = [](int positive, int negative) {
    return positive > negative ? 1.0 : positive == negative ? 0.5 : 0.0;
  };
  const auto variance_of_mean = [&](const std::vector<int>& ones, const std::vector<int>& others,
                                    const std::function<double(int, int)>& value) {
    double sum = 0;
    for (const int one : ones) {
      double placement = 0;
      for (const int other : others) placement += value(one, other);
      sum += std::pow(placement / static_cast<double>(others.size()) - auroc, 2);
    }
    const auto n = static_cast<double>(ones.size());
    return sum / (n - 1) / n;
  };
  return variance_of_mean(positives, negatives, wins) +
         variance_of_mean(negatives, positives, [&](int n, int p) { return wins(p, n); });
}

TEST_CASE("score bins cover 0 to 1 in order and have an edge at one half") {
  CHECK(ScoreBin(0) == 0);
  CHECK(ScoreBin(1) == kScoreBins - 1);
  CHECK(ScoreBin(0.5) == kScoreBins / 2);
  CHECK(ScoreBin(std::nextafter(0.5, 0)) == kScoreBins / 2 - 1);
  CHECK(ScoreBinLowerEdge(kScoreBins / 2) == 0.5);
  CHECK(ScoreBinLowerEdge(0) == 0);
  CHECK(ScoreBinLowerEdge(kScoreBins) == 1);
  for (int bin = 0; bin < kScoreBins; ++bin) {
    const double low = ScoreBinLowerEdge(bin), high = ScoreBinLowerEdge(bin + 1);
    REQUIRE(low < high);
    REQUIRE(ScoreBin((low + high) / 2) == bin);
  }
}

TEST_CASE("four examples give the values worked out by hand") {
  const BinaryMetrics m = MetricsOf({{0.1, 0.4, 0.35, 0.8}, {false, false, true, true}}, 0.5);
  CHECK(m.auroc == 0.75);
  CHECK(m.auroc_error_bound == 0);
  CHECK(m.auprc == Approx(0.5 + 0.5 * 2 / 3));
  CHECK(m.accuracy == 0.75);
  CHECK(m.brier == Approx((0.01 + 0.16 + 0.65 * 0.65 + 0.04) / 4));
  CHECK(m.log_loss ==
        Approx(-(std::log(0.9) + std::log(0.6) + std::log(0.35) + std::log(0.8)) / 4));
  CHECK(m.sensitivity == 1.0);  // with the threshold between 0.1 and 0.35
  CHECK(m.positives == 2);
  CHECK(m.negatives == 2);
  CHECK(m.patients == 4);
}

TEST_CASE("equal scores count one half, and the bound says so") {
  const BinaryMetrics m = MetricsOf({{0.3, 0.3, 0.3, 0.9}, {false, true, false, true}});
  CHECK(m.auroc == Approx(0.75));
  CHECK(m.auroc_error_bound == Approx(0.25));
  CHECK(m.auprc == Approx(0.5 + 0.5 * 0.5));
}

TEST_CASE("a score of exactly one half is called positive") {
  CHECK(MetricsOf({{0.5, 0.4}, {true, false}}).accuracy == 1);
  CHECK(MetricsOf({{0.6, 0.5}, {true, false}}).accuracy == 0.5);
}

TEST_CASE("sensitivity is read at the lowest threshold that keeps the asked specificity") {
  Examples examples;
  for (int i = 0; i < 10; ++i) examples.Add(0.05 + 0.05 * i, false);  // 0.05 ... 0.50
  for (int i = 0; i < 10; ++i) examples.Add(0.31 + 0.05 * i, true);   // 0.31 ... 0.76
  CHECK(MetricsOf(examples, 0.0).sensitivity == 1.0);
  CHECK(MetricsOf(examples, 0.6).sensitivity == 1.0);
  CHECK(MetricsOf(examples, 0.9).sensitivity == Approx(0.7));
  CHECK(MetricsOf(examples, 1.0).sensitivity == Approx(0.6));
  CHECK(MetricsOf(examples, 0.9).at_specificity == 0.9);
  CHECK_FALSE(Compute(SumsOf(examples), 1.1).ok());
  CHECK_FALSE(Compute(SumsOf(examples), std::nan("")).ok());
}

TEST_CASE("the exact AUROC lies within the stated bound of the binned one") {
  const std::uint64_t seed = 11;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (int trial = 0; trial < 120; ++trial) {
    const int kind = trial % 6;
    CAPTURE(trial, kind);
    const Examples examples = RandomExamples(random, kind, 2 + random.Below(400));
    const auto exact = ExactAuroc(examples.scores, examples.targets);
    REQUIRE(exact.ok());
    const BinaryMetrics m = MetricsOf(examples);
    REQUIRE(std::abs(m.auroc - *exact) <= m.auroc_error_bound + 1e-12);
    if (kind == 0) REQUIRE(m.auroc_error_bound < 0.01 + 0.5 / static_cast<double>(m.positives));
  }
}

TEST_CASE("the bound is small for scores as networks give them") {
  SeededRandom random(5);
  const BinaryMetrics m = MetricsOf(RandomExamples(random, 0, 20'000));
  CHECK(m.auroc_error_bound < 0.001);
  CHECK(m.auroc == Approx(0.76).margin(0.02));  // Phi(1 / sqrt(2))
}

TEST_CASE("the sums of any split are the sum of the whole") {
  const std::uint64_t seed = 12;
  CAPTURE(seed);
  SeededRandom random(seed);
  const Examples examples = RandomExamples(random, 0, 3000);
  std::vector<Examples> sites(4);
  for (std::size_t i = 0; i < examples.scores.size(); ++i) {
    sites[random.Below(sites.size())].Add(examples.scores[i], examples.targets[i]);
  }
  BinarySums pooled;
  for (const Examples& site : sites) pooled += SumsOf(site);
  const BinarySums whole = SumsOf(examples);
  CHECK(pooled.positives == whole.positives);
  CHECK(pooled.negatives == whole.negatives);
  CHECK(pooled.calibration_count == whole.calibration_count);
  CHECK(pooled.calibration_positives == whole.calibration_positives);
  CHECK(pooled.patients == whole.patients);
  CHECK(pooled.squared_error == Approx(whole.squared_error).epsilon(1e-12));
  CHECK(pooled.log_loss == Approx(whole.log_loss).epsilon(1e-12));
  CHECK(Compute(pooled, 0.9)->auroc == Compute(whole, 0.9)->auroc);
}

TEST_CASE("the interval is DeLong's on the logit scale") {
  const std::uint64_t seed = 13;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const int kind : {0, 3, 4}) {
    CAPTURE(kind);
    const Examples examples = RandomExamples(random, kind, 150);
    const BinaryMetrics m = MetricsOf(examples);
    const double logit = std::log(m.auroc / (1 - m.auroc));
    const double half =
        1.959964 * std::sqrt(DirectDeLongVariance(examples, m.auroc)) / (m.auroc * (1 - m.auroc));
    CHECK(m.auroc_95.low == Approx(Sigmoid(logit - half)).epsilon(1e-6));
    CHECK(m.auroc_95.high == Approx(Sigmoid(logit + half)).epsilon(1e-6));
  }
}

TEST_CASE("about 95 of 100 intervals hold the true AUROC") {
  const std::uint64_t seed = 14;
  CAPTURE(seed);
  SeededRandom random(seed);
  const double truth = 0.5 * std::erfc(-0.5);  // Phi(1 / sqrt(2)), for normals one deviation apart
  int held = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const Interval i = MetricsOf(RandomExamples(random, 0, 120)).auroc_95;
    held += i.low <= truth && truth <= i.high ? 1 : 0;
  }
  CHECK(held >= 368);  // 0.92
  CHECK(held <= 394);  // 0.985
}

TEST_CASE("perfect, inverted, constant and tiny sets get an interval that is not a point") {
  const auto separated = [](int count, bool inverted) {
    Examples examples;
    for (int i = 0; i < count; ++i) {
      examples.Add(0.9, !inverted);
      examples.Add(0.1, inverted);
    }
    return MetricsOf(examples);
  };
  const BinaryMetrics perfect = separated(10, false);
  CHECK(perfect.auroc == 1);
  CHECK(perfect.auroc_95.high == Approx(1));
  CHECK(perfect.auroc_95.low == Approx(10 / (10 + 3.841459)));
  CHECK(separated(100, false).auroc_95.low > perfect.auroc_95.low);
  const BinaryMetrics inverted = separated(10, true);
  CHECK(inverted.auroc == 0);
  CHECK(inverted.auroc_95.low == Approx(0).margin(1e-12));
  CHECK(inverted.auroc_95.high == Approx(1 - perfect.auroc_95.low));
  const BinaryMetrics constant = MetricsOf({{0.3, 0.3, 0.3}, {true, false, false}});
  CHECK(constant.auroc == 0.5);
  CHECK(constant.auroc_95.low < 0.1);
  CHECK(constant.auroc_95.high > 0.9);
  const BinaryMetrics one_positive = MetricsOf({{0.3, 0.2, 0.4}, {true, false, false}});
  CHECK(one_positive.auroc_95.low < 0.1);
}

TEST_CASE("calibration shows mean score and observed share, without small bins") {
  Examples examples;
  for (int i = 0; i < 20; ++i) examples.Add(0.25, i < 5);
  for (int i = 0; i < 9; ++i) examples.Add(0.85, true);  // below kSmallCount
  for (int i = 0; i < 10; ++i) examples.Add(1.0, i < 8);
  const BinaryMetrics m = MetricsOf(examples);
  REQUIRE(m.calibration.size() == 2);
  CHECK(m.calibration[0].mean_score == Approx(0.25));
  CHECK(m.calibration[0].observed == Approx(0.25));
  CHECK(m.calibration[0].count == 20);
  CHECK(m.calibration[1].mean_score == Approx(1.0));
  CHECK(m.calibration[1].observed == Approx(0.8));
}

TEST_CASE(
    "the ROC curve rises from (0,0) to (1,1) in at most 200 points and has the AUROC below it") {
  const int kind = GENERATE(0, 2, 3, 5);
  SeededRandom random(15);
  const BinaryMetrics m = MetricsOf(RandomExamples(random, kind, 5000));
  REQUIRE(m.roc.size() >= 2);
  CHECK(m.roc.size() <= 200);
  CHECK(m.roc.front().false_positive_rate == 0);
  CHECK(m.roc.front().true_positive_rate == 0);
  CHECK(m.roc.back().false_positive_rate == 1);
  CHECK(m.roc.back().true_positive_rate == 1);
  double area = 0;
  for (std::size_t i = 1; i < m.roc.size(); ++i) {
    const auto &a = m.roc[i - 1], &b = m.roc[i];
    REQUIRE(b.false_positive_rate >= a.false_positive_rate);
    REQUIRE(b.true_positive_rate >= a.true_positive_rate);
    area += (b.false_positive_rate - a.false_positive_rate) *
            (a.true_positive_rate + b.true_positive_rate) / 2;
  }
  CHECK(area == Approx(m.auroc).margin(0.005));
}

TEST_CASE("one class only is refused and named") {
  const auto positives = Compute(SumsOf({{0.3}, {true}}), 0.9).status();
  CHECK(positives.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(positives, "no negative example"));
  CHECK(Says(Compute(SumsOf({{0.3}, {false}}), 0.9).status(), "no positive example"));
  CHECK(Says(Compute(BinarySums(), 0.9).status(), "no positive example"));
  CHECK(Says(ExactAuroc({0.3}, {true}).status(), "no negative example"));
  CHECK_FALSE(ExactAuroc({0.3}, {true, false}).ok());
  CHECK_FALSE(ExactAuroc({std::nan(""), 0.1}, {true, false}).ok());
}

TEST_CASE("fewer than ten positives or negatives are too few to show") {
  Examples examples;
  for (int i = 0; i < 10; ++i) examples.Add(0.6, true);
  for (int i = 0; i < 9; ++i) examples.Add(0.4, false);
  CHECK_FALSE(LargeEnoughToShow(SumsOf(examples)));
  examples.Add(0.4, false);
  CHECK(LargeEnoughToShow(SumsOf(examples)));
}

TEST_CASE("sums that cannot be are refused") {
  SeededRandom random(16);
  const BinarySums good = SumsOf(RandomExamples(random, 0, 200));
  REQUIRE(Check(good).ok());
  REQUIRE(Check(BinarySums()).ok());
  const auto refused = [&](auto change, std::string_view words) {
    BinarySums sums = good;
    change(sums);
    const absl::Status status = Check(sums);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(status, words));
    CHECK(Compute(sums, 0.9).status() == status);
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  refused([](BinarySums& s) { s.positives.pop_back(); }, "4095 and 4096 bins");
  refused([](BinarySums& s) { s.negatives.clear(); }, "4096 and 0 bins");
  refused([](BinarySums& s) { ++s.positives[7]; }, "count different examples");
  refused([](BinarySums& s) { ++s.calibration_count[0]; }, "count different examples");
  refused(
      [](BinarySums& s) {
        s.positives[0] = ~0ull;
        s.positives[1] = 1;
      },
      "more than 2^48");
  refused([](BinarySums& s) { s.calibration_count[0] += ~0ull; }, "count different examples");
  refused([](BinarySums& s) { s.calibration_score[5] = 1e6; }, "calibration bin 5");
  refused([](BinarySums& s) { s.calibration_score[5] = -1; }, "calibration bin 5");
  refused([](BinarySums& s) { s.squared_error = -1; }, "squared error -1");
  refused([](BinarySums& s) { s.squared_error = kNan; }, "squared error");
  refused([](BinarySums& s) { s.squared_error = 201; }, "squared error 201 of 200");
  refused([](BinarySums& s) { s.log_loss = kInfinity; }, "log loss");
  refused([](BinarySums& s) { s.log_loss = -3; }, "log loss -3");
  refused([](BinarySums& s) { s.patients = 201; }, "201 patients with 200 examples");
  BinarySums swapped;
  for (int i = 0; i < 4; ++i) swapped.Add(0.35, i < 2);
  swapped.Add(0.95, false);
  swapped.calibration_positives = {};
  swapped.calibration_positives[9] = 2;
  CHECK(Says(Check(swapped), "more positives than examples"));
}

}  // namespace
}  // namespace consilium::metrics
