#pragma once

// Categories of response after RECIST 1.1 (Eisenhauer et al. 2009), from measurements alone: a
// research measurement and no diagnosis. What the criteria ask of a reader and no mask says is left
// out: organs (at most two target lesions an organ), lymph nodes (measured by their short axis),
// lesions that are not measurable, and whether a new lesion is one beyond doubt.

#include <optional>
#include <string_view>
#include <vector>

#include "datasets/followup/tracking.h"

namespace consilium::datasets::followup {

inline constexpr std::size_t kMostTargets = 5;
inline constexpr double kSmallestTarget_mm = 10;
inline constexpr double kPartialResponse = -0.30;  // of the first sum
inline constexpr double kProgression = 0.20;       // of the least sum so far
inline constexpr double kProgressionAtLeast_mm = 5;

enum class Response {
  kBaseline,
  kComplete,  // all lesions gone
  kPartial,
  kStable,
  kProgressive,
  kNonCrNonPd,  // without target lesions: neither gone nor progressive
  kNotEvaluable,
};
std::string_view Name(Response response);    // "CR"
std::string_view Phrase(Response response);  // "complete response"

struct Assessment {
  Response response = Response::kNotEvaluable;
  double sum_mm = 0;          // of the targets' longest diameters, parts of a split one together
  double volume_ml = 0;       // of all lesions
  std::uint32_t lesions = 0;  // parts of split ones each
  std::uint32_t new_lesions = 0;  // that are there now and were not at the first time point
  // Shares, 0.2: a fifth more. Nothing where there is nothing to compare with, or that is 0.
  std::optional<double> sum_from_first, sum_from_least, volume_from_first;
};

struct Course {
  std::vector<std::size_t> targets;  // tracks, the longest first
  double smallest_target_mm = kSmallestTarget_mm;
  std::vector<Assessment> assessments;  // one for each time point
};

// The longest diameter of a track at a time point, its parts together; 0 when it is not there.
double DiameterOf(const TrackPoint& point, const Lesions& lesions);
double VolumeOf(const TrackPoint& point, const Lesions& lesions);

// `time_points` as TrackLesions had them. Targets are the lesions of the first time point of at
// least 10 mm, or of two slices where these are more than 5 mm apart: at most 5, the longest.
Course Assess(const std::vector<TrackedTimePoint>& time_points, const std::vector<Track>& tracks);

}  // namespace consilium::datasets::followup
