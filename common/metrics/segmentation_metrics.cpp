#include "common/metrics/segmentation_metrics.h"

#include <algorithm>
#include <cmath>

#include "common/base/fixed_point.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

double Square(double x) { return x * x; }

void AddVolumes(StructureSums& sums, const PatientOverlap& patient) {
  CONSILIUM_CHECK(std::isfinite(patient.voxel_ml) && patient.voxel_ml >= 0);
  if (patient.voxel_ml == 0) return;
  const auto volume = [&](std::uint64_t voxels) {
    return std::min(static_cast<double>(voxels) * patient.voxel_ml, kMostVolumeMl);
  };
  const double truth = volume(patient.truth), predicted = volume(patient.predicted);
  ++sums.with_volume;
  sums.truth_ml += truth;
  sums.predicted_ml += predicted;
  sums.truth_squared += truth * truth;
  sums.predicted_squared += predicted * predicted;
  sums.product += truth * predicted;
}

void AddPatient(StructureSums& sums, const PatientOverlap& patient) {
  CONSILIUM_CHECK(patient.intersection <= std::min(patient.predicted, patient.truth));
  if (patient.predicted == 0 && patient.truth == 0) {
    ++sums.both_empty;
    return;
  }
  const double dice = 2 * static_cast<double>(patient.intersection) /
                      static_cast<double>(patient.predicted + patient.truth);
  ++sums.patients;
  sums.dice += dice;
  sums.dice_squared += dice * dice;
  ++sums.dice_histogram[std::min(static_cast<int>(dice * kDiceBins), kDiceBins - 1)];
  if (patient.hd95_mm) {
    CONSILIUM_CHECK(std::isfinite(*patient.hd95_mm) && *patient.hd95_mm >= 0);
    const double distance = std::min(*patient.hd95_mm, kMostHd95Mm);
    ++sums.with_distance;
    sums.hd95 += distance;
    sums.hd95_squared += distance * distance;
  }
  sums.intersection += patient.intersection;
  sums.predicted += patient.predicted;
  sums.truth += patient.truth;
  AddVolumes(sums, patient);
}

void AddStructure(StructureSums& sums, const StructureSums& other) {
  sums.patients += other.patients;
  sums.both_empty += other.both_empty;
  sums.dice += other.dice;
  sums.dice_squared += other.dice_squared;
  for (int b = 0; b < kDiceBins; ++b) sums.dice_histogram[b] += other.dice_histogram[b];
  sums.with_distance += other.with_distance;
  sums.hd95 += other.hd95;
  sums.hd95_squared += other.hd95_squared;
  sums.intersection += other.intersection;
  sums.predicted += other.predicted;
  sums.truth += other.truth;
  sums.with_volume += other.with_volume;
  sums.truth_ml += other.truth_ml;
  sums.predicted_ml += other.predicted_ml;
  sums.truth_squared += other.truth_squared;
  sums.predicted_squared += other.predicted_squared;
  sums.product += other.product;
}

// Whether `count` numbers from 0 to `most` can have this sum and this sum of squares. Each site has
// one of the numbers or more, and has rounded both by `rounding` at most.
bool CanBeMoments(std::uint64_t count, double sum, double squares, double most,
                  double rounding = 0) {
  const auto n = static_cast<double>(count);
  return Within(sum, 0, n * most) && Within(squares, 0, most * (sum + n * rounding)) &&
         Within(sum * sum, 0, n * (squares + n * rounding));
}

bool DiceFitsHistogram(const StructureSums& s) {
  double low = 0, high = 0, low_squares = 0, high_squares = 0;
  for (int b = 0; b < kDiceBins; ++b) {
    const auto n = static_cast<double>(s.dice_histogram[b]);
    const double from = static_cast<double>(b) / kDiceBins;
    const double to = static_cast<double>(b + 1) / kDiceBins;
    low += n * from;
    high += n * to;
    low_squares += n * from * from;
    high_squares += n * to * to;
  }
  return Within(s.dice, low, high) && Within(s.dice_squared, low_squares, high_squares) &&
         CanBeMoments(s.patients, s.dice, s.dice_squared, 1);
}

absl::Status CheckStructure(const StructureSums& s) {
  if (BoundedTotal(s.dice_histogram) != s.patients) {
    return Refused("the histogram of Dice and the patients differ");
  }
  if (!DiceFitsHistogram(s)) {
    return Refused(StrCat("the Dice of ", s.patients, " patients add up to ", s.dice,
                          ", which their histogram does not allow"));
  }
  if (s.with_distance > s.patients ||
      !CanBeMoments(s.with_distance, s.hd95, s.hd95_squared, kMostHd95Mm)) {
    return Refused(
        StrCat("the distances of ", s.with_distance, " patients add up to ", s.hd95, " mm"));
  }
  if (s.intersection > std::min(s.predicted, s.truth) ||
      std::max(s.predicted, s.truth) > kMostExamples) {
    return Refused("the pixels of truth, prediction and both contradict each other");
  }
  const double rounding = kVolumeUnit * kVolumeUnit * kFixedPointUnit;
  const double all = rounding * static_cast<double>(s.with_volume);
  if (s.with_volume > s.patients ||
      !CanBeMoments(s.with_volume, s.truth_ml, s.truth_squared, kMostVolumeMl, rounding) ||
      !CanBeMoments(s.with_volume, s.predicted_ml, s.predicted_squared, kMostVolumeMl, rounding) ||
      !Within(s.product, 0,
              std::sqrt((s.truth_squared + all) * (s.predicted_squared + all)) + all)) {
    return Refused(StrCat("the volumes of ", s.with_volume, " patients contradict each other"));
  }
  return absl::OkStatus();
}

// The Dice that half of the patients reach, even within its bin.
double MedianDice(const StructureSums& s) {
  const double half = static_cast<double>(s.patients) / 2;
  double below = 0;
  for (int b = 0; b < kDiceBins; ++b) {
    const auto n = static_cast<double>(s.dice_histogram[b]);
    if (n > 0 && below + n >= half) return (b + (half - below) / n) / kDiceBins;
    below += n;
  }
  return 1;
}

void AddAgreement(const StructureSums& s, StructureMetrics& metrics) {
  if (s.with_volume < 2) return;
  const auto n = static_cast<double>(s.with_volume);
  const double bias = (s.predicted_ml - s.truth_ml) / n;
  const double squares = s.truth_squared + s.predicted_squared - 2 * s.product;  // of differences
  const double deviation = std::sqrt(std::max(0.0, (squares - n * bias * bias) / (n - 1)));
  metrics.bias_ml = bias;
  metrics.low_agreement_ml = bias - kZ95 * deviation;
  metrics.high_agreement_ml = bias + kZ95 * deviation;
  const double truth = s.truth_ml / n, predicted = s.predicted_ml / n;
  const double spread = (s.truth_squared + s.predicted_squared) / n - truth * truth -
                        predicted * predicted + Square(truth - predicted);
  // Less is what rounding makes of volumes that are all the same.
  if (spread > 1e-5 + 1e-12 * (s.truth_squared + s.predicted_squared) / n) {
    metrics.concordance_correlation =
        std::clamp(2 * (s.product / n - truth * predicted) / spread, -1.0, 1.0);
  }
}

// Where the numbers do not vary more than rounding makes them, Wilson's: never a point.
Interval MeanInterval(double mean, double error, double trials) {
  if (error * std::sqrt(trials) <= 1e-3) return Wilson(std::clamp(mean, 0.0, 1.0), trials);
  return {std::max(0.0, mean - kZ95 * error), std::min(1.0, mean + kZ95 * error)};
}

// The standard error of the mean Dice; 0 of a single patient.
double StandardError(const StructureSums& s, StructureMetrics& metrics) {
  const auto n = static_cast<double>(s.patients);
  if (n < 2) return 0;
  metrics.dice_deviation =
      std::sqrt(std::max(0.0, (s.dice_squared - n * metrics.dice * metrics.dice) / (n - 1)));
  return metrics.dice_deviation / std::sqrt(n);
}

}  // namespace

SegmentationSums::SegmentationSums(std::uint32_t structure_count) : structures(structure_count) {
  CONSILIUM_CHECK(structure_count <= kMostStructures);
}

void SegmentationSums::Add(std::span<const PatientOverlap> patient, std::uint64_t patient_images) {
  CONSILIUM_CHECK(patient.size() == structures.size() && patient_images > 0);
  for (std::size_t i = 0; i < patient.size(); ++i) AddPatient(structures[i], patient[i]);
  ++patients;
  images += patient_images;
}

SegmentationSums& SegmentationSums::operator+=(const SegmentationSums& other) {
  CONSILIUM_CHECK(structures.size() == other.structures.size());
  for (std::size_t i = 0; i < structures.size(); ++i) {
    AddStructure(structures[i], other.structures[i]);
  }
  patients += other.patients;
  images += other.images;
  return *this;
}

absl::Status Check(const SegmentationSums& sums) {
  if (sums.structures.empty() || sums.structures.size() > kMostStructures) {
    return Refused(
        StrCat(sums.structures.size(), " structures: 1 to ", kMostStructures, " can be"));
  }
  if (sums.images > kMostExamples || sums.patients > sums.images) {
    return Refused(StrCat(sums.patients, " patients with ", sums.images, " images"));
  }
  for (std::size_t i = 0; i < sums.structures.size(); ++i) {
    const StructureSums& s = sums.structures[i];
    if (s.patients > sums.patients || s.both_empty != sums.patients - s.patients) {
      return Refused(StrCat("structure ", i, " counts ", s.patients, " and ", s.both_empty,
                            " patients of ", sums.patients));
    }
    if (absl::Status status = CheckStructure(s); !status.ok()) {
      return WithContext(status, StrCat("structure ", i));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentationMetrics> Compute(const SegmentationSums& sums) {
  RETURN_IF_ERROR(Check(sums));
  SegmentationMetrics metrics;
  metrics.patients = sums.patients;
  metrics.images = sums.images;
  metrics.structures.resize(sums.structures.size());
  double errors = 0, present = 0, trials = 0;
  for (std::size_t i = 0; i < sums.structures.size(); ++i) {
    const StructureSums& s = sums.structures[i];
    if (s.patients == 0) continue;
    const auto n = static_cast<double>(s.patients);
    StructureMetrics& one = metrics.structures[i].emplace();
    one.patients = s.patients;
    one.dice = std::clamp(s.dice / n, 0.0, 1.0);
    one.dice_median = MedianDice(s);
    const double error = StandardError(s, one);
    one.dice_95 = MeanInterval(one.dice, error, n);
    if (s.predicted + s.truth > 0) {
      one.pooled_dice =
          2 * static_cast<double>(s.intersection) / static_cast<double>(s.predicted + s.truth);
    }
    if (s.with_distance > 0) one.hd95_mm = s.hd95 / static_cast<double>(s.with_distance);
    AddAgreement(s, one);
    metrics.dice += one.dice;
    errors += error;
    trials += n;
    ++present;
  }
  if (present == 0) {
    return absl::FailedPreconditionError(
        "no patient has any of the structures, and none was predicted, so there is no Dice");
  }
  metrics.dice /= present;
  metrics.dice_95 = MeanInterval(metrics.dice, errors / present, trials / present);
  return metrics;
}

}  // namespace consilium::metrics
