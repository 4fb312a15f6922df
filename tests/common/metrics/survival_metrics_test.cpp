#include "common/metrics/survival_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

// 1 of a concordant pair, 1/2 of a tie, 0; nothing when the pair cannot be compared. As Harrell et
// al. 1982 say it, pair by pair.
std::optional<double> Compare(const Survivor& a, const Survivor& b) {
  const auto died_first = [](const Survivor& one, const Survivor& other) {
    return one.event && (one.days < other.days || (one.days == other.days && !other.event));
  };
  if (!died_first(a, b) && !died_first(b, a)) return std::nullopt;
  if (a.risk == b.risk) return 0.5;
  return (died_first(a, b) ? a.risk > b.risk : b.risk > a.risk) ? 1.0 : 0.0;
}

// With a weight for each patient.
double DirectConcordance(const std::vector<Survivor>& patients,
                         const std::vector<double>& weights) {
  double concordant = 0, comparable = 0;
  for (std::size_t i = 0; i < patients.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto right = Compare(patients[i], patients[j]);
      if (!right) continue;
      concordant += *right * weights[i] * weights[j];
      comparable += weights[i] * weights[j];
    }
  }
  return concordant / comparable;
}

// Few distinct times and risks when coarse: many ties of every kind.
std::vector<Survivor> RandomPatients(SeededRandom& random, int count, bool coarse,
                                     double effect = 1) {
  std::vector<Survivor> patients;
  for (int i = 0; i < count; ++i) {
    double risk = random.Normal();
    if (coarse) risk = std::round(risk * 2) / 2;
    const double until_event = -1000 * std::log(1 - random.Uniform()) * std::exp(-effect * risk);
    const double until_censored = 2000 * random.Uniform();
    double days = std::min(until_event, until_censored);
    if (coarse) days = std::floor(days / 200) * 200;
    patients.push_back({days, until_event <= until_censored, risk});
  }
  return patients;
}

SurvivalMetrics MetricsOf(const SurvivalSums& sums) {
  const auto metrics = Compute(sums);
  INFO(metrics.status().ToString());
  REQUIRE(metrics.ok());
  return *metrics;
}

// Weeks of remission of 42 children with acute leukaemia, 6-mercaptopurine against placebo
// (Freireich et al. 1963), as in every textbook.
std::vector<Survivor> Mercaptopurine() {
  std::vector<Survivor> patients;
  for (const int week : {6, 6, 6, 7, 10, 13, 16, 22, 23})
    patients.push_back({week * 7.0, true, -1});
  for (const int week : {6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35}) {
    patients.push_back({week * 7.0, false, -1});
  }
  return patients;
}
std::vector<Survivor> Placebo() {
  std::vector<Survivor> patients;
  for (const int week : {1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23}) {
    patients.push_back({week * 7.0, true, 1});
  }
  return patients;
}
std::vector<Survivor> Together(std::vector<Survivor> a, const std::vector<Survivor>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_CASE("bins of time and risk are in order and cover what there is") {
  CHECK(TimeBin(0) == 0);
  CHECK(TimeBin(kMostDays) == kTimeBins - 1);
  CHECK(TimeBin(1e9) == kTimeBins - 1);
  CHECK(TimeBinLowerEdge(0) == 0);
  CHECK(TimeBinLowerEdge(kTimeBins) == Approx(kMostDays));
  for (int bin = 0; bin < kTimeBins; ++bin) {
    REQUIRE(TimeBin((TimeBinLowerEdge(bin) + TimeBinLowerEdge(bin + 1)) / 2) == bin);
  }
  CHECK(RiskBin(-100) == 0);
  CHECK(RiskBin(100) == kRiskBins - 1);
  CHECK(RiskBin(0) == kRiskBins / 2);
  CHECK(RiskBin(-1e-9) == kRiskBins / 2 - 1);
  for (int bin = 0; bin < kRiskBins; ++bin) REQUIRE(RiskBin(RiskBinCentre(bin)) == bin);
}

TEST_CASE("concordance of a few patients is as worked out by hand") {
  // Dead at 1 with the highest risk, at 3 with the lowest; censored at 2 and 4.
  const std::vector<Survivor> patients = {{1, true, 2}, {2, false, 1}, {3, true, 0}, {4, false, 1}};
  // Comparable: (1,2), (1,3), (1,4) right; (3,4) wrong.
  CHECK(ExactConcordance(patients).value() == 0.75);
  // A tie in time: who is censored then has outlived; two events then are not compared.
  CHECK(ExactConcordance(std::vector<Survivor>{{5, true, 1}, {5, false, 0}}).value() == 1);
  CHECK(ExactConcordance(std::vector<Survivor>{{5, true, 1}, {6, false, 1}}).value() == 0.5);
  const auto none = ExactConcordance(std::vector<Survivor>{{5, true, 1}, {5, true, 0}}).status();
  CHECK(none.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_FALSE(ExactConcordance(std::vector<Survivor>{{5, true, std::nan("")}}).ok());
  CHECK_FALSE(ExactConcordance(std::vector<Survivor>{{-1, true, 0}}).ok());
}

TEST_CASE("concordance is that of every pair, with ties and censoring") {
  const std::uint64_t seed = 51;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (int trial = 0; trial < 40; ++trial) {
    CAPTURE(trial);
    const auto patients =
        RandomPatients(random, static_cast<int>(20 + random.Below(80)), trial % 2 == 0);
    const std::vector<double> ones(patients.size(), 1.0);
    const double direct = DirectConcordance(patients, ones);
    CHECK(ExactConcordance(patients).value() == Approx(direct).epsilon(1e-12));
    const SurvivalSums sums = SurvivalSums::Of(patients);
    CHECK(Check(sums).ok());
    CHECK(MetricsOf(sums).concordance == Approx(direct).epsilon(1e-12));
    CHECK(sums.patients == patients.size());
    CHECK(sums.Count() == patients.size());
  }
}

TEST_CASE("the interval is the infinitesimal jackknife's on the logit scale") {
  const std::uint64_t seed = 52;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const bool coarse : {false, true}) {
    const auto patients = RandomPatients(random, 60, coarse);
    std::vector<double> weights(patients.size(), 1.0);
    const double concordance = DirectConcordance(patients, weights);
    double variance = 0;
    for (double& weight : weights) {
      constexpr double kStep = 1e-4;
      weight = 1 + kStep;
      const double more = DirectConcordance(patients, weights);
      weight = 1 - kStep;
      const double less = DirectConcordance(patients, weights);
      weight = 1;
      variance += std::pow((more - less) / (2 * kStep), 2);
    }
    const double logit = std::log(concordance / (1 - concordance));
    const double half = 1.959964 * std::sqrt(variance) / (concordance * (1 - concordance));
    const auto m = MetricsOf(SurvivalSums::Of(patients));
    CHECK(m.concordance_95.low == Approx(1 / (1 + std::exp(half - logit))).epsilon(1e-5));
    CHECK(m.concordance_95.high == Approx(1 / (1 + std::exp(-half - logit))).epsilon(1e-5));
  }
}

TEST_CASE("about 95 of 100 intervals hold the true concordance") {
  const std::uint64_t seed = 53;
  CAPTURE(seed);
  SeededRandom random(seed);
  const double truth = ExactConcordance(RandomPatients(random, 50'000, false)).value();
  int held = 0;
  for (int trial = 0; trial < 300; ++trial) {
    // Three sites, whose pairs are their own.
    SurvivalSums pooled;
    for (int site = 0; site < 3; ++site) {
      pooled += SurvivalSums::Of(RandomPatients(random, 40, false));
    }
    const Interval interval = MetricsOf(pooled).concordance_95;
    held += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  CHECK(held >= 273);  // 0.91
  CHECK(held <= 297);
}

TEST_CASE("sites' sums add up to pairs within sites, and histograms of all") {
  const std::uint64_t seed = 54;
  CAPTURE(seed);
  SeededRandom random(seed);
  const auto a = RandomPatients(random, 70, false), b = RandomPatients(random, 50, false);
  SurvivalSums pooled = SurvivalSums::Of(a);
  pooled += SurvivalSums::Of(b);
  const SurvivalSums whole = SurvivalSums::Of(Together(a, b));
  CHECK(pooled.events == whole.events);
  CHECK(pooled.censored == whole.censored);
  CHECK(pooled.patients == 120);
  const SurvivalSums of_a = SurvivalSums::Of(a), of_b = SurvivalSums::Of(b);
  CHECK(pooled.comparable == of_a.comparable + of_b.comparable);
  CHECK(pooled.comparable < whole.comparable);
  CHECK(Check(pooled).ok());
  CHECK(MetricsOf(pooled).pooled_concordance == MetricsOf(whole).pooled_concordance);
}

TEST_CASE("the pooled concordance from the histogram is close to that of every pair") {
  const std::uint64_t seed = 55;
  CAPTURE(seed);
  SeededRandom random(seed);
  const auto patients = RandomPatients(random, 4000, false);
  const auto m = MetricsOf(SurvivalSums::Of(patients));
  CHECK(*m.pooled_concordance == Approx(ExactConcordance(patients).value()).margin(0.01));
  CHECK(m.concordance > 0.7);
}

TEST_CASE("the log-rank test of the 6-mercaptopurine trial gives the textbook's 16.79") {
  const std::vector<std::vector<Survivor>> groups = {Mercaptopurine(), Placebo()};
  const LogRank test = LogRankTest(groups);
  CHECK(test.chi2 == Approx(16.79).margin(0.005));
  CHECK(test.degrees_of_freedom == 1);
  CHECK(test.p == Approx(4.17e-5).epsilon(0.01));
}

TEST_CASE("from the sums the 6-mercaptopurine trial shows nearly the same curves and test") {
  const auto m = MetricsOf(SurvivalSums::Of(Together(Mercaptopurine(), Placebo())));
  CHECK(m.events == 30);
  CHECK(m.degrees_of_freedom == 1);
  CHECK(m.log_rank_chi2 == Approx(16.79).margin(1.0));
  REQUIRE(m.by_risk.size() == 3);
  CHECK(m.by_risk[1].empty());  // risks are two values only
  const auto at = [](const std::vector<SurvivalMetrics::Point>& curve, double days) {
    double survival = 1;
    for (const auto& point : curve) {
      if (point.days <= days) survival = point.survival;
    }
    return survival;
  };
  // Kaplan and Meier's of the treated: 0.857 at 6 weeks, 0.690 from week 13 on.
  CHECK(at(m.by_risk[0], 48.9) == Approx(0.857).margin(0.06));
  CHECK(at(m.by_risk[0], 110) == Approx(0.690).margin(0.03));
  // Of the placebo, without censoring exactly the share left: 8 of 21 after week 8, 12 after 5.
  CHECK(at(m.by_risk[2], 70) == Approx(8.0 / 21));
  CHECK(m.by_risk[2].front().survival == 1);
  CHECK(m.by_risk[2].front().at_risk == 21);
  for (const auto& point : m.by_risk[2]) CHECK(point.at_risk >= kSmallCount);
}

TEST_CASE("the log-rank test of three groups does not depend on their order") {
  const std::uint64_t seed = 56;
  CAPTURE(seed);
  SeededRandom random(seed);
  const auto a = RandomPatients(random, 60, true), b = RandomPatients(random, 50, true),
             c = RandomPatients(random, 40, false, 3);
  const LogRank one = LogRankTest(std::vector{a, b, c});
  const LogRank other = LogRankTest(std::vector{c, a, b});
  CHECK(one.degrees_of_freedom == 2);
  CHECK(one.chi2 == Approx(other.chi2).epsilon(1e-9));
  CHECK(one.p == Approx(std::exp(-one.chi2 / 2)));
  // A group of nobody is none.
  const LogRank two = LogRankTest(std::vector{a, {}, b});
  CHECK(two.degrees_of_freedom == 1);
  CHECK(two.chi2 == Approx(LogRankTest(std::vector{a, b}).chi2));
  CHECK(LogRankTest(std::vector{a, {}, {}}).degrees_of_freedom == 0);
}

TEST_CASE("groups that do not differ have p below 0.05 about every twentieth time") {
  const std::uint64_t seed = 57;
  CAPTURE(seed);
  SeededRandom random(seed);
  int significant = 0;
  for (int trial = 0; trial < 400; ++trial) {
    significant += LogRankTest(std::vector{RandomPatients(random, 40, false),
                                           RandomPatients(random, 40, false),
                                           RandomPatients(random, 40, false)})
                               .p < 0.05
                       ? 1
                       : 0;
  }
  CHECK(significant >= 8);
  CHECK(significant <= 36);
}

TEST_CASE("curves separate by risk, and risks that mean something lower the Brier score") {
  const std::uint64_t seed = 58;
  CAPTURE(seed);
  SeededRandom random(seed);
  auto patients = RandomPatients(random, 3000, false);
  const auto good = MetricsOf(SurvivalSums::Of(patients));
  REQUIRE(good.by_risk.size() == 3);
  for (const auto& curve : good.by_risk) {
    REQUIRE(curve.size() > 5);
    for (std::size_t i = 1; i < curve.size(); ++i) {
      REQUIRE(curve[i].survival <= curve[i - 1].survival);
      REQUIRE(curve[i].days > curve[i - 1].days);
    }
  }
  CHECK(good.by_risk[0].back().survival > good.by_risk[2].back().survival + 0.3);
  CHECK(good.degrees_of_freedom == 2);
  CHECK(good.log_rank_p < 1e-9);
  REQUIRE(good.integrated_brier.has_value());
  CHECK(*good.integrated_brier < *good.integrated_brier_without_risks - 0.03);

  for (auto& patient : patients) patient.risk *= 3;  // the same order, but far too sure
  const auto sure = MetricsOf(SurvivalSums::Of(patients));
  CHECK(sure.concordance == Approx(good.concordance).epsilon(1e-12));
  CHECK(*sure.integrated_brier > *good.integrated_brier + 0.01);

  for (auto& patient : patients) patient.risk = random.Normal();  // of nothing
  const auto useless = MetricsOf(SurvivalSums::Of(patients));
  CHECK(*useless.integrated_brier > *useless.integrated_brier_without_risks);
  CHECK(*useless.integrated_brier_without_risks ==
        Approx(*good.integrated_brier_without_risks).epsilon(1e-9));
}

TEST_CASE("without censoring the Brier score without risks is the variance of who is alive") {
  // All in different bins: the area below S (1 - S), by trapezoids between the bins' ends.
  std::vector<Survivor> patients;
  for (int i = 0; i < 20; ++i) {
    patients.push_back({(TimeBinLowerEdge(20 + i) + TimeBinLowerEdge(21 + i)) / 2, true, 0.01 * i});
  }
  const auto m = MetricsOf(SurvivalSums::Of(patients));
  double area = 0, before = 0;
  const int last = 30;  // ten are alive when bin 30 begins
  for (int bin = 0; bin <= last; ++bin) {
    const double alive = bin < 20 ? 1 : 1 - (bin - 19) / 20.0;
    const double now = alive * (1 - alive);
    area += (TimeBinLowerEdge(bin + 1) - TimeBinLowerEdge(bin)) * (before + now) / 2;
    before = now;
  }
  CHECK(*m.integrated_brier_without_risks ==
        Approx(area / TimeBinLowerEdge(last + 1)).epsilon(1e-9));
}

TEST_CASE("a site of one patient, of no event and of only events have sane results") {
  CHECK(Says(Compute(SurvivalSums::Of(std::vector<Survivor>{{10, true, 1}})).status(),
             "of no two patients"));
  const std::vector<Survivor> alive(30, Survivor{100, false, 0.5});
  const auto status = Compute(SurvivalSums::Of(alive)).status();
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(status, "no event"));
  CHECK_FALSE(Compute(SurvivalSums()).ok());
  std::vector<Survivor> dead;
  for (int i = 1; i < 40; ++i) dead.push_back({i * 30.0, true, -0.1 * i});
  const auto m = MetricsOf(SurvivalSums::Of(dead));
  CHECK(m.concordance == 1);
  CHECK(m.concordance_95.low < 0.95);
  CHECK(m.concordance_95.high == Approx(1));
  // Equal risks say nothing.
  for (auto& patient : dead) patient.risk = 7;
  const auto equal = MetricsOf(SurvivalSums::Of(dead));
  CHECK(equal.concordance == 0.5);
  CHECK(equal.concordance_95.low < 0.45);
  CHECK(equal.degrees_of_freedom == 0);
  CHECK(equal.log_rank_p == 1);
}

TEST_CASE("sums of survival that cannot be are refused") {
  SeededRandom random(59);
  const SurvivalSums good = SurvivalSums::Of(RandomPatients(random, 100, false));
  REQUIRE(Check(good).ok());
  REQUIRE(Check(SurvivalSums()).ok());
  const auto refused = [&](auto change, std::string_view words) {
    SurvivalSums sums = good;
    change(sums);
    const absl::Status status = Check(sums);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(status, words));
    CHECK(Compute(sums).status() == status);
  };
  refused([](auto& s) { s.events.pop_back(); }, "cells, not");
  refused([](auto& s) { s.censored[3] = ~0ull; }, "more than 2^48");
  refused([](auto& s) { s.patients = 101; }, "101 patients with 100 examples");
  refused([](auto& s) { s.concordant_halves = 2 * s.comparable + 1; }, "concordant halves");
  refused([](auto& s) { s.comparable = 100 * 100; }, "concordant halves");
  refused([](auto& s) { s.comparable = ~0ull; }, "concordant halves");
  refused([](auto& s) { s.pairs_squared = 1; }, "squares");
  refused([](auto& s) { s.pairs_squared *= 100; }, "squares");
  refused([](auto& s) { s.halves_squared = 0; }, "squares");
  refused([](auto& s) { s.halves_by_pairs *= 3; }, "squares");
}

}  // namespace
}  // namespace consilium::metrics
