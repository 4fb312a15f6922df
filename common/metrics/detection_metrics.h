#pragma once

// Metrics of boxes around findings, from sums that add up across sites: histograms of the scores of
// right and wrong boxes. No box and no score of a single image leaves a site.
//
// A box is right when it overlaps a finding of its kind by enough. Within an image the boxes of a
// kind are taken from the highest score down, each gets the finding that it overlaps most of those
// that are still free, and every finding has one box: a second box on it is wrong (Everingham et
// al. 2010, PASCAL VOC; Lin et al. 2014, COCO).

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"
#include "common/metrics/segmentation_metrics.h"

namespace consilium::metrics {

// Uniform in score, 1 in the last. What lies in one bin has no order: KindMetrics says how far off
// an average precision can be by that. Where no bin holds more than a hundredth of a kind's
// findings it is below .005.
inline constexpr int kBoxScoreBins = 400;
inline constexpr int kPatientGroups = 10;  // by a stable hash of the patient
inline constexpr std::uint32_t kMostKinds = kMostStructures;
inline constexpr double kOperatingScore = 0.5;  // KindMetrics::sensitivity is that at this score
int BoxScoreBin(double score);                  // of [0, 1]; else a bug of the caller's

// In pixels: pixel i reaches from i to i + 1. left < right, top < bottom.
struct Box {
  float left = 0, top = 0, right = 0, bottom = 0;
  double Area() const { return (double{right} - left) * (double{bottom} - top); }
  bool operator==(const Box&) const = default;
};
// What both cover by what either covers (intersection over union).
double Overlap(const Box& a, const Box& b);

struct Finding {
  Box box;
  std::uint32_t kind = 0;
};
struct ScoredBox {
  Box box;
  float score = 0;  // from 0 to 1
  std::uint32_t kind = 0;
};
// What is in one image, and what was found in it.
struct ImageFindings {
  std::vector<Finding> findings;
  std::vector<ScoredBox> boxes;
};

struct KindSums {
  using Histogram = std::array<std::uint64_t, kBoxScoreBins>;
  // Of each group of patients, for the interval: all boxes, and those that overlap a finding by
  // half or more.
  std::vector<Histogram> boxes = std::vector<Histogram>(kPatientGroups);
  std::vector<Histogram> found = std::vector<Histogram>(kPatientGroups);
  // Those that overlap one by three quarters or more, matched for themselves.
  Histogram found_75{};
  // As radiology counts (Setio et al. 2017, LUNA16): a finding is hit by the box of the highest
  // score whose centre lies in the finding's box; other boxes with their centre there count
  // nothing, and one with its centre in no finding's is a false alarm.
  Histogram hits{}, false_alarms{};
  std::array<std::uint64_t, kPatientGroups> findings{};
  std::uint64_t patients = 0;  // who have one or more
  bool operator==(const KindSums&) const = default;
};

struct DetectionSums {
  explicit DetectionSums(std::uint32_t kind_count = 1);
  std::vector<KindSums> kinds;
  std::array<std::uint64_t, kPatientGroups> group_patients{};
  std::uint64_t patients = 0, images = 0;

  // All images of one patient, at least one. A kind that there is not, a score that is none or a
  // box without an area is a bug of the caller's.
  void Add(std::uint64_t patient, std::span<const ImageFindings> patient_images);
  DetectionSums& operator+=(const DetectionSums& other);
  std::uint64_t FindingCount() const;
  bool operator==(const DetectionSums&) const = default;
};
absl::Status Check(const DetectionSums& sums);

// Mean sensitivity is over these (the convention of computer-aided detection, as LUNA16's).
inline constexpr std::array<double, 7> kFalseAlarmsAnImage = {0.125, 0.25, 0.5, 1, 2, 4, 8};

struct KindMetrics {
  std::uint64_t findings = 0, patients = 0;
  // The area under precision by recall, precision being the best at this recall or a higher one
  // (all points, PASCAL VOC since 2010), at an overlap of half and of three quarters. The exact
  // value lies within +/- the error bound: the orders that a bin's boxes may have.
  double average_precision = 0, average_precision_error_bound = 0, average_precision_75 = 0;
  // Free-response ROC (Bunch et al. 1978; Chakraborty 1989) by hits: sensitivity at each of
  // kFalseAlarmsAnImage, between bins by a straight line, where the curve ends before, its last
  // value; their mean; and the curve, from (0, 0), at most 100 points.
  std::array<double, 7> sensitivities{};
  double froc_sensitivity = 0;
  struct FrocPoint {
    double false_alarms = 0, sensitivity = 0;  // an image
  };
  std::vector<FrocPoint> froc;
  double sensitivity = 0, false_alarms = 0;  // by hits, of boxes of kOperatingScore or more
};
struct DetectionMetrics {
  std::uint64_t patients = 0, images = 0, findings = 0;
  // Means over the kinds that have a finding.
  double average_precision = 0, average_precision_75 = 0, froc_sensitivity = 0, sensitivity = 0,
         false_alarms = 0;
  // Of patients as the units, who may have many images and findings: by leaving out one group of
  // them at a time (delete-a-group jackknife, Kott 2001), with Student's t of one degree of freedom
  // fewer than there are groups, on the logit scale. Wilson's of as many trials as patients have a
  // finding, where that is not defined (one group only, or all leave the same).
  Interval average_precision_95;
  std::vector<std::optional<KindMetrics>> kinds;  // nothing: no finding of it
};
// kFailedPrecondition: there is no finding.
absl::StatusOr<DetectionMetrics> Compute(const DetectionSums& sums);

// Average precision of one kind, exactly, for tests and local reports: at least one finding, else
// kFailedPrecondition. Boxes of equal scores are taken in the order given.
absl::StatusOr<double> ExactAveragePrecision(std::span<const ImageFindings> images,
                                             std::uint32_t kind, double overlap);

}  // namespace consilium::metrics
