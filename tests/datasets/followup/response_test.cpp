#include "datasets/followup/response.h"

#include "tests/catch.h"
#include "tests/datasets/followup/drawn_lesions.h"

namespace consilium::datasets::followup {
namespace {

// A lesion of this diameter, that is nothing but its figures.
Lesion OfDiameter(double mm, const Vec3& centre, std::uint32_t voxel) {
  Lesion lesion;
  lesion.longest.length_mm = mm;
  lesion.volume_ml = std::numbers::pi / 6000 * mm * mm * mm;
  lesion.centre = centre;
  lesion.voxels = {voxel};
  lesion.low = lesion.high = {voxel, 0, 0};
  return lesion;
}

// Diameters of lesions at places of their own, over time; 0: it is not there.
Course CourseOf(const std::vector<std::vector<double>>& diameters, double slice_mm = 1) {
  std::vector<Lesions> lesions(diameters.size());
  for (std::size_t t = 0; t < diameters.size(); ++t) {
    lesions[t].grid = TestGrid({60, 1, 1}, {20, 1, slice_mm});
    for (std::uint32_t i = 0; i < diameters[t].size(); ++i) {
      if (diameters[t][i] > 0) {
        lesions[t].lesions.push_back(OfDiameter(diameters[t][i], {20.0 * i, 0, 0}, i));
      }
    }
  }
  std::vector<TrackedTimePoint> points;
  for (const Lesions& of_point : lesions) points.push_back({&of_point, {}});
  return Assess(points, TrackLesions(points));
}

std::vector<Response> ResponsesOf(const std::vector<std::vector<double>>& diameters) {
  std::vector<Response> responses;
  for (const Assessment& a : CourseOf(diameters).assessments) responses.push_back(a.response);
  return responses;
}

using enum Response;

TEST_CASE("the sum's change decides, at the boundaries of RECIST 1.1") {
  CHECK(ResponsesOf({{20, 30}, {20, 15.0}}) == std::vector{kBaseline, kPartial});  // -30 %
  CHECK(ResponsesOf({{20, 30}, {20, 15.1}}) == std::vector{kBaseline, kStable});
  CHECK(ResponsesOf({{20, 30}, {25, 35}}) == std::vector{kBaseline, kProgressive});  // +20 %
  CHECK(ResponsesOf({{20, 30}, {25, 34.9}}) == std::vector{kBaseline, kStable});
  CHECK(ResponsesOf({{20, 30}, {0, 0}}) == std::vector{kBaseline, kComplete});
}

TEST_CASE("a fifth more is no progression below 5 mm, and it counts from the least sum") {
  CHECK(ResponsesOf({{12}, {16}}) == std::vector{kBaseline, kStable});
  CHECK(ResponsesOf({{40}, {20}, {26}}) == std::vector{kBaseline, kPartial, kProgressive});
  CHECK(ResponsesOf({{40}, {20}, {23}}) == std::vector{kBaseline, kPartial, kPartial});
}

TEST_CASE("a new lesion is progression, for as long as it is there") {
  CHECK(ResponsesOf({{20}, {10, 4}, {8, 4}, {8, 0}}) ==
        std::vector{kBaseline, kProgressive, kProgressive, kPartial});
}

TEST_CASE("targets are the five longest of at least 10 mm; others only have to vanish") {
  const Course course = CourseOf({{9, 12, 30, 10, 14, 11, 13}, {9, 0, 0, 0, 0, 0, 0}});
  CHECK(course.targets.size() == 5);
  CHECK(course.assessments[0].sum_mm == Approx(12 + 30 + 14 + 11 + 13));
  // All targets are gone and the 9 mm lesion is not: no complete response.
  CHECK(course.assessments[1].sum_mm == 0);
  CHECK(course.assessments[1].response == kPartial);
}

TEST_CASE("without a target there is nothing between complete response and progression") {
  CHECK(ResponsesOf({{9}, {6}, {0}}) == std::vector{kBaseline, kNonCrNonPd, kComplete});
  CHECK(ResponsesOf({{}, {}}) == std::vector{kBaseline, kComplete});
}

TEST_CASE("between thick slices a target has to be twice as long as they are apart") {
  const Course course = CourseOf({{11, 17}}, 8);
  CHECK(course.smallest_target_mm == Approx(16));
  CHECK(course.targets.size() == 1);
}

TEST_CASE("volumes and shares are those of all lesions") {
  const Course course = CourseOf({{20, 8}, {10, 8}});
  const double ball = std::numbers::pi / 6000;
  CHECK(course.assessments[0].volume_ml == Approx(ball * (8000 + 512)));
  CHECK(*course.assessments[1].volume_from_first == Approx((1000.0 + 512) / (8000 + 512) - 1));
  CHECK(*course.assessments[1].sum_from_first == Approx(-0.5));
  CHECK(course.assessments[1].lesions == 2);
}

TEST_CASE(
    "time points that say nothing are not evaluable, and the first that does is the baseline") {
  Lesions lesions;
  lesions.grid = TestGrid({4, 1, 1});
  lesions.lesions.push_back(OfDiameter(20, {0, 0, 0}, 0));
  const std::vector<TrackedTimePoint> points = {{nullptr, {}}, {&lesions, {}}, {nullptr, {}}};
  const Course course = Assess(points, TrackLesions(points));
  CHECK(course.assessments[0].response == kNotEvaluable);
  CHECK(course.assessments[1].response == kBaseline);
  CHECK(course.assessments[2].response == kNotEvaluable);
  CHECK(Assess({{nullptr, {}}}, {}).assessments.size() == 1);
}

}  // namespace
}  // namespace consilium::datasets::followup
