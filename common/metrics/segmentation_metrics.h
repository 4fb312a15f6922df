#pragma once

// Metrics of outlines, from sums that add up across sites. The unit is a patient: all slices or
// volumes of one patient count once, so that who was imaged more often weighs no more.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

inline constexpr int kDiceBins = 50;  // uniform in Dice, 1 in the last
inline constexpr std::uint32_t kMostStructures = 64;
inline constexpr double kMostHd95Mm = 1'000, kMostVolumeMl = 10'000;  // larger ones are clipped

// What was found of one structure in all images of one patient.
struct PatientOverlap {
  std::uint64_t intersection = 0, predicted = 0, truth = 0;  // pixels or voxels
  double voxel_ml = 0;            // of one, for volumes in millilitres (pixels: x 1 mm); 0: unknown
  std::optional<double> hd95_mm;  // nothing: one of the two is empty, or no spacing is known
};

struct StructureSums {
  std::uint64_t patients = 0;    // of whom truth or prediction holds some
  std::uint64_t both_empty = 0;  // rightly nothing: no part of the mean
  double dice = 0, dice_squared = 0;
  std::array<std::uint64_t, kDiceBins> dice_histogram{};
  std::uint64_t with_distance = 0;
  double hd95 = 0, hd95_squared = 0;  // mm
  std::uint64_t intersection = 0, predicted = 0, truth = 0;
  // Of the volumes in millilitres, of those who have some: for bias and limits of agreement (Bland
  // and Altman 1986) and the concordance correlation (Lin 1989).
  std::uint64_t with_volume = 0;
  double truth_ml = 0, predicted_ml = 0, truth_squared = 0, predicted_squared = 0, product = 0;
  bool operator==(const StructureSums&) const = default;
};

struct SegmentationSums {
  explicit SegmentationSums(std::uint32_t structure_count = 1);
  std::vector<StructureSums> structures;
  std::uint64_t patients = 0, images = 0;
  // All of one patient, a PatientOverlap for each structure. Counts that contradict each other, a
  // negative or infinite volume or distance are a bug of the caller's.
  void Add(std::span<const PatientOverlap> patient, std::uint64_t patient_images);
  SegmentationSums& operator+=(const SegmentationSums& other);
  bool operator==(const SegmentationSums&) const = default;
};
absl::Status Check(const SegmentationSums& sums);

struct StructureMetrics {
  std::uint64_t patients = 0;
  // Of the patients of whom truth or prediction holds some; the median within a bin.
  double dice = 0, dice_median = 0, dice_deviation = 0;
  Interval dice_95;               // of the mean, by its standard error, within [0, 1]
  double pooled_dice = 0;         // of all pixels together
  std::optional<double> hd95_mm;  // mean over the patients of whom it is known
  // Of the predicted less the true volume: the mean and the limits of agreement, 1.96 deviations
  // around it; and Lin's coefficient. Of two patients or more.
  std::optional<double> bias_ml, low_agreement_ml, high_agreement_ml, concordance_correlation;
};
struct SegmentationMetrics {
  std::uint64_t patients = 0, images = 0;
  double dice = 0;  // mean over the structures that any patient has
  // As if what is hard for one structure were as hard for the others: never too narrow.
  Interval dice_95;
  std::vector<std::optional<StructureMetrics>> structures;
};
// kFailedPrecondition: no patient of whom truth or prediction holds any structure.
absl::StatusOr<SegmentationMetrics> Compute(const SegmentationSums& sums);

// Pixels of a structure, as other than 0, in a grid (columns change fastest). The 95th percentile
// of the distances from each surface pixel to the nearest of the other surface, interpolated
// between ranks; of the two ways the larger (Taha and Hanbury 2015), in mm. A surface pixel has a
// neighbour by a face that is none of the structure's or outside of the grid; in one slice only
// neighbours in it count. Nothing when one is empty. Takes time in proportion to the box around
// both.
std::optional<double> Hd95(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b,
                           std::uint32_t depth, std::uint32_t height, std::uint32_t width,
                           double spacing_mm, double slice_spacing_mm);

}  // namespace consilium::metrics
