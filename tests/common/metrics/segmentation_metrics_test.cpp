#include "common/metrics/segmentation_metrics.h"

#include <algorithm>
#include <cmath>

#include "common/base/random.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

SegmentationMetrics MetricsOf(const SegmentationSums& sums) {
  const auto metrics = Compute(sums);
  INFO(metrics.status().ToString());
  REQUIRE(metrics.ok());
  return *metrics;
}

PatientOverlap RandomOverlap(SeededRandom& random) {
  if (random.Chance(0.1)) return {};
  PatientOverlap overlap;
  overlap.truth = random.Below(1000);
  overlap.predicted = 1 + random.Below(1000);
  overlap.intersection = random.Below(std::min(overlap.truth, overlap.predicted) + 1);
  overlap.voxel_ml = random.Chance(0.8) ? 0.001 * (1 + random.Uniform()) : 0;
  if (overlap.truth > 0 && random.Chance(0.9)) overlap.hd95_mm = 30 * random.Uniform();
  return overlap;
}

SegmentationSums RandomSums(SeededRandom& random, std::uint32_t structures, int patients) {
  SegmentationSums sums(structures);
  for (int i = 0; i < patients; ++i) {
    std::vector<PatientOverlap> patient;
    for (std::uint32_t s = 0; s < structures; ++s) patient.push_back(RandomOverlap(random));
    sums.Add(patient, 1 + random.Below(4));
  }
  return sums;
}

TEST_CASE("Dice of three patients is as worked out by hand") {
  SegmentationSums sums(2);
  sums.Add(std::vector<PatientOverlap>{{40, 50, 50, 0.01, 2.0}, {0, 0, 0, 0.01, {}}}, 3);
  sums.Add(std::vector<PatientOverlap>{{30, 60, 40, 0.01, 6.0}, {0, 0, 10, 0.01, {}}}, 2);
  sums.Add(std::vector<PatientOverlap>{{0, 0, 0, 0.01, {}}, {10, 10, 10, 0.01, 0.0}}, 1);
  const auto m = MetricsOf(sums);
  CHECK(m.patients == 3);
  CHECK(m.images == 6);
  REQUIRE(m.structures[0].has_value());
  const StructureMetrics& first = *m.structures[0];
  CHECK(first.patients == 2);  // the third has none, rightly
  CHECK(first.dice == Approx((0.8 + 0.6) / 2));
  CHECK(first.dice_deviation == Approx(std::sqrt(0.02)));
  CHECK(first.pooled_dice == Approx(2 * 70.0 / 200));
  CHECK(*first.hd95_mm == Approx(4));
  CHECK(*first.bias_ml == Approx((0.0 + 0.2) / 2));
  CHECK(first.dice_95.low == Approx(0.7 - 1.959964 * 0.1));
  CHECK(first.dice_95.high == Approx(0.7 + 1.959964 * 0.1));
  const StructureMetrics& second = *m.structures[1];
  CHECK(second.dice == Approx(0.5));  // one missed, one perfect
  CHECK(second.patients == 2);
  CHECK(*second.hd95_mm == 0);
  CHECK(m.dice == Approx((0.7 + 0.5) / 2));
  CHECK(m.dice_95.low <= 0.6);
}

TEST_CASE("bias and limits of agreement are those of Bland and Altman's own table") {
  // Peak expiratory flow by two meters, 17 subjects (Bland and Altman 1986, table 1): the mean
  // difference is -2.1, the deviation of differences 38.8.
  const std::vector<int> wright = {494, 395, 516, 434, 476, 557, 413, 442, 650,
                                   433, 417, 656, 267, 478, 178, 423, 427};
  const std::vector<int> mini = {512, 430, 520, 428, 500, 600, 364, 380, 658,
                                 445, 432, 626, 260, 477, 259, 350, 451};
  SegmentationSums sums;
  double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < wright.size(); ++i) {
    PatientOverlap patient;
    patient.predicted = static_cast<std::uint64_t>(wright[i]);
    patient.truth = static_cast<std::uint64_t>(mini[i]);
    patient.voxel_ml = 1;
    sums.Add(std::vector{patient}, 1);
    mean_x += wright[i] / 17.0;
    mean_y += mini[i] / 17.0;
  }
  for (std::size_t i = 0; i < wright.size(); ++i) {
    xx += (wright[i] - mean_x) * (wright[i] - mean_x);
    yy += (mini[i] - mean_y) * (mini[i] - mean_y);
    xy += (wright[i] - mean_x) * (mini[i] - mean_y);
  }
  const auto m = MetricsOf(sums);
  const StructureMetrics& s = *m.structures[0];
  CHECK(*s.bias_ml == Approx(-2.1).margin(0.05));
  CHECK((*s.high_agreement_ml - *s.low_agreement_ml) / (2 * 1.959964) == Approx(38.8).margin(0.05));
  // Lin 1989.
  const double expected = 2 * xy / (xx + yy + 17 * (mean_x - mean_y) * (mean_x - mean_y));
  CHECK(*s.concordance_correlation == Approx(expected).epsilon(1e-9));
  CHECK(*s.concordance_correlation == Approx(0.943).margin(5e-4));
}

TEST_CASE("the median of Dice is within a bin of the exact one") {
  const std::uint64_t seed = 31;
  CAPTURE(seed);
  SeededRandom random(seed);
  SegmentationSums sums;
  std::vector<double> dice;
  for (int i = 0; i < 201; ++i) {
    PatientOverlap patient;
    patient.truth = patient.predicted = 1000;
    patient.intersection = random.Below(1001);
    sums.Add(std::vector{patient}, 1);
    dice.push_back(static_cast<double>(patient.intersection) / 1000);
  }
  std::nth_element(dice.begin(), dice.begin() + 100, dice.end());
  CHECK(MetricsOf(sums).structures[0]->dice_median == Approx(dice[100]).margin(1.0 / kDiceBins));
}

TEST_CASE("about 95 of 100 intervals hold the true mean Dice") {
  const std::uint64_t seed = 32;
  CAPTURE(seed);
  SeededRandom random(seed);
  int held = 0;
  for (int trial = 0; trial < 400; ++trial) {
    SegmentationSums sums;
    for (int i = 0; i < 40; ++i) {
      PatientOverlap patient;
      patient.truth = patient.predicted = 10'000;
      patient.intersection = random.Below(10'001);
      sums.Add(std::vector{patient}, 1);
    }
    const Interval interval = MetricsOf(sums).dice_95;
    held += interval.low <= 0.5 && 0.5 <= interval.high ? 1 : 0;
  }
  CHECK(held >= 366);
  CHECK(held <= 394);
}

TEST_CASE("one patient, perfect outlines and nothing at all have sane results") {
  SegmentationSums one;
  one.Add(std::vector<PatientOverlap>{{9, 10, 10, 0.01, 1.0}}, 1);
  const auto single = MetricsOf(one);
  CHECK(single.dice_95.low < 0.6);
  CHECK(single.dice_95.high > single.dice);
  CHECK_FALSE(single.structures[0]->bias_ml.has_value());
  SegmentationSums perfect;
  for (int i = 0; i < 10; ++i) {
    perfect.Add(std::vector<PatientOverlap>{{10, 10, 10, 0.01, 0.0}}, 1);
  }
  const auto m = MetricsOf(perfect);
  CHECK(m.dice == Approx(1));
  CHECK(m.dice_95.low == Approx(10 / (10 + 3.841459)));
  CHECK(*m.structures[0]->bias_ml == 0);
  CHECK_FALSE(m.structures[0]->concordance_correlation.has_value());  // all volumes are the same
  SegmentationSums nothing(2);
  nothing.Add(std::vector<PatientOverlap>(2), 4);
  const auto status = Compute(nothing).status();
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Says(status, "no Dice"));
}

TEST_CASE("distances and volumes beyond all measure are clipped") {
  SegmentationSums sums;
  sums.Add(std::vector<PatientOverlap>{{1, 1, 1ull << 40, 1.0, 1e9}}, 1);
  CHECK(sums.structures[0].hd95 == kMostHd95Mm);
  CHECK(sums.structures[0].truth_ml == kMostVolumeMl);
  CHECK(Check(sums).ok());
}

TEST_CASE("the sums of any split of outlines are the sum of the whole") {
  const std::uint64_t seed = 33;
  CAPTURE(seed);
  SeededRandom random(seed);
  SegmentationSums whole(3);
  std::vector<SegmentationSums> sites(3, SegmentationSums(3));
  for (int i = 0; i < 300; ++i) {
    const std::vector patient = {RandomOverlap(random), RandomOverlap(random),
                                 RandomOverlap(random)};
    whole.Add(patient, 2);
    sites[random.Below(3)].Add(patient, 2);
  }
  SegmentationSums pooled(3);
  for (const auto& site : sites) pooled += site;
  CHECK(pooled.patients == whole.patients);
  CHECK(pooled.images == 600);
  REQUIRE(Check(whole).ok());
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(pooled.structures[i].dice_histogram == whole.structures[i].dice_histogram);
    CHECK(pooled.structures[i].intersection == whole.structures[i].intersection);
    CHECK(pooled.structures[i].both_empty == whole.structures[i].both_empty);
    CHECK(pooled.structures[i].dice == Approx(whole.structures[i].dice).epsilon(1e-12));
    CHECK(pooled.structures[i].product == Approx(whole.structures[i].product).epsilon(1e-12));
  }
  CHECK(MetricsOf(pooled).dice == Approx(MetricsOf(whole).dice));
}

TEST_CASE("sums of outlines that cannot be are refused, with the structure") {
  SeededRandom random(34);
  const SegmentationSums good = RandomSums(random, 2, 60);
  REQUIRE(Check(good).ok());
  REQUIRE(Check(SegmentationSums(3)).ok());
  const auto refused = [&](auto change, std::string_view words) {
    SegmentationSums sums = good;
    change(sums, sums.structures[1]);
    const absl::Status status = Check(sums);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Says(status, words));
    CHECK(Compute(sums).status() == status);
  };
  using Sums = SegmentationSums;
  using One = StructureSums;
  refused([](Sums& s, One&) { s.structures.clear(); }, "0 structures");
  refused([](Sums& s, One&) { s.images = 59; }, "60 patients with 59 images");
  refused([](Sums&, One& o) { ++o.both_empty; }, "structure 1 counts");
  refused([](Sums&, One& o) { o.both_empty = ~0ull; }, "structure 1 counts");
  refused([](Sums&, One& o) { ++o.dice_histogram[7]; }, "structure 1");
  refused([](Sums&, One& o) { o.dice_histogram[3] += ~0ull; }, "structure 1");
  refused([](Sums&, One& o) { o.dice += 20; }, "which their histogram does not allow");
  refused([](Sums&, One& o) { o.dice = std::nan(""); }, "which their histogram does not allow");
  refused([](Sums&, One& o) { o.dice_squared = 0; }, "which their histogram does not allow");
  refused([](Sums&, One& o) { o.with_distance = 61; }, "the distances of 61");
  refused([](Sums&, One& o) { o.hd95 = -5; }, "-5 mm");
  refused([](Sums&, One& o) { o.hd95_squared = 1; }, "the distances");
  refused([](Sums&, One& o) { o.intersection = o.truth + 1; }, "the pixels");
  refused([](Sums&, One& o) { o.truth = 1ull << 60; }, "the pixels");
  refused([](Sums&, One& o) { o.with_volume = 61; }, "the volumes of 61");
  refused([](Sums&, One& o) { o.truth_squared = -1; }, "the volumes");
  refused([](Sums&, One& o) { o.product *= 100; }, "the volumes");
}

// ---- HD95

struct Masks {
  std::uint32_t depth, height, width;
  std::vector<std::uint8_t> a, b;
};

// As the definition says: every surface pixel against every one of the other.
std::optional<double> Direct(const Masks& m, double spacing, double slice_spacing) {
  const auto at = [&](const auto& mask, int z, int y, int x) {
    if (z < 0 || y < 0 || x < 0 || z >= static_cast<int>(m.depth) ||
        y >= static_cast<int>(m.height) || x >= static_cast<int>(m.width)) {
      return false;
    }
    return mask[(static_cast<std::size_t>(z) * m.height + static_cast<std::size_t>(y)) * m.width +
                static_cast<std::size_t>(x)] != 0;
  };
  const auto surface = [&](const auto& mask) {
    std::vector<std::array<double, 3>> points;
    for (int z = 0; z < static_cast<int>(m.depth); ++z) {
      for (int y = 0; y < static_cast<int>(m.height); ++y) {
        for (int x = 0; x < static_cast<int>(m.width); ++x) {
          if (!at(mask, z, y, x)) continue;
          bool inside = at(mask, z, y - 1, x) && at(mask, z, y + 1, x) && at(mask, z, y, x - 1) &&
                        at(mask, z, y, x + 1);
          if (m.depth > 1) inside = inside && at(mask, z - 1, y, x) && at(mask, z + 1, y, x);
          if (!inside) points.push_back({z * slice_spacing, y * spacing, x * spacing});
        }
      }
    }
    return points;
  };
  const auto from = surface(m.a), to = surface(m.b);
  if (from.empty() || to.empty()) return std::nullopt;
  const auto directed = [](const auto& ones, const auto& others) {
    std::vector<double> distances;
    for (const auto& p : ones) {
      double nearest = 1e300;
      for (const auto& q : others) {
        nearest = std::min(nearest, std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
      }
      distances.push_back(nearest);
    }
    std::sort(distances.begin(), distances.end());
    const double rank = 0.95 * static_cast<double>(distances.size() - 1);
    const auto low = static_cast<std::size_t>(rank);
    const std::size_t high = std::min(low + 1, distances.size() - 1);
    return distances[low] + (rank - static_cast<double>(low)) * (distances[high] - distances[low]);
  };
  return std::max(directed(from, to), directed(to, from));
}

TEST_CASE("two squares a known way apart have the distance between them") {
  std::vector<std::uint8_t> a(20 * 20), b(20 * 20);
  for (int y = 5; y < 10; ++y) {
    for (int x = 5; x < 10; ++x) {
      a[static_cast<std::size_t>(y * 20 + x)] = 1;
      b[static_cast<std::size_t>(y * 20 + x + 4)] = 255;
    }
  }
  // The far edge of the one is 4 pixels from the near edge of the other; those edges are 5 of 16
  // surface pixels.
  CHECK(*Hd95(a, b, 1, 20, 20, 0.5, 0) == Approx(2.0));
  CHECK(*Hd95(a, a, 1, 20, 20, 0.5, 0) == 0);
  const std::vector<std::uint8_t> nothing(20 * 20);
  CHECK_FALSE(Hd95(a, nothing, 1, 20, 20, 0.5, 0).has_value());
  CHECK_FALSE(Hd95(nothing, a, 1, 20, 20, 0.5, 0).has_value());
}

TEST_CASE("single points apart across slices are as far as the slices") {
  std::vector<std::uint8_t> a(3 * 4 * 4), b(3 * 4 * 4);
  a[0] = 1;
  b[2 * 16 + 5] = 1;
  CHECK(*Hd95(a, b, 3, 4, 4, 3.0, 6.0) == Approx(std::sqrt(12 * 12 + 9 + 9)));
}

TEST_CASE("HD95 is that of every surface pixel against every other") {
  const std::uint64_t seed = 35;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (int trial = 0; trial < 60; ++trial) {
    Masks m{static_cast<std::uint32_t>(trial % 3 == 0 ? 1 : 1 + random.Below(7)),
            static_cast<std::uint32_t>(1 + random.Below(16)),
            static_cast<std::uint32_t>(1 + random.Below(16)),
            {},
            {}};
    CAPTURE(trial, m.depth, m.height, m.width);
    const double density = trial % 2 == 0 ? 0.8 : 0.08;
    for (std::size_t i = 0; i < std::size_t{m.depth} * m.height * m.width; ++i) {
      m.a.push_back(random.Chance(density));
      m.b.push_back(random.Chance(1 - density));
    }
    const double spacing = 0.3 + random.Uniform(), slices = 0.5 + 4 * random.Uniform();
    const auto direct = Direct(m, spacing, slices);
    const auto fast = Hd95(m.a, m.b, m.depth, m.height, m.width, spacing, slices);
    REQUIRE(fast.has_value() == direct.has_value());
    if (direct) CHECK(*fast == Approx(*direct).epsilon(1e-5).margin(1e-6));
  }
}

}  // namespace
}  // namespace consilium::metrics
