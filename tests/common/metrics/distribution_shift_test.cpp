#include "common/metrics/distribution_shift.h"

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "common/metrics/mcnemar.h"
#include "tests/catch.h"

namespace consilium::metrics {
namespace {

std::vector<double> Normal(std::size_t count, double mean, double deviation, std::uint64_t seed) {
  SeededRandom random(seed, "shift");
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(mean + deviation * random.Normal());
  return values;
}

TEST_CASE("the distance of two samples is as by hand, ties and all") {
  std::vector<double> first(20, 1), second(20, 1);
  for (int i = 0; i < 5; ++i) second[static_cast<std::size_t>(i)] = 2;
  const Shift shift = CompareDistributions(first, second).value();
  CHECK(shift.distance == Approx(0.25));
  // root = sqrt(10), x = (3.1623 + 0.12 + 0.0348) / 4 = 0.82927; Kolmogorov's series there.
  CHECK(shift.p == Approx(0.4973).margin(0.001));
}

TEST_CASE(
    "the stability index of a sample with itself is nothing, and of moved deciles as by hand") {
  std::vector<double> first;
  for (int i = 0; i < 100; ++i) first.push_back(i);
  CHECK(CompareDistributions(first, first)->stability_index == Approx(0).margin(1e-12));
  // All in the last decile: nine bins of 0.5 / 105, one of 100.5 / 105, against 10.5 / 105 each.
  const std::vector<double> high(100, 99);
  const double low = 0.5 / 105, top = 100.5 / 105, even = 0.1;
  const double expected =
      9 * (low - even) * std::log(low / even) + (top - even) * std::log(top / even);
  CHECK(CompareDistributions(first, high)->stability_index == Approx(expected).epsilon(1e-9));
}

TEST_CASE("samples of one distribution are rarely called shifted, moved or wider ones are") {
  int alarms = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto shift =
        CompareDistributions(Normal(150, 0, 1, 2 * seed), Normal(60, 0, 1, 2 * seed + 1));
    alarms += IsShifted(*shift, 1);
  }
  INFO("false alarms of 200, seeds 0 to 399: " << alarms);
  CHECK(alarms <= 8);
  CHECK(IsShifted(*CompareDistributions(Normal(150, 0, 1, 1), Normal(60, 1, 1, 2)), 4));
  CHECK(IsShifted(*CompareDistributions(Normal(400, 0, 1, 1), Normal(400, 0, 2, 2)), 4));
}

TEST_CASE("too few patients, and what is no number, are not compared") {
  CHECK(absl::IsFailedPrecondition(
      CompareDistributions(Normal(19, 0, 1, 1), Normal(50, 0, 1, 2)).status()));
  std::vector<double> values = Normal(50, 0, 1, 1);
  values[3] = std::numeric_limits<double>::quiet_NaN();
  CHECK(absl::IsInvalidArgument(CompareDistributions(values, Normal(50, 0, 1, 2)).status()));
}

TEST_CASE("McNemar's exact test is the binomial's, and nothing to tell apart is no difference") {
  CHECK(McNemarTest(0, 0).p == 1);
  CHECK(McNemarTest(7, 7).p == 1);
  CHECK(McNemarTest(1, 9).p == Approx(2 * 11 / 1024.0));  // 1 + 10 of 2^10
  CHECK(McNemarTest(9, 1).p == Approx(2 * 11 / 1024.0));
  CHECK(McNemarTest(0, 5).p == Approx(2 / 32.0));
  CHECK(McNemarTest(40'000, 42'000).p < 1e-9);
}

}  // namespace
}  // namespace consilium::metrics
