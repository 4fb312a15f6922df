#pragma once

// Metrics of a binary classifier from sums that add up across sites: two histograms of scores
// (positives, negatives), and a few moments. No score of a single example leaves a site.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

namespace consilium::metrics {

// Bins uniform in logit(score) over [-kLogitLimit, kLogitLimit], the outer ones taking what lies
// beyond. An edge falls on score 0.5.
inline constexpr int kScoreBins = 4096;
inline constexpr double kLogitLimit = 16.0;
inline constexpr int kCalibrationBins = 10;  // uniform in score

int ScoreBin(double score);  // score in [0, 1]
double ScoreBinLowerEdge(
    int bin);  // as a score; 0 for bin 0, 1 for bin kScoreBins (the last one's upper edge)

struct BinarySums {
  std::vector<std::uint64_t> positives =
      std::vector<std::uint64_t>(kScoreBins);  // count of examples a bin, target 1
  std::vector<std::uint64_t> negatives = std::vector<std::uint64_t>(kScoreBins);  // target 0
  double squared_error = 0;  // sum of (score - target)^2
  double log_loss = 0;       // sum of -log(likelihood), each clipped at 1e-7
  std::array<std::uint64_t, kCalibrationBins> calibration_count{};
  std::array<std::uint64_t, kCalibrationBins> calibration_positives{};
  std::array<double, kCalibrationBins> calibration_score{};  // sum of scores
  std::uint64_t patients = 0;

  // score: the model's probability of target 1; NaN or outside [0, 1] is a bug of the caller's.
  void Add(double score, bool target);
  BinarySums& operator+=(const BinarySums& other);
  std::uint64_t PositiveCount() const;
  std::uint64_t NegativeCount() const;
  std::uint64_t Count() const { return PositiveCount() + NegativeCount(); }
  bool operator==(const BinarySums&) const = default;
};

// Refuses sums that cannot be, whoever sent them (kInvalidArgument): wrong histogram length, more
// than 2^48 examples, counts that disagree, moments that are not finite or beyond what so many
// examples can give. Sums that pass may be added safely, up to 2^15 of them.
absl::Status Check(const BinarySums& sums);

struct Interval {
  double low = 0, high = 0;
};

struct BinaryMetrics {
  std::uint64_t positives = 0, negatives = 0, patients = 0;
  // Ties inside a bin count one half. The exact AUROC lies within +/- auroc_error_bound of auroc:
  // bound = 1/2 sum_b p_b n_b / (P N).
  double auroc = 0, auroc_error_bound = 0;
  // DeLong et al. 1988 on the binned scores, on the logit scale, within [0, 1]. Where that variance
  // is zero or undefined (AUROC 0 or 1, all scores in one bin, a single positive or negative): the
  // Wilson interval of a proportion of min(positives, negatives) trials, which is wider than the
  // truth and never a single point.
  Interval auroc_95;
  double auprc = 0;     // average precision
  double accuracy = 0;  // threshold 0.5
  double sensitivity =
      0;  // at the lowest threshold (a bin's edge) with at least the asked specificity
  double at_specificity = 0;  // the asked one
  double brier = 0;           // mean squared error
  double log_loss = 0;        // mean, natural logarithm
  struct CalibrationPoint {
    double mean_score = 0, observed = 0;
    std::uint64_t count = 0;
  };
  std::vector<CalibrationPoint> calibration;  // bins with fewer than kSmallCount are left out
  struct RocPoint {
    double false_positive_rate = 0, true_positive_rate = 0;
  };
  std::vector<RocPoint> roc;  // from (0,0) to (1,1), at most 200 points
};

// Counts below this are not shown: neither the metrics of a site with fewer positives or negatives.
inline constexpr std::uint64_t kSmallCount = 10;

// at_specificity in [0, 1]. kFailedPrecondition when there is no positive or no negative (says
// which); kInvalidArgument what Check refuses.
absl::StatusOr<BinaryMetrics> Compute(const BinarySums& sums, double at_specificity);

// True when positives and negatives are both at least kSmallCount.
bool LargeEnoughToShow(const BinarySums& sums);

// The exact AUROC (Mann-Whitney, ties one half), for tests and local reports. Refuses as Compute
// does.
absl::StatusOr<double> ExactAuroc(const std::vector<double>& scores,
                                  const std::vector<bool>& targets);

}  // namespace consilium::metrics
