#include "datasets/followup/measurement_report.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"
#include "datasets/dicom/writer.h"

namespace consilium::datasets::followup {
namespace {

constexpr char kProgram[] = "Consilium lesion follow-up";

// PS3.16 CID 6144 and its like.
std::optional<targets::Code> CodeOf(Response response) {
  switch (response) {
    case Response::kBaseline:
      return std::nullopt;
    case Response::kComplete:
      return targets::Code{"112041", "DCM", "Target Lesion Complete Response"};
    case Response::kPartial:
      return targets::Code{"112042", "DCM", "Target Lesion Partial Response"};
    case Response::kStable:
      return targets::Code{"112044", "DCM", "Target Lesion Stable Disease"};
    case Response::kProgressive:
      return targets::Code{"112043", "DCM", "Target Lesion Progressive Disease"};
    case Response::kNonCrNonPd:
      return targets::Code{"112046", "DCM",
                           "Non-Target Lesion Incomplete Response or Stable Disease"};
    case Response::kNotEvaluable:
      return targets::Code{"not-evaluable", results::kOurScheme, "Not evaluable"};
  }
  return std::nullopt;
}

std::optional<double> Percent(const std::optional<double>& share) {
  if (!share) return std::nullopt;
  return 100 * *share;
}

// Pixel centres are half numbers there, whole numbers here.
results::ReportedLine LineOf(const Line& line) {
  const auto place = [](double index) { return static_cast<float>(index + 0.5); };
  return {line.length_mm, place(line.from[0]), place(line.from[1]), place(line.to[0]),
          place(line.to[1])};
}

// The same lesion has the same name however often, and with however many later scans, its patient
// is followed: it is made of where the lesion was first seen.
std::string TrackingUid(const FollowUp& follow_up, const Track& track) {
  for (std::size_t t = 0; t < track.points.size(); ++t) {
    if (track.points[t].lesions.empty()) continue;
    const TimePoint& point = follow_up.time_points[t];
    const Lesion& lesion = point.lesions.lesions[track.points[t].lesions.front()];
    const LesionSource& source = point.sources[static_cast<std::size_t>(lesion.source)];
    return dicom::MakeUid(StrCat("lesion of segment ", source.segment, " of ",
                                 source.segmentation.sop_instance_uid, " at voxel ",
                                 lesion.voxels.front()));
  }
  return {};
}

}  // namespace

std::string MethodInWords(const FollowUp& follow_up) {
  return absl::StrFormat(
      "rigid registration to the first time point by mutual information; lesions: 26-connected "
      "parts of the segmentations of at least %.2f ml, matched by overlap, else nearness; "
      "diameters "
      "in the slices' plane; targets: up to %d of at least %.0f mm at the first time point",
      follow_up.smallest_ml, kMostTargets, follow_up.course.smallest_target_mm);
}

results::FollowUpReport ReportOf(const FollowUp& follow_up) {
  results::FollowUpReport report;
  report.program = kProgram;
  report.method = MethodInWords(follow_up);
  report.finding = {"52988006", "SCT", "Lesion"};
  std::vector<std::size_t> number(follow_up.time_points.size());  // in the report
  for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
    const TimePoint& point = follow_up.time_points[t];
    if (!point.why_not.empty()) continue;
    number[t] = report.time_points.size();
    results::ReportedTimePoint& reported = report.time_points.emplace_back();
    reported.day = point.day;
    reported.source = point.source;
    for (const LesionSource& source : point.sources) {
      reported.segmentations.push_back({source.segmentation, source.series_instance_uid});
    }
    const Assessment& assessment = follow_up.course.assessments[t];
    report.sums.push_back({number[t], assessment.sum_mm, assessment.volume_ml,
                           Percent(assessment.sum_from_first),
                           Percent(assessment.volume_from_first), CodeOf(assessment.response)});
  }
  const auto& targets = follow_up.course.targets;
  for (std::size_t track = 0; track < follow_up.tracks.size(); ++track) {
    const std::string uid = TrackingUid(follow_up, follow_up.tracks[track]);
    const bool target = std::find(targets.begin(), targets.end(), track) != targets.end();
    for (std::size_t t = 0; t < follow_up.time_points.size(); ++t) {
      const TimePoint& point = follow_up.time_points[t];
      const TrackPoint& there = follow_up.tracks[track].points[t];
      for (std::size_t part = 0; part < there.lesions.size(); ++part) {
        const Lesion& lesion = point.lesions.lesions[there.lesions[part]];
        const LesionSource& source = point.sources[static_cast<std::size_t>(lesion.source)];
        std::string comment = target ? "target lesion" : "";
        if (there.lesions.size() > 1) {
          StrAppend(&comment, comment.empty() ? "" : ", ", "part ", part + 1, " of ",
                    there.lesions.size());
        }
        report.lesions.push_back({number[t], StrCat("lesion ", track + 1), uid,
                                  point.slices[lesion.slice], source.segmentation, source.segment,
                                  lesion.volume_ml, LineOf(lesion.longest),
                                  LineOf(lesion.perpendicular), std::move(comment)});
      }
    }
  }
  return report;
}

}  // namespace consilium::datasets::followup
