#include "common/metrics/detection_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "common/base/random.h"
#include "common/metrics/task_sums.h"
#include "tests/catch.h"
#include "tests/common/says.h"

namespace consilium::metrics {
namespace {

DetectionMetrics MetricsOf(const DetectionSums& sums) {
  const auto metrics = Compute(sums);
  INFO(metrics.status().ToString());
  REQUIRE(metrics.ok());
  return *metrics;
}

Box Square(float left, float top, float side) { return {left, top, left + side, top + side}; }

// Two images with two findings each, and six boxes.
ImageFindings First() {
  return {.findings = {{Square(0, 0, 10)}, {Square(20, 20, 10)}},
          .boxes = {{Square(0, 0, 10), 0.9f},
                    {Square(50, 50, 10), 0.8f},  // nothing is there
                    {{20, 20, 30, 28}, 0.7f}}};  // overlap 0.8
}
ImageFindings Second() {
  return {.findings = {{Square(0, 0, 10)}, {Square(40, 40, 10)}},
          .boxes = {{Square(44, 44, 16), 0.4f},  // overlap 0.11, its centre beside the finding
                    {Square(0, 0, 10), 0.55f},   // on a finding that has a better scored box
                    {Square(1, 1, 10), 0.6f}}};  // overlap 0.68
}

DetectionSums SumsOf(const std::vector<ImageFindings>& images) {
  DetectionSums sums;
  for (std::size_t i = 0; i < images.size(); ++i) sums.Add(i, std::span(&images[i], 1));
  return sums;
}

// Findings and boxes on and beside them, whose scores tell them apart more or less well.
ImageFindings RandomImage(SeededRandom& random, double skill) {
  ImageFindings image;
  const std::uint64_t findings = random.Below(4);
  for (std::uint64_t i = 0; i < findings; ++i) {
    const Box box = Square(static_cast<float>(40 * i), static_cast<float>(random.Below(40)), 20);
    image.findings.push_back({box});
    if (random.Chance(0.1)) continue;
    const float off = static_cast<float>(random.Uniform(0, 8));
    const double score = 1 / (1 + std::exp(-skill - random.Normal()));
    image.boxes.push_back(
        {{box.left + off, box.top, box.right + off, box.bottom}, static_cast<float>(score)});
  }
  for (std::uint64_t i = random.Below(6); i > 0; --i) {
    const Box box = Square(static_cast<float>(200 + 30 * i), 0, 20);
    image.boxes.push_back({box, static_cast<float>(1 / (1 + std::exp(1 - random.Normal())))});
  }
  return image;
}

TEST_CASE("Average precision of six boxes is as worked out by hand") {
  const DetectionMetrics m = MetricsOf(SumsOf({First(), Second()}));
  CHECK(m.patients == 2);
  CHECK(m.images == 2);
  CHECK(m.findings == 4);
  // From the highest score: right 1/1, wrong, right 2/3, right 3/4, wrong, wrong; one is missed.
  CHECK(m.average_precision == Approx((1 + 0.75 + 0.75) / 4));
  // 0.6 is wrong at this overlap, which leaves the finding to 0.55: 1/1, 2/3, 3/5.
  CHECK(m.average_precision_75 == Approx((1 + 2.0 / 3 + 0.6) / 4));
  REQUIRE(m.kinds[0].has_value());
  CHECK(m.kinds[0]->average_precision_error_bound == 0);
  CHECK(m.kinds[0]->patients == 2);
}

TEST_CASE("Free-response ROC of six boxes is as worked out by hand") {
  const DetectionMetrics m = MetricsOf(SumsOf({First(), Second()}));
  const KindMetrics& kind = *m.kinds[0];
  // False alarms an image and sensitivity: (0, 1/4), (1/2, 1/4), (1/2, 3/4), (1, 3/4). The box of
  // score 0.55 lies on a finding that was hit: it is no false alarm.
  const std::array<double, 7> expected = {0.25, 0.25, 0.75, 0.75, 0.75, 0.75, 0.75};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(kind.sensitivities[i] == Approx(expected[i]));
  }
  CHECK(m.froc_sensitivity == Approx(4.25 / 7));
  CHECK(m.sensitivity == Approx(0.75));
  CHECK(m.false_alarms == Approx(0.5));
  CHECK(kind.froc.front().sensitivity == 0);
  CHECK(kind.froc.back().false_alarms == Approx(1));
  CHECK(kind.froc.back().sensitivity == Approx(0.75));
}

TEST_CASE("A box whose centre is in two findings hits one, and the next one the other") {
  ImageFindings image;
  image.findings = {{Square(0, 0, 10)}, {Square(2, 0, 10)}};
  image.boxes = {{Square(1, 0, 10), 0.9f}};
  CHECK(MetricsOf(SumsOf({image})).sensitivity == Approx(0.5));
  image.boxes.push_back({Square(1, 1, 10), 0.8f});
  CHECK(MetricsOf(SumsOf({image})).sensitivity == Approx(1));
  CHECK(MetricsOf(SumsOf({image})).average_precision == Approx(1));
}

TEST_CASE("Average precision from histograms is the exact one to a two-hundredth") {
  const std::uint64_t seed = 71;
  CAPTURE(seed);
  SeededRandom random(seed);
  for (const int images : {20, 200, 4000}) {
    CAPTURE(images);
    std::vector<ImageFindings> all;
    for (int i = 0; i < images; ++i) all.push_back(RandomImage(random, 0.5));
    const DetectionMetrics m = MetricsOf(SumsOf(all));
    const double exact = ExactAveragePrecision(all, 0, 0.5).value();
    const double bound = m.kinds[0]->average_precision_error_bound;
    CHECK(bound < 0.005);
    CHECK(std::abs(m.average_precision - exact) <= bound + 1e-12);
    CHECK(m.average_precision_75 ==
          Approx(ExactAveragePrecision(all, 0, 0.75).value()).margin(0.005));
    CHECK(m.average_precision_75 < m.average_precision);
  }
}

TEST_CASE("The interval holds the truth about as often as it says, though patients differ") {
  const std::uint64_t seed = 72;
  CAPTURE(seed);
  SeededRandom random(seed);
  // Patients of one to four images who are easier or harder as a whole.
  const auto add = [&](DetectionSums& sums, std::uint64_t number) {
    std::vector<ImageFindings> images(1 + random.Below(4));
    const double skill = 0.5 + random.Normal();
    for (ImageFindings& image : images) image = RandomImage(random, skill);
    sums.Add(number, images);
  };
  DetectionSums many;
  for (std::uint64_t i = 0; i < 20'000; ++i) add(many, i);
  const double truth = MetricsOf(many).average_precision;
  int held = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    DetectionSums sums;
    for (std::uint64_t i = 0; i < 60; ++i) add(sums, random());
    const Interval interval = MetricsOf(sums).average_precision_95;
    held += interval.low <= truth && truth <= interval.high;
  }
  CAPTURE(truth, held);
  CHECK(held >= 0.90 * kTrials);
  CHECK(held < kTrials);
}

TEST_CASE("An interval is never a point, and one patient has one, too") {
  ImageFindings perfect;
  perfect.findings = {{Square(0, 0, 10)}};
  perfect.boxes = {{Square(0, 0, 10), 0.9f}};
  for (const std::size_t patients : {1, 2, 30}) {
    const DetectionMetrics m = MetricsOf(SumsOf(std::vector(patients, perfect)));
    CHECK(m.average_precision == 1);
    CHECK(m.average_precision_95.low < 1);
    CHECK(m.average_precision_95.high == Approx(1));
  }
  DetectionSums one;
  one.Add(7, std::vector{First(), Second()});
  CHECK(MetricsOf(one).patients == 1);
  CHECK(MetricsOf(one).average_precision_95.low < 0.4);
}

TEST_CASE("Kinds are matched for themselves, and one that nobody has is left out of the mean") {
  ImageFindings image = First();
  for (ScoredBox& box : image.boxes) box.kind = 1;  // all called by the wrong name
  image.findings[1].kind = 1;
  DetectionSums sums(3);
  sums.Add(1, std::vector{image});
  const DetectionMetrics m = MetricsOf(sums);
  CHECK(m.kinds[0]->average_precision == 0);
  CHECK(m.kinds[1]->average_precision == Approx(1.0 / 3));
  CHECK_FALSE(m.kinds[2].has_value());
  CHECK(m.average_precision == Approx(1.0 / 6));
}

TEST_CASE("Sums of two sites are those of all images in one place") {
  SeededRandom random(73);
  DetectionSums a(1), b(1), all(1);
  for (std::uint64_t i = 0; i < 50; ++i) {
    const std::vector images = {RandomImage(random, 0.5), RandomImage(random, 0.5)};
    (i % 3 == 0 ? a : b).Add(i, images);
    all.Add(i, images);
  }
  a += b;
  CHECK(a == all);
  CHECK(a.FindingCount() > 0);
}

TEST_CASE("Without a finding there is no average precision") {
  DetectionSums sums;
  ImageFindings image = First();
  image.findings.clear();
  sums.Add(1, std::vector{image});
  CHECK(Says(Compute(sums).status(), "no image has a finding"));
  CHECK(Check(sums).ok());
  CHECK_FALSE(ExactAveragePrecision(std::vector{image}, 0, 0.5).ok());
}

TEST_CASE("Boxes of few patients with a finding are not shown, and none at all are") {
  ImageFindings without = First();
  without.findings.clear();
  DetectionSums sums(2);
  for (std::uint64_t i = 0; i < 12; ++i) {
    sums.Add(i, std::vector{i < 9 ? First() : without, Second()});
    // Many findings of few patients are few.
    CHECK(LargeEnoughToShow(TaskSums(sums)) == (i + 1 >= kSmallCount));
  }
  ImageFindings rare = without;
  rare.findings = {{Square(0, 0, 9), 1}};
  sums.Add(12, std::vector{rare, rare, rare});
  CHECK_FALSE(LargeEnoughToShow(TaskSums(sums)));
  CHECK(SiteJson(sums, 0.9) == R"({"suppressed":true})");
}

TEST_CASE("Sums of boxes that cannot be are refused") {
  const std::vector<std::function<void(DetectionSums&)>> changes = {
      [](auto& s) { s.kinds.clear(); },
      [](auto& s) { s.kinds.resize(kMostKinds + 1); },
      [](auto& s) { s.kinds[0].boxes.pop_back(); },
      [](auto& s) { s.kinds[0].patients = 3; },
      [](auto& s) { s.kinds[0].patients = 0; },
      [](auto& s) { s.kinds[0].findings = {}; },
      [](auto& s) { s.kinds[0].boxes = std::vector<KindSums::Histogram>(kPatientGroups); },
      [](auto& s) { s.kinds[0].hits[0] = 1; },
      [](auto& s) { s.kinds[0].false_alarms[BoxScoreBin(0.9)] = 1; },
      [](auto& s) { s.kinds[0].found_75[1] = 1; },
      [](auto& s) { s.kinds[0].boxes[0][5] = ~std::uint64_t{0}; },
      [](auto& s) { s.group_patients = {}; },
      [](auto& s) {
        std::rotate(s.group_patients.begin(), s.group_patients.begin() + 1, s.group_patients.end());
      },
      [](auto& s) { s.images = 1; },
      [](auto& s) { s.patients = 1; },
  };
  const DetectionSums sums = SumsOf({First(), Second()});
  REQUIRE(Check(sums).ok());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CAPTURE(i);
    DetectionSums changed = sums;
    changes[i](changed);
    CHECK(absl::IsInvalidArgument(Check(changed)));
  }
}

}  // namespace
}  // namespace consilium::metrics
