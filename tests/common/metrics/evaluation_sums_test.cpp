#include "common/metrics/evaluation_sums.h"

#include <cmath>

#include "common/base/fixed_point.h"
#include "common/base/random.h"
#include "tests/catch.h"

namespace consilium::metrics {
namespace {

EvaluationSums SomeSums(std::uint64_t seed) {
  SeededRandom random(seed);
  EvaluationSums sums;
  for (int i = 0; i < 500; ++i) sums.sums.binary().Add(random.Uniform(), random.Chance(0.3));
  sums.sums.binary().patients = 300;
  sums.compared = 1;
  sums.worse = seed % 2;
  return sums;
}

TEST_CASE("Counts come back from the ring exactly, reals within the fixed point's step") {
  const EvaluationSums sums = SomeSums(1);
  const auto ring = ToRing(sums);
  REQUIRE(ring.size() == EvaluationRingSize({}));
  const auto back = FromRing(ring, {}, 1);
  REQUIRE(back.ok());
  CHECK(back->sums.binary().positives == sums.sums.binary().positives);
  CHECK(back->sums.binary().negatives == sums.sums.binary().negatives);
  CHECK(back->sums.binary().calibration_count == sums.sums.binary().calibration_count);
  CHECK(back->sums.binary().calibration_positives == sums.sums.binary().calibration_positives);
  CHECK(back->sums.binary().patients == 300);
  CHECK(back->compared == 1);
  CHECK(back->worse == 1);
  CHECK(std::abs(back->sums.binary().squared_error - sums.sums.binary().squared_error) <=
        kFixedPointUnit / 2);
  CHECK(std::abs(back->sums.binary().log_loss - sums.sums.binary().log_loss) <=
        kFixedPointUnit / 2);
}

TEST_CASE("Sums of rings are rings of sums, also through masks that cancel") {
  std::vector<std::uint64_t> total(EvaluationRingSize({}));
  BinarySums plain;
  SeededRandom random(7);
  std::vector<std::uint64_t> mask(EvaluationRingSize({}));
  for (auto& m : mask) m = random();
  for (int site = 0; site < 3; ++site) {
    const EvaluationSums sums = SomeSums(site);
    plain += sums.sums.binary();
    const auto ring = ToRing(sums);
    for (std::size_t i = 0; i < ring.size(); ++i) {
      total[i] += ring[i] + (site == 0 ? mask[i] : site == 1 ? ~mask[i] + 1 : 0);
    }
  }
  const auto back = FromRing(total, {}, 3);
  REQUIRE(back.ok());
  CHECK(back->sums.binary().positives == plain.positives);
  CHECK(back->sums.binary().patients == plain.patients);
  CHECK(back->compared == 3);
  CHECK(back->worse == 1);
  CHECK(std::abs(back->sums.binary().log_loss - plain.log_loss) <= 3 * kFixedPointUnit / 2);
}

TEST_CASE("Sums that no sites can have sent are refused") {
  auto ring = ToRing(SomeSums(1));
  CHECK_FALSE(FromRing(std::span(ring).first(10), {}, 1).ok());
  ring[5] = ~std::uint64_t{0};
  CHECK_FALSE(FromRing(ring, {}, 1).ok());
  EvaluationSums many = SomeSums(1);
  many.compared = 4;
  CHECK_FALSE(FromRing(ToRing(many), {}, 3).ok());
}

TEST_CASE("Sums of nothing are of a binary task without examples") {
  const EvaluationSums nothing = {};
  CHECK(nothing.sums.task() == Task::kBinary);
  CHECK(nothing == EvaluationSums{TaskSums(TaskShape{}), 0, 0});
  CHECK(nothing == *FromRing(ToRing(nothing), {}, 0));
}

TEST_CASE("Fixed point keeps the sign and rounds to the nearest step") {
  CHECK(FromFixedPoint(ToFixedPoint(-1.5)) == -1.5);
  CHECK(FromFixedPoint(ToFixedPoint(0.1)) == Approx(0.1).margin(kFixedPointUnit / 2));
  CHECK(FromFixedPoint(ToFixedPoint(-2.25) + ToFixedPoint(2.0)) == -0.25);
  CHECK(FromFixedPoint(ToFixedPoint(std::ldexp(1.0, 37))) == std::ldexp(1.0, 37));
}

}  // namespace
}  // namespace consilium::metrics
