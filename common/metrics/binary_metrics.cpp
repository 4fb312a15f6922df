#include "common/metrics/binary_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

#include "common/base/status.h"
#include "common/metrics/histogram_auroc.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

constexpr int kHalfBin = kScoreBins / 2;  // its lower edge is the score 0.5
constexpr int kMostRocPoints = 200;

double Logit(double p) { return std::log(p / (1 - p)); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

int CalibrationBin(double score) {
  return std::min(static_cast<int>(score * kCalibrationBins), kCalibrationBins - 1);
}

absl::Status CheckCalibration(const BinarySums& sums) {
  if (BoundedTotal(sums.calibration_count) != sums.Count() ||
      BoundedTotal(sums.calibration_positives) != sums.PositiveCount()) {
    return Refused("the calibration bins and the histograms count different examples");
  }
  for (int b = 0; b < kCalibrationBins; ++b) {
    const std::uint64_t count = sums.calibration_count[b];
    const auto n = static_cast<double>(count);
    if (sums.calibration_positives[b] > count) {
      return Refused(StrCat("calibration bin ", b, " has more positives than examples"));
    }
    if (!Within(sums.calibration_score[b], n * b / kCalibrationBins,
                n * (b + 1) / kCalibrationBins)) {
      return Refused(StrCat("the scores of calibration bin ", b, " lie outside of it"));
    }
  }
  return absl::OkStatus();
}

// Sum over thresholds, from the highest, of the recall gained times the precision reached.
double AveragePrecision(const BinarySums& sums, double positives) {
  double found = 0, called = 0, area = 0;
  for (int b = kScoreBins - 1; b >= 0; --b) {
    if (sums.positives[b] == 0 && sums.negatives[b] == 0) continue;
    const auto p = static_cast<double>(sums.positives[b]);
    found += p;
    called += p + static_cast<double>(sums.negatives[b]);
    area += p / positives * found / called;
  }
  return area;
}

double SensitivityAt(double specificity, const BinarySums& sums, double positives,
                     double negatives) {
  const double needed = specificity * negatives * (1 - 1e-12);  // 0.9 * 10 is not to miss 9
  double below = 0, missed = 0;
  for (int b = 0; b < kScoreBins && below < needed; ++b) {
    below += static_cast<double>(sums.negatives[b]);
    missed += static_cast<double>(sums.positives[b]);
  }
  return (positives - missed) / positives;
}

double Accuracy(const BinarySums& sums, double count) {
  const auto right = Total(std::span(sums.negatives).first(kHalfBin)) +
                     Total(std::span(sums.positives).subspan(kHalfBin));
  return static_cast<double>(right) / count;
}

std::vector<BinaryMetrics::CalibrationPoint> Calibration(const BinarySums& sums) {
  std::vector<BinaryMetrics::CalibrationPoint> points;
  for (int b = 0; b < kCalibrationBins; ++b) {
    const std::uint64_t count = sums.calibration_count[b];
    if (count < kSmallCount) continue;
    const auto n = static_cast<double>(count);
    points.push_back({sums.calibration_score[b] / n,
                      static_cast<double>(sums.calibration_positives[b]) / n, count});
  }
  return points;
}

// The curve has length 2 when it is walked along its axes: points at least this far apart are few
// enough.
std::vector<BinaryMetrics::RocPoint> RocCurve(const BinarySums& sums, double positives,
                                              double negatives) {
  constexpr double kStep = 2.0 / (kMostRocPoints - 2);
  std::vector<BinaryMetrics::RocPoint> points = {{0, 0}};
  double found = 0, false_alarms = 0;
  for (int b = kScoreBins - 1; b >= 0; --b) {
    found += static_cast<double>(sums.positives[b]);
    false_alarms += static_cast<double>(sums.negatives[b]);
    const BinaryMetrics::RocPoint point{false_alarms / negatives, found / positives};
    const double walked = point.false_positive_rate - points.back().false_positive_rate +
                          point.true_positive_rate - points.back().true_positive_rate;
    if (walked >= kStep) points.push_back(point);
  }
  if (points.back().false_positive_rate < 1 || points.back().true_positive_rate < 1) {
    points.push_back({1, 1});
  }
  return points;
}

absl::Status CheckBothClasses(std::uint64_t positives, std::uint64_t negatives) {
  if (positives > 0 && negatives > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("there is no ",
                                              positives == 0 ? "positive" : "negative",
                                              " example, so the two classes cannot be compared"));
}

}  // namespace

int ScoreBin(double score) {
  CONSILIUM_CHECK(score >= 0 && score <= 1);
  // From the middle, so that no rounding moves a score across one half.
  const double from_half = std::floor(Logit(score) * (kScoreBins / (2 * kLogitLimit)));
  return static_cast<int>(std::clamp(from_half + kHalfBin, 0.0, kScoreBins - 1.0));
}

double ScoreBinLowerEdge(int bin) {
  if (bin <= 0) return 0;
  if (bin >= kScoreBins) return 1;
  return Sigmoid(-kLogitLimit + bin * (2 * kLogitLimit / kScoreBins));
}

void BinarySums::Add(double score, bool target) {
  ++(target ? positives : negatives)[ScoreBin(score)];
  const double likelihood = target ? score : 1 - score;
  squared_error += (1 - likelihood) * (1 - likelihood);
  log_loss -= std::log(std::max(likelihood, kSmallestLikelihood));
  const int b = CalibrationBin(score);
  ++calibration_count[b];
  calibration_positives[b] += target ? 1 : 0;
  calibration_score[b] += score;
}

BinarySums& BinarySums::operator+=(const BinarySums& other) {
  CONSILIUM_CHECK(positives.size() == other.positives.size());
  CONSILIUM_CHECK(negatives.size() == other.negatives.size());
  const auto add = [](auto& sums, const auto& more) {
    std::transform(sums.begin(), sums.end(), more.begin(), sums.begin(), std::plus<>());
  };
  add(positives, other.positives);
  add(negatives, other.negatives);
  add(calibration_count, other.calibration_count);
  add(calibration_positives, other.calibration_positives);
  add(calibration_score, other.calibration_score);
  squared_error += other.squared_error;
  log_loss += other.log_loss;
  patients += other.patients;
  return *this;
}

std::uint64_t BinarySums::PositiveCount() const { return Total(positives); }
std::uint64_t BinarySums::NegativeCount() const { return Total(negatives); }

absl::Status Check(const BinarySums& sums) {
  if (sums.positives.size() != kScoreBins || sums.negatives.size() != kScoreBins) {
    return Refused(StrCat("the histograms have ", sums.positives.size(), " and ",
                          sums.negatives.size(), " bins, not ", kScoreBins));
  }
  if (BoundedTotal(sums.positives) > kMostExamples / 2 ||
      BoundedTotal(sums.negatives) > kMostExamples / 2) {
    return Refused("the histograms count more than 2^48 examples");
  }
  RETURN_IF_ERROR(CheckCalibration(sums));
  const auto count = static_cast<double>(sums.Count());
  if (!Within(sums.squared_error, 0, count)) {
    return Refused(StrCat("the squared error ", sums.squared_error, " of ", count, " examples"));
  }
  if (!Within(sums.log_loss, 0, -std::log(kSmallestLikelihood) * count)) {
    return Refused(StrCat("the log loss ", sums.log_loss, " of ", count, " examples"));
  }
  if (sums.patients > sums.Count()) {
    return Refused(StrCat(sums.patients, " patients with ", sums.Count(), " examples"));
  }
  return absl::OkStatus();
}

absl::StatusOr<BinaryMetrics> Compute(const BinarySums& sums, double at_specificity) {
  RETURN_IF_ERROR(Check(sums));
  if (!(at_specificity >= 0 && at_specificity <= 1)) {
    return absl::InvalidArgumentError(
        StrCat("the specificity ", at_specificity, " is out of range: 0 to 1"));
  }
  BinaryMetrics metrics;
  metrics.positives = sums.PositiveCount();
  metrics.negatives = sums.NegativeCount();
  metrics.patients = sums.patients;
  RETURN_IF_ERROR(CheckBothClasses(metrics.positives, metrics.negatives));
  const auto positives = static_cast<double>(metrics.positives);
  const auto negatives = static_cast<double>(metrics.negatives);
  const double count = positives + negatives;

  const Auroc auroc = HistogramAuroc(sums.positives, sums.negatives, positives, negatives);
  metrics.auroc = auroc.value;
  metrics.auroc_error_bound = auroc.error_bound;
  metrics.auroc_95 = AurocInterval(auroc, positives, negatives);
  metrics.auprc = AveragePrecision(sums, positives);
  metrics.accuracy = Accuracy(sums, count);
  metrics.sensitivity = SensitivityAt(at_specificity, sums, positives, negatives);
  metrics.at_specificity = at_specificity;
  metrics.brier = sums.squared_error / count;
  metrics.log_loss = sums.log_loss / count;
  metrics.calibration = Calibration(sums);
  metrics.roc = RocCurve(sums, positives, negatives);
  return metrics;
}

bool LargeEnoughToShow(const BinarySums& sums) {
  return sums.PositiveCount() >= kSmallCount && sums.NegativeCount() >= kSmallCount;
}

absl::StatusOr<double> ExactAuroc(const std::vector<double>& scores,
                                  const std::vector<bool>& targets) {
  if (scores.size() != targets.size()) {
    return absl::InvalidArgumentError(
        StrCat(scores.size(), " scores, but ", targets.size(), " targets"));
  }
  if (std::any_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); })) {
    return absl::InvalidArgumentError("a score is NaN");
  }
  const auto all_positives =
      static_cast<std::uint64_t>(std::count(targets.begin(), targets.end(), true));
  RETURN_IF_ERROR(CheckBothClasses(all_positives, targets.size() - all_positives));
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double wins = 0, negatives_below = 0;
  for (std::size_t i = 0; i < order.size();) {
    double positives = 0, negatives = 0;
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) {
      (targets[order[i]] ? positives : negatives) += 1;
    }
    wins += positives * (negatives_below + negatives / 2);
    negatives_below += negatives;
  }
  return wins / (static_cast<double>(all_positives) * negatives_below);
}

}  // namespace consilium::metrics
