#pragma once

// One patient's lesions over time: which series of each study, registration to the first one,
// lesions of the segmentations that go with them, tracks, and the course by RECIST's figures.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/progress.h"
#include "datasets/followup/lesions.h"
#include "datasets/followup/response.h"
#include "datasets/followup/studies.h"
#include "datasets/followup/tracking.h"
#include "datasets/registration/register.h"
#include "datasets/targets/sandboxed_targets.h"
#include "datasets/volumes/stack.h"
#include "datasets/worker/worker_pool.h"

namespace consilium::datasets::followup {

struct FollowOptions {
  // The label of the segments that are lesions, in any case of letters. Empty: those that say so by
  // code or label (IsLesion).
  std::string segment;
  double smallest_ml = kSmallestLesion_ml;
  TrackingLimits tracking;
};

// Whether a segment is a lesion: by its type or category (lesion, neoplasm, mass, nodule,
// metastasis; morphologically abnormal structure), or a word of its label. No class activation is.
bool IsLesion(const targets::Segment& segment, const std::string& label);

// A segment that lesions of a time point were found in.
struct LesionSource {
  results::FrameReference segmentation;
  std::string series_instance_uid;
  std::uint32_t segment = 1;
  std::string algorithm;  // MANUAL, SEMIAUTOMATIC, AUTOMATIC
};

struct TimePoint {
  int day = 0;                                  // from the first time point on
  std::size_t study = 0;                        // of the patient's
  results::SourceImage source;                  // of the series' first file
  std::vector<results::FrameReference> slices;  // as the grid has them
  double spacing_mm[3] = {0, 0, 0};
  bool axial = true;                  // slices across the body, within 30 degrees
  std::vector<LesionSource> sources;  // Lesion::source counts these
  Lesions lesions;
  std::uint32_t left_out = 0;  // lesions that another segmentation has, too
  std::optional<registration::Registration> registration;  // of all but the first
  std::string why_not;  // it was not registered: then nothing of it is tracked
};

// A series, study or segmentation that is not used.
struct PassedOver {
  int day = 0;
  std::string what, why;  // "CT series of 40 slices": never a name or a UID
};

struct FollowUp {
  std::vector<TimePoint> time_points;
  std::vector<Track> tracks;
  Course course;
  std::vector<PassedOver> passed_over;
  double smallest_ml = kSmallestLesion_ml;  // FollowOptions::smallest_ml
  double seconds_registering = 0;
};

// In each study the series of CT or MR that has lesions outlined (segmentations of this patient
// that reference it): in the first the one of most slices, later the one of the same modality that
// lies as the first does, then of most slices. Of segmentations of one series, what people drew
// counts before what programs did, then the newer. kFailedPrecondition when fewer than two time
// points are left, with the reasons; kCancelled.
absl::StatusOr<FollowUp> Follow(worker::WorkerPool& pool, const Patient& patient,
                                const FollowOptions& options, Progress& progress);

}  // namespace consilium::datasets::followup
