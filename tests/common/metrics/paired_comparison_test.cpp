#include "common/metrics/paired_comparison.h"

#include <cmath>
#include <numeric>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

// 43 patients with ovarian cancer and an intestinal obstruction, three tests of who will benefit
// from surgery: the example of DeLong, DeLong and Clarke-Pearson 1988, as in SAS/STAT's
// documentation of PROC LOGISTIC, where the values checked below are from.
struct Patient {
  double albumin, protein, kg_score;
  bool popind;
};
const std::vector<Patient>& OvarianCancer() {
  static const std::vector<Patient> patients = {
      {3.0, 5.8, 10, 0}, {3.2, 6.3, 5, 1}, {3.9, 6.8, 3, 1}, {2.8, 4.8, 6, 0}, {3.2, 5.8, 3, 1},
      {0.9, 4.0, 5, 0},  {2.5, 5.7, 8, 0}, {1.6, 5.6, 5, 1}, {3.8, 5.7, 5, 1}, {3.7, 6.7, 6, 1},
      {3.2, 5.4, 4, 1},  {3.8, 6.6, 6, 1}, {4.1, 6.6, 5, 1}, {3.6, 5.7, 5, 1}, {4.3, 7.0, 4, 1},
      {3.6, 6.7, 4, 0},  {2.3, 4.4, 6, 1}, {4.2, 7.6, 4, 0}, {4.0, 6.6, 6, 0}, {3.5, 5.8, 6, 1},
      {3.8, 6.8, 7, 1},  {3.0, 4.7, 8, 0}, {4.5, 7.4, 5, 1}, {3.7, 7.4, 5, 1}, {3.1, 6.6, 6, 1},
      {4.1, 8.2, 6, 1},  {4.3, 7.0, 5, 1}, {4.3, 6.5, 4, 1}, {3.2, 5.1, 5, 1}, {2.6, 4.7, 6, 1},
      {3.3, 6.8, 6, 0},  {1.7, 4.0, 7, 0}, {3.7, 6.1, 5, 1}, {3.3, 6.3, 7, 1}, {4.2, 7.7, 6, 1},
      {3.5, 6.2, 5, 1},  {2.9, 5.7, 9, 0}, {2.1, 4.8, 7, 1}, {2.8, 6.2, 8, 0}, {4.0, 7.0, 7, 1},
      {3.3, 5.7, 6, 1},  {3.7, 6.9, 5, 1}, {3.6, 6.6, 5, 1}};
  return patients;
}

std::vector<double> Column(double Patient::*column, double sign) {
  std::vector<double> values;
  for (const Patient& patient : OvarianCancer()) values.push_back(sign * patient.*column);
  return values;
}

std::vector<bool> Targets() {
  std::vector<bool> targets;
  for (const Patient& patient : OvarianCancer()) targets.push_back(!patient.popind);
  return targets;
}

TEST_CASE("DeLong's test gives the published values of the ovarian cancer example") {
  const auto kg = Column(&Patient::kg_score, 1), albumin = Column(&Patient::albumin, -1),
             protein = Column(&Patient::protein, -1);
  const auto one = CompareAurocs(kg, albumin, Targets());
  REQUIRE(one.ok());
  CHECK(one->first == Approx(0.7258).margin(5e-5));
  CHECK(one->first_error == Approx(0.1028).margin(5e-5));
  CHECK(one->second == Approx(0.7366).margin(5e-5));
  CHECK(one->second_error == Approx(0.0927).margin(5e-5));
  CHECK(one->difference == Approx(0.0108).margin(5e-5));
  CHECK(one->difference_error == Approx(0.0953).margin(5e-5));
  CHECK(one->difference_95.low == Approx(-0.1761).margin(5e-5));
  CHECK(one->difference_95.high == Approx(0.1976).margin(5e-5));
  CHECK(one->z * one->z == Approx(0.0127).margin(5e-5));
  CHECK(one->p == Approx(0.9102).margin(5e-5));
  const auto other = CompareAurocs(kg, protein, Targets());
  REQUIRE(other.ok());
  CHECK(other->second == Approx(0.6478).margin(5e-5));
  CHECK(other->second_error == Approx(0.1000).margin(5e-5));
  CHECK(other->difference == Approx(-0.0780).margin(5e-5));
  CHECK(other->difference_error == Approx(0.1046).margin(5e-5));
  CHECK(other->p == Approx(0.4561).margin(5e-5));
}

TEST_CASE("a model compared with itself, or with the same order, does not differ") {
  const auto kg = Column(&Patient::kg_score, 1);
  std::vector<double> squared;
  for (const double score : kg) squared.push_back(score * score);
  const auto same = CompareAurocs(kg, squared, Targets());
  REQUIRE(same.ok());
  CHECK(same->difference == 0);
  CHECK(same->z == 0);
  CHECK(same->p == 1);
}

TEST_CASE("two equally good models differ at the 5 % level about every twentieth time") {
  const std::uint64_t seed = 71;
  CAPTURE(seed);
  SeededRandom random(seed);
  int significant = 0;
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<double> first, second;
    std::vector<bool> targets;
    for (int i = 0; i < 120; ++i) {
      targets.push_back(i % 3 == 0);
      const double shared = random.Normal() + (targets.back() ? 1 : 0);
      first.push_back(shared + random.Normal());
      second.push_back(shared + random.Normal());
    }
    significant += CompareAurocs(first, second, targets)->p < 0.05 ? 1 : 0;
  }
  CHECK(significant >= 12);
  CHECK(significant <= 42);
}

TEST_CASE("what cannot be compared is refused and says why") {
  const std::vector<double> three = {0.1, 0.2, 0.3}, four = {0.1, 0.2, 0.3, 0.4};
  CHECK(Says(CompareAurocs(three, three, {true, true, false}).status(), "on 2 and 1"));
  CHECK(CompareAurocs(three, four, {true, true, false, false}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK_FALSE(CompareAurocs(four, std::vector<double>{0.1, std::nan(""), 0.2, 0.3},
                            {true, true, false, false})
                  .ok());
  const std::vector<double> reversed = {0.4, 0.3, 0.2, 0.1};
  CHECK(Says(CompareAurocs(four, reversed, {true, true, false, false}).status(), "nothing varies"));
}

// ---- bootstrap

ExamplesMetric MeanOf(const std::vector<double>& values) {
  return [&values](std::span<const std::size_t> examples) -> std::optional<double> {
    double sum = 0;
    for (const std::size_t i : examples) sum += values[i];
    return sum / static_cast<double>(examples.size());
  };
}

TEST_CASE("the bootstrap's error of a mean is the known one, by patient and not by example") {
  const std::uint64_t seed = 72;
  CAPTURE(seed);
  SeededRandom random(seed);
  constexpr int kPatients = 100, kEach = 5;
  std::vector<double> values;
  std::vector<std::uint64_t> patients;
  double sum = 0, squares = 0;
  for (int p = 0; p < kPatients; ++p) {
    const double value = random.Normal();  // all of a patient's are the same
    sum += value;
    squares += value * value;
    values.insert(values.end(), kEach, value);
    patients.insert(patients.end(), kEach, 1000 - static_cast<std::uint64_t>(p));
  }
  const auto estimate = Bootstrap(patients, MeanOf(values), seed);
  REQUIRE(estimate.ok());
  const double mean = sum / kPatients;
  const double error = std::sqrt((squares / kPatients - mean * mean) / kPatients);
  CHECK(estimate->value == Approx(mean));
  CHECK(estimate->error == Approx(error).epsilon(0.06));
  CHECK(estimate->interval_95.low == Approx(mean - 1.96 * error).margin(0.2 * error));
  CHECK(estimate->interval_95.high == Approx(mean + 1.96 * error).margin(0.2 * error));
}

TEST_CASE("the same seed resamples the same patients, another one others") {
  SeededRandom random(73);
  std::vector<double> values;
  std::vector<std::uint64_t> patients;
  for (std::uint64_t i = 0; i < 30; ++i) {
    values.push_back(random.Normal());
    patients.push_back(i / 2);
  }
  const auto once = Bootstrap(patients, MeanOf(values), 5, 200);
  const auto again = Bootstrap(patients, MeanOf(values), 5, 200);
  const auto other = Bootstrap(patients, MeanOf(values), 6, 200);
  REQUIRE(once.ok());
  CHECK(once->interval_95.low == again->interval_95.low);
  CHECK(once->error == again->error);
  CHECK(once->error != other->error);
}

TEST_CASE("a paired comparison sees a small difference that unpaired intervals would hide") {
  const std::uint64_t seed = 74;
  CAPTURE(seed);
  SeededRandom random(seed);
  std::vector<double> first, second;
  std::vector<std::uint64_t> patients;
  for (std::uint64_t i = 0; i < 80; ++i) {
    first.push_back(random.Normal());
    second.push_back(first.back() + 0.1 + 0.1 * random.Normal());
    patients.push_back(i);
  }
  const auto result = CompareByBootstrap(patients, MeanOf(first), MeanOf(second), seed);
  REQUIRE(result.ok());
  CHECK(result->resamples == kBootstrapResamples);
  CHECK(result->difference.value == Approx(0.1).margin(0.04));
  CHECK(result->difference.interval_95.low > 0);
  CHECK(result->p < 0.002);
  CHECK(result->p >= 1.0 / (kBootstrapResamples + 1));
  CHECK(result->first.interval_95.high > result->second.interval_95.low);
  const auto same = CompareByBootstrap(patients, MeanOf(first), MeanOf(first), seed);
  CHECK(same->p == 1);
  CHECK(same->difference.error == 0);
}

TEST_CASE("a metric that some resamples do not define is judged on the others") {
  // Defined when patient 0 was drawn: in about 63 of 100 resamples.
  const ExamplesMetric sometimes = [](std::span<const std::size_t> examples) {
    for (const std::size_t i : examples) {
      if (i == 0) return std::optional<double>(1.0);
    }
    return std::optional<double>();
  };
  std::vector<std::uint64_t> patients(50);
  std::iota(patients.begin(), patients.end(), std::uint64_t{0});
  const auto result = CompareByBootstrap(patients, sometimes, sometimes, 1);
  REQUIRE(result.ok());
  CHECK(result->resamples > 1150);
  CHECK(result->resamples < 1380);
  const ExamplesMetric rarely = [](std::span<const std::size_t> examples) {
    return examples[0] == 0 ? std::optional<double>(1.0) : std::nullopt;
  };
  CHECK(Says(Bootstrap(patients, rarely, 1).status(), "of 2000 resamples"));
  const ExamplesMetric never = [](std::span<const std::size_t>) { return std::optional<double>(); };
  CHECK(Says(Bootstrap(patients, never, 1).status(), "not defined of these"));
  CHECK(Says(Bootstrap(std::vector<std::uint64_t>(9, 4), sometimes, 1).status(), "not 1"));
  CHECK(Bootstrap(patients, sometimes, 1, 99).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("bootstrap and DeLong agree on independent examples") {
  const auto kg = Column(&Patient::kg_score, 1), albumin = Column(&Patient::albumin, -1);
  const auto targets = Targets();
  const auto auroc_of = [&](const std::vector<double>& scores) -> ExamplesMetric {
    return [&](std::span<const std::size_t> examples) -> std::optional<double> {
      std::vector<double> drawn;
      std::vector<bool> drawn_targets;
      for (const std::size_t i : examples) {
        drawn.push_back(scores[i]);
        drawn_targets.push_back(targets[i]);
      }
      const auto auroc = ExactAuroc(drawn, drawn_targets);
      if (!auroc.ok()) return std::nullopt;
      return *auroc;
    };
  };
  std::vector<std::uint64_t> patients(targets.size());
  std::iota(patients.begin(), patients.end(), std::uint64_t{0});
  const auto result = CompareByBootstrap(patients, auroc_of(kg), auroc_of(albumin), 3);
  REQUIRE(result.ok());
  CHECK(result->difference.value == Approx(0.0108).margin(5e-5));
  CHECK(result->difference.error == Approx(0.0953).epsilon(0.1));
  CHECK(result->p > 0.8);
}

}  // namespace
}  // namespace consilium::metrics
