#include "common/metrics/multiclass_metrics.h"

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

// Sums whose confusion is as given: who is called what is sure of it.
MulticlassSums SumsOf(const std::vector<std::vector<int>>& confusion) {
  const auto classes = static_cast<std::uint32_t>(confusion.size());
  MulticlassSums sums(classes);
  for (std::uint32_t truth = 0; truth < classes; ++truth) {
    for (std::uint32_t called = 0; called < classes; ++called) {
      std::vector<float> probabilities(classes, 0.0f);
      probabilities[called] = 1;
      for (int i = 0; i < confusion[truth][called]; ++i) sums.Add(probabilities, truth);
    }
  }
  sums.patients = sums.Count();
  return sums;
}

MulticlassMetrics MetricsOf(const MulticlassSums& sums) {
  const auto metrics = Compute(sums);
  INFO(metrics.status().ToString());
  REQUIRE(metrics.ok());
  return *metrics;
}

struct Examples {
  std::vector<std::vector<float>> probabilities;
  std::vector<std::uint32_t> truths;
};

Examples RandomExamples(SeededRandom& random, std::uint32_t classes, int count) {
  Examples examples;
  for (int i = 0; i < count; ++i) {
    const auto truth = static_cast<std::uint32_t>(random.Below(classes));
    std::vector<double> logits(classes);
    double total = 0;
    for (std::uint32_t c = 0; c < classes; ++c) {
      logits[c] = std::exp(random.Normal() + (c == truth ? 1 : 0));
      total += logits[c];
    }
    auto& probabilities = examples.probabilities.emplace_back();
    for (const double logit : logits) probabilities.push_back(static_cast<float>(logit / total));
    examples.truths.push_back(truth);
  }
  return examples;
}

MulticlassSums SumsOf(const Examples& examples, std::uint32_t classes) {
  MulticlassSums sums(classes);
  for (std::size_t i = 0; i < examples.truths.size(); ++i) {
    sums.Add(examples.probabilities[i], examples.truths[i]);
  }
  sums.patients = examples.truths.size();
  return sums;
}

TEST_CASE("Cohen's kappa has the values of the textbook's tables") {
  CHECK(MetricsOf(SumsOf({{20, 5}, {10, 15}})).kappa == Approx(0.4));
  CHECK(MetricsOf(SumsOf({{45, 15}, {25, 15}})).kappa == Approx(0.1304).margin(5e-5));
  CHECK(MetricsOf(SumsOf({{25, 35}, {5, 35}})).kappa == Approx(0.2593).margin(5e-5));
}

TEST_CASE("quadratic weights forgive a neighbouring class more than a distant one") {
  const auto near = MetricsOf(SumsOf({{2, 1, 0}, {1, 2, 0}, {0, 0, 3}}));
  CHECK(near.kappa == Approx(1 - 2.0 / 6));
  CHECK(near.quadratic_kappa == Approx(1 - 2.0 / 12));
  const auto far = MetricsOf(SumsOf({{2, 0, 1}, {0, 3, 0}, {1, 0, 2}}));
  CHECK(far.kappa == Approx(near.kappa));
  CHECK(far.quadratic_kappa == Approx(1 - 8.0 / 12));
  const auto two = MetricsOf(SumsOf({{20, 5}, {10, 15}}));
  CHECK(two.quadratic_kappa == Approx(two.kappa));
}

TEST_CASE("accuracy, sensitivity and precision are those of the confusion worked out by hand") {
  const auto m = MetricsOf(SumsOf({{8, 2, 0}, {1, 4, 0}, {0, 5, 0}}));
  CHECK(m.examples == 20);
  CHECK(m.accuracy == Approx(12.0 / 20));
  CHECK(m.balanced_accuracy == Approx((0.8 + 0.8 + 0.0) / 3));
  REQUIRE(m.classes.size() == 3);
  CHECK(m.classes[0]->sensitivity == Approx(0.8));
  CHECK(m.classes[0]->precision == Approx(8.0 / 9));
  CHECK(m.classes[1]->precision == Approx(4.0 / 11));
  CHECK(m.classes[2]->precision == 0);  // never predicted
  CHECK(m.classes[2]->positives == 5);
  // Wilson's interval of 12 of 20, published as 0.387 to 0.781.
  CHECK(m.accuracy_95.low == Approx(0.387).margin(5e-4));
  CHECK(m.accuracy_95.high == Approx(0.781).margin(5e-4));
}

TEST_CASE("losses are of the true class and of all classes") {
  MulticlassSums sums(3);
  sums.Add(std::vector<float>{0.5f, 0.25f, 0.25f}, 0);
  sums.Add(std::vector<float>{0.5f, 0.5f, 0.0f}, 2);
  sums.patients = 1;
  const auto m = MetricsOf(sums);
  CHECK(m.log_loss == Approx((-std::log(0.5) - std::log(1e-7)) / 2));
  CHECK(m.brier == Approx((0.25 + 0.0625 + 0.0625 + 0.25 + 0.25 + 1) / 2));
  CHECK(m.accuracy == 0.5);
  CHECK(m.confusion == std::vector<std::uint64_t>{1, 0, 0, 0, 0, 0, 1, 0, 0});  // first of equals
}

TEST_CASE("each class against the rest has the exact AUROC within its bound") {
  const std::uint64_t seed = 21;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (int trial = 0; trial < 20; ++trial) {
    const auto classes = static_cast<std::uint32_t>(2 + random.Below(5));
    CAPTURE(trial, classes);
    const Examples examples = RandomExamples(random, classes, 200);
    const auto m = MetricsOf(SumsOf(examples, classes));
    double mean = 0;
    for (std::uint32_t c = 0; c < classes; ++c) {
      std::vector<double> scores;
      std::vector<bool> targets;
      for (std::size_t i = 0; i < examples.truths.size(); ++i) {
        scores.push_back(examples.probabilities[i][c]);
        targets.push_back(examples.truths[i] == c);
      }
      const double exact = ExactAuroc(scores, targets).value();
      CHECK(std::abs(m.classes[c]->auroc - exact) <= m.classes[c]->auroc_error_bound + 1e-12);
      CHECK(m.classes[c]->auroc_error_bound < 0.02);
      CHECK(m.classes[c]->auroc_95.low < m.classes[c]->auroc);
      mean += m.classes[c]->auroc / classes;
    }
    CHECK(m.auroc == Approx(mean));
    CHECK(m.auroc_95.low < m.auroc);
    CHECK(m.auroc_95.high > m.auroc);
  }
}

TEST_CASE("a class that nobody has is left out of the means, a single class is refused") {
  const auto m = MetricsOf(SumsOf({{5, 0, 0}, {0, 3, 2}, {0, 0, 0}}));
  CHECK_FALSE(m.classes[2].has_value());
  CHECK(m.balanced_accuracy == Approx((1 + 0.6) / 2));
  CHECK(m.auroc == Approx((m.classes[0]->auroc + m.classes[1]->auroc) / 2));
  const auto one = Compute(SumsOf({{5, 0}, {0, 0}})).status();
  CHECK(one.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(one, "of one class"));
  CHECK(Says(Compute(MulticlassSums(4)).status(), "no example"));
}

TEST_CASE("a perfect classifier gets an interval that is not a point") {
  const auto m = MetricsOf(SumsOf({{10, 0}, {0, 10}}));
  CHECK(m.auroc == 1);
  CHECK(m.auroc_95.low == Approx(10 / (10 + 3.841459)));
  CHECK(m.kappa == 1);
  CHECK(m.accuracy_95.low < 0.9);
}

TEST_CASE("the sums of any split of several classes are the sum of the whole") {
  const std::uint64_t seed = 22;
  CAPTURE(seed);
  SeededRandom random(seed);
  const Examples examples = RandomExamples(random, 4, 500);
  std::vector<MulticlassSums> sites(3, MulticlassSums(4));
  for (std::size_t i = 0; i < examples.truths.size(); ++i) {
    MulticlassSums& site = sites[random.Below(sites.size())];
    site.Add(examples.probabilities[i], examples.truths[i]);
    ++site.patients;
  }
  MulticlassSums pooled(4);
  for (const auto& site : sites) pooled += site;
  const MulticlassSums whole = SumsOf(examples, 4);
  CHECK(pooled.scores == whole.scores);
  CHECK(pooled.confusion == whole.confusion);
  CHECK(pooled.patients == whole.patients);
  CHECK(pooled.log_loss == Approx(whole.log_loss).epsilon(1e-12));
  CHECK(pooled.squared_error == Approx(whole.squared_error).epsilon(1e-12));
}

TEST_CASE("sums of several classes that cannot be are refused") {
  SeededRandom random(23);
  const MulticlassSums good = SumsOf(RandomExamples(random, 3, 100), 3);
  REQUIRE(Check(good).ok());
  REQUIRE(Check(MulticlassSums(2)).ok());
  const auto refused = [&](auto change, std::string_view words) {
    MulticlassSums sums = good;
    change(sums);
    const absl::Status status = Check(sums);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(status, words));
    CHECK(Compute(sums).status() == status);
  };
  refused([](auto& s) { s.classes = 1; }, "1 classes");
  refused([](auto& s) { s.classes = 4; }, "not of 4 classes");
  refused([](auto& s) { s.confusion.pop_back(); }, "not of 3 classes");
  refused([](auto& s) { s.scores[1].negatives.pop_back(); }, "512 and 511 bins");
  refused([](auto& s) { ++s.scores[2].positives[0]; }, "class 2 and the confusion count different");
  refused([](auto& s) { ++s.confusion[3]; }, "count different");
  refused([](auto& s) { s.confusion[0] = ~0ull; }, "more than 2^48");
  refused([](auto& s) { s.scores[0].negatives[0] += ~0ull; }, "count different");
  refused([](auto& s) { s.squared_error = 300; }, "squared error 300 of 100");
  refused([](auto& s) { s.log_loss = std::numeric_limits<double>::quiet_NaN(); }, "log loss");
  refused([](auto& s) { s.log_loss = -1; }, "log loss -1");
  refused([](auto& s) { s.patients = 101; }, "101 patients with 100 examples");
}

// ---- several labels

BinarySums LabelOf(int positives, int negatives, double shift = 0.2) {
  BinarySums sums;
  for (int i = 0; i < positives; ++i) sums.Add(0.3 + shift + 0.4 * i / (positives + 1), true);
  for (int i = 0; i < negatives; ++i) sums.Add(0.3 + 0.4 * i / (negatives + 1), false);
  sums.patients = sums.Count();
  return sums;
}

TEST_CASE("the mean of several labels is of those with enough positives and negatives") {
  MultilabelSums sums(4);
  sums.labels = {LabelOf(20, 30), LabelOf(15, 40, 0.0), LabelOf(9, 60), LabelOf(0, 60)};
  sums.patients = 60;
  const auto m = Compute(sums, 0.9);
  REQUIRE(m.ok());
  CHECK(m->examples == 69);
  REQUIRE(m->labels[0].has_value());
  REQUIRE(m->labels[1].has_value());
  CHECK_FALSE(m->labels[2].has_value());
  CHECK_FALSE(m->labels[3].has_value());
  CHECK(m->auroc == Approx((m->labels[0]->auroc + m->labels[1]->auroc) / 2));
  CHECK(m->auroc_95.low < m->auroc);
  CHECK(m->auroc_95.high > m->auroc);
  CHECK(m->labels[0]->auroc == Compute(sums.labels[0], 0.9)->auroc);
  // The mean of two independent estimates is surer than the worse of them.
  CHECK(m->auroc_95.high - m->auroc_95.low <
        m->labels[1]->auroc_95.high - m->labels[1]->auroc_95.low);
}

TEST_CASE("when all labels are small, those with both outcomes count") {
  MultilabelSums sums(3);
  sums.labels = {LabelOf(3, 5), LabelOf(0, 5), LabelOf(2, 4)};
  const auto m = Compute(sums, 0.9);
  REQUIRE(m.ok());
  CHECK(m->labels[0].has_value());
  CHECK_FALSE(m->labels[1].has_value());
  CHECK(m->labels[2].has_value());
  sums.labels = {LabelOf(0, 5), LabelOf(3, 0), BinarySums()};
  const auto none = Compute(sums, 0.9).status();
  CHECK(none.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(none, "no label"));
}

TEST_CASE("sums of several labels that cannot be are refused, with the label") {
  MultilabelSums sums(2);
  sums.labels = {LabelOf(4, 4), LabelOf(3, 6)};
  sums.patients = 17;  // of each one label is known of one image
  CHECK(Check(sums).ok());
  sums.patients = 18;
  CHECK(Says(Check(sums), "18 patients with 17 known labels"));
  sums.patients = 8;
  ++sums.labels[1].positives[0];
  CHECK(Says(Check(sums), "label 1"));
  sums.labels.clear();
  CHECK(Says(Check(sums), "0 labels"));
}

}  // namespace
}  // namespace consilium::metrics
