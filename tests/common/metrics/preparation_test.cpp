#include "common/metrics/preparation.h"

#include <cmath>
#include <limits>

#include "common/base/fixed_point.h"
#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("a column's scale is the mean and deviation of the values that are there") {
  const std::vector<Range> ranges = {{0, 200}, {-10, 30}};
  PreparationSums sums(2);
  // 12 values of the first, 100 and 120 by turns; of the second 10 and -10, the rest missing.
  for (int i = 0; i < 12; ++i) {
    sums.Add(std::vector<float>{i % 2 == 0 ? 100.0f : 120.0f, i < 5    ? 10.0f
                                                              : i < 10 ? -10.0f
                                                                       : kMissing},
             ranges);
  }
  sums.patients = 12;
  CHECK(sums.columns[1].present == 10);
  CHECK(sums.columns[1].missing == 2);
  const auto scales = Scales(sums, ranges);
  CHECK(scales[0].mean == Approx(110));
  CHECK(scales[0].deviation == Approx(10));
  CHECK(scales[1].mean == Approx(0).margin(1e-12));
  CHECK(scales[1].deviation == Approx(10));
}

TEST_CASE("what is beyond its plausible range is missing") {
  const std::vector<Range> ranges = {{0, 250}};
  PreparationSums sums(1);
  for (const float x : {0.0f, 250.0f, -0.1f, 250.1f, 120'000.0f, kMissing,
                        std::numeric_limits<float>::infinity()}) {
    sums.Add(std::vector{x}, ranges);
  }
  CHECK(sums.columns[0].present == 2);
  CHECK(sums.columns[0].missing == 5);
  CHECK(sums.examples == 7);
  CHECK(Check(sums).ok());
}

TEST_CASE("a column with few values or without spread says almost nothing and divides by no zero") {
  const std::vector<Range> ranges = {{0, 10}, {0, 10}, {20, 40}};
  PreparationSums sums(3);
  for (int i = 0; i < 50; ++i) {
    sums.Add(std::vector<float>{i < 9 ? static_cast<float>(i) : kMissing, 3.3f, kMissing}, ranges);
  }
  // Through the ring, whose rounding is no spread.
  const auto back = PreparationFromRing(ToRing(sums), 3);
  REQUIRE(back.ok());
  const auto scales = Scales(*back, ranges);
  CHECK(scales[0].mean == 5);  // nine values
  CHECK(scales[0].deviation == 10);
  CHECK(scales[1].mean == Approx(3.3).margin(1e-5));
  CHECK(scales[1].deviation == 10);
  CHECK(scales[2].mean == 30);
  CHECK(scales[2].deviation == 20);
}

TEST_CASE("rings of many sites' masked sums give the scale of all rows together") {
  const std::uint64_t seed = 41;
  CAPTURE(seed);
  SeededRandom random(seed);
  const std::vector<Range> ranges = {{0, 300}, {0, 1}};
  std::vector<std::uint64_t> total(PreparationRingSize(2));
  PreparationSums whole(2), parts(2);
  double sum = 0, squares = 0;
  for (int site = 0; site < 20; ++site) {
    PreparationSums sums(2);
    for (int i = 0; i < 40; ++i) {
      const auto x = static_cast<float>(std::clamp(random.Normal() * 12 + 130, 0.0, 300.0));
      const std::vector<float> row = {x, random.Chance(0.3) ? 1.0f : 0.0f};
      sums.Add(row, ranges);
      whole.Add(row, ranges);
      sum += x;
      squares += static_cast<double>(x) * x;
    }
    sums.patients = 40;
    parts += sums;
    const auto ring = ToRing(sums);
    for (std::size_t i = 0; i < ring.size(); ++i) total[i] += ring[i];
  }
  const auto pooled = PreparationFromRing(total, 2);
  REQUIRE(pooled.ok());
  CHECK(pooled->examples == 800);
  CHECK(pooled->patients == 800);
  CHECK(parts.columns[0].present == whole.columns[0].present);
  CHECK(parts.columns[0].squares == Approx(whole.columns[0].squares));
  const double mean = sum / 800;
  const auto scales = Scales(*pooled, ranges);
  CHECK(scales[0].mean == Approx(mean).epsilon(1e-5));
  CHECK(scales[0].deviation == Approx(std::sqrt(squares / 800 - mean * mean)).epsilon(1e-3));
  CHECK(scales[1].deviation ==
        Approx(std::sqrt(scales[1].mean * (1 - scales[1].mean))).epsilon(1e-5));
}

TEST_CASE("preparations that cannot be are refused, with the column") {
  const std::vector<Range> ranges = {{0, 1}, {0, 1}};
  PreparationSums good(2);
  for (int i = 0; i < 20; ++i) {
    good.Add(std::vector<float>{static_cast<float>(i) / 20, 0.5f}, ranges);
  }
  REQUIRE(Check(good).ok());
  REQUIRE(Check(PreparationSums()).ok());
  const auto refused = [&](auto change, std::string_view words) {
    PreparationSums sums = good;
    change(sums);
    CHECK(Check(sums).code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(Check(sums), words));
  };
  refused([](auto& s) { s.patients = 21; }, "21 patients with 20 examples");
  refused([](auto& s) { ++s.columns[1].missing; }, "column 1 counts 20 values and 1 missing");
  refused([](auto& s) { s.columns[0].present = ~0ull; }, "column 0 counts");
  refused([](auto& s) { s.columns[0].sum = 21; }, "cannot add up to 21");
  refused([](auto& s) { s.columns[0].sum = std::nan(""); }, "cannot add up");
  refused([](auto& s) { s.columns[0].squares = 15; }, "their squares to 15");
  refused([](auto& s) { s.columns[1].squares = 1; }, "their squares to 1");  // less than the mean's
  CHECK_FALSE(PreparationFromRing(ToRing(good), 3).ok());
  auto ring = ToRing(good);
  ring[2] = ~0ull;
  CHECK_FALSE(PreparationFromRing(ring, 2).ok());
}

}  // namespace
}  // namespace consilium::metrics
