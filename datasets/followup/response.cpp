#include "datasets/followup/response.h"

#include <algorithm>
#include <cmath>

namespace consilium::datasets::followup {
namespace {

constexpr double kThickSlice_mm = 5;

// Whether two numbers are a boundary apart or more, but for rounding.
bool AtLeast(double value, double bound) { return value >= bound - 1e-9; }

std::optional<double> ChangeFrom(double before, double now) {
  if (before <= 0) return std::nullopt;
  return now / before - 1;
}

// Along the slices' normal.
double SliceDistance(const Grid& grid) {
  return grid.spacing_mm[2] * std::abs(Dot(grid.directions[2], grid.Normal()));
}

// From the second time point on.
Response ResponseOf(const Assessment& now, double least_sum_mm, bool has_targets) {
  const bool much = has_targets && AtLeast(now.sum_mm - least_sum_mm, kProgressionAtLeast_mm) &&
                    AtLeast(now.sum_mm, (1 + kProgression) * least_sum_mm);
  if (now.new_lesions > 0 || much) return Response::kProgressive;
  if (now.lesions == 0) return Response::kComplete;
  if (!has_targets) return Response::kNonCrNonPd;
  const bool less = now.sum_from_first && AtLeast(-*now.sum_from_first, -kPartialResponse);
  return less ? Response::kPartial : Response::kStable;
}

}  // namespace

std::string_view Name(Response response) {
  switch (response) {
    case Response::kBaseline:
      return "baseline";
    case Response::kComplete:
      return "CR";
    case Response::kPartial:
      return "PR";
    case Response::kStable:
      return "SD";
    case Response::kProgressive:
      return "PD";
    case Response::kNonCrNonPd:
      return "non-CR/non-PD";
    case Response::kNotEvaluable:
      return "NE";
  }
  return "";
}

std::string_view Phrase(Response response) {
  switch (response) {
    case Response::kBaseline:
      return "baseline";
    case Response::kComplete:
      return "complete response";
    case Response::kPartial:
      return "partial response";
    case Response::kStable:
      return "stable disease";
    case Response::kProgressive:
      return "progressive disease";
    case Response::kNonCrNonPd:
      return "neither complete response nor progressive disease";
    case Response::kNotEvaluable:
      return "not evaluable";
  }
  return "";
}

double DiameterOf(const TrackPoint& point, const Lesions& lesions) {
  double sum = 0;
  for (const std::size_t part : point.lesions) sum += lesions.lesions[part].longest.length_mm;
  return sum;
}

double VolumeOf(const TrackPoint& point, const Lesions& lesions) {
  double sum = 0;
  for (const std::size_t part : point.lesions) sum += lesions.lesions[part].volume_ml;
  return sum;
}

Course Assess(const std::vector<TrackedTimePoint>& time_points, const std::vector<Track>& tracks) {
  Course course;
  std::size_t first = 0;
  while (first < time_points.size() && time_points[first].lesions == nullptr) ++first;
  course.assessments.resize(time_points.size());
  if (first == time_points.size()) return course;
  const Lesions& at_first = *time_points[first].lesions;
  const double distance_mm = SliceDistance(at_first.grid);
  if (distance_mm > kThickSlice_mm) course.smallest_target_mm = 2 * distance_mm;
  course.smallest_target_mm = std::max(course.smallest_target_mm, kSmallestTarget_mm);
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    if (AtLeast(DiameterOf(tracks[t].points[first], at_first), course.smallest_target_mm)) {
      course.targets.push_back(t);
    }
  }
  std::stable_sort(course.targets.begin(), course.targets.end(), [&](std::size_t a, std::size_t b) {
    return DiameterOf(tracks[a].points[first], at_first) >
           DiameterOf(tracks[b].points[first], at_first);
  });
  if (course.targets.size() > kMostTargets) course.targets.resize(kMostTargets);

  double least_sum_mm = 0;
  for (std::size_t now = first; now < time_points.size(); ++now) {
    if (time_points[now].lesions == nullptr) continue;
    Assessment& assessment = course.assessments[now];
    for (const std::size_t t : course.targets) {
      assessment.sum_mm += DiameterOf(tracks[t].points[now], *time_points[now].lesions);
    }
    for (const Track& track : tracks) {
      const TrackPoint& point = track.points[now];
      assessment.volume_ml += VolumeOf(point, *time_points[now].lesions);
      assessment.lesions += static_cast<std::uint32_t>(point.lesions.size());
      assessment.new_lesions += track.points[first].lesions.empty() && !point.lesions.empty();
    }
    if (now == first) {
      assessment.response = Response::kBaseline;
      least_sum_mm = assessment.sum_mm;
      continue;
    }
    const Assessment& before = course.assessments[first];
    assessment.sum_from_first = ChangeFrom(before.sum_mm, assessment.sum_mm);
    assessment.sum_from_least = ChangeFrom(least_sum_mm, assessment.sum_mm);
    assessment.volume_from_first = ChangeFrom(before.volume_ml, assessment.volume_ml);
    assessment.response = ResponseOf(assessment, least_sum_mm, !course.targets.empty());
    least_sum_mm = std::min(least_sum_mm, assessment.sum_mm);
  }
  return course;
}

}  // namespace consilium::datasets::followup
