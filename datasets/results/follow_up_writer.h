#pragma once

// A patient's lesions over time as one Comprehensive 3D SR (PS3.3 A.35.13), by PS3.16 TID 1500: a
// measurement group (TID 1501) for each lesion at each time point, those of one lesion with one
// tracking identifier, and one for the sum at each time point. Complete, but verified by nobody.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "datasets/results/result_object.h"
#include "datasets/results/source_image.h"
#include "datasets/targets/mask.h"

namespace consilium::datasets::results {

// The first is the baseline.
struct ReportedTimePoint {
  int day = 0;         // from the baseline on
  SourceImage source;  // one image of the series that was measured
  // Segments that lesions were measured in.
  struct Segmented {
    FrameReference object;
    std::string series_instance_uid;
  };
  std::vector<Segmented> segmentations;
};

// A diameter, as a line in the pixels of an image: centres of pixels are half numbers (C.10.5.1.2).
struct ReportedLine {
  double length_mm = 0;
  float from_column = 0, from_row = 0, to_column = 0, to_row = 0;
};

struct ReportedLesion {
  std::size_t time_point = 0;
  std::string tracking_identifier, tracking_uid;  // "lesion 1"
  FrameReference image;                           // that the lines are drawn on
  FrameReference segmentation;
  std::uint32_t segment = 1;  // that the lesion is a part of
  double volume_ml = 0;
  ReportedLine longest, perpendicular;
  std::string comment;  // "target lesion, in 2 parts"; empty: none
};

struct ReportedSum {
  std::size_t time_point = 0;
  double sum_mm = 0, volume_ml = 0;
  std::optional<double> change_percent, volume_change_percent;  // from the baseline
  // PS3.16 CID 6144 and others: nothing for the baseline.
  std::optional<targets::Code> response;
};

struct FollowUpReport {
  std::string program;    // "Consilium lesion follow-up"
  std::string method;     // in words: how lesions were matched and measured
  targets::Code finding;  // what a lesion is: ("52988006", "SCT", "Lesion")
  std::vector<ReportedTimePoint> time_points;
  std::vector<ReportedLesion> lesions;
  std::vector<ReportedSum> sums;
};

// The report belongs to the patient and study of the last time point. Its name is made of the time
// points' images and segmentations: the same follow-up is the same object. kInvalidArgument when it
// contradicts itself; other errors as WriteSegmentation.
absl::Status WriteFollowUpReport(const fs::path& path, const FollowUpReport& report, Time now);

}  // namespace consilium::datasets::results
