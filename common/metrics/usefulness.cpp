#include "common/metrics/usefulness.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The examples of one bin of scores.
struct Bin {
  double logit = 0, positives = 0, negatives = 0;
};

std::vector<Bin> BinsOf(const BinarySums& sums) {
  std::vector<Bin> bins;
  for (int b = 0; b < kScoreBins; ++b) {
    const auto i = static_cast<std::size_t>(b);
    if (sums.positives[i] == 0 && sums.negatives[i] == 0) continue;
    bins.push_back({-kLogitLimit + (b + 0.5) * 2 * kLogitLimit / kScoreBins,
                    static_cast<double>(sums.positives[i]),
                    static_cast<double>(sums.negatives[i])});
  }
  return bins;
}

struct Line {
  double intercept = 0, slope = 1;
};

// Of minus the log likelihood: the value, and its first and second derivatives.
struct Likelihood {
  Likelihood(const std::vector<Bin>& bins, const Line& line) {
    for (const Bin& bin : bins) {
      const double x = line.intercept + line.slope * bin.logit;
      const double p = Sigmoid(x), count = bin.positives + bin.negatives;
      // log(1 + exp(x)) without overflow.
      loss += count * (std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)))) - bin.positives * x;
      const double residual = count * p - bin.positives, weight = count * p * (1 - p);
      by_intercept += residual;
      by_slope += residual * bin.logit;
      ii += weight;
      is += weight * bin.logit;
      ss += weight * bin.logit * bin.logit;
    }
  }
  double loss = 0, by_intercept = 0, by_slope = 0, ii = 0, is = 0, ss = 0;
};

// Newton's method with halved steps. Nothing when there is no single best line.
std::optional<Line> Fit(const std::vector<Bin>& bins, bool with_slope) {
  constexpr double kFlat = 1e-9, kEnough = 1e-10, kRounding = 1e-12, kLongestStep = 4,
                   kBeyondReason = 1e3;
  Line line;
  for (int step = 0; step < 100; ++step) {
    const Likelihood here(bins, line);
    const double determinant = here.ii * here.ss - here.is * here.is;
    if (here.ii < kFlat || (with_slope && determinant < kFlat * here.ii * (1 + here.ss))) {
      return std::nullopt;
    }
    Line change{here.by_intercept / here.ii, 0};
    if (with_slope) {
      change = {(here.ss * here.by_intercept - here.is * here.by_slope) / determinant,
                (here.ii * here.by_slope - here.is * here.by_intercept) / determinant};
    }
    // Far from the best line a full step may go anywhere.
    const double length = std::abs(change.intercept) + std::abs(change.slope);
    double share = std::min(1.0, kLongestStep / std::max(length, kEnough));
    Line next;
    do {
      next = {line.intercept - share * change.intercept, line.slope - share * change.slope};
      share /= 2;
    } while (share > 1e-6 && Likelihood(bins, next).loss > here.loss * (1 + kRounding));
    line = next;
    if (std::abs(line.slope) > kBeyondReason || std::abs(line.intercept) > kBeyondReason) {
      return std::nullopt;
    }
    if (length < kEnough) return line;
  }
  return std::nullopt;
}

// Whether a score divides the positives from the negatives; ties at it may be of both.
bool Separated(const std::vector<Bin>& bins) {
  const auto separated = [&](double Bin::*low, double Bin::*high) {
    double highest_low = -1e9, lowest_high = 1e9;
    for (const Bin& bin : bins) {
      if (bin.*low > 0) highest_low = std::max(highest_low, bin.logit);
      if (bin.*high > 0) lowest_high = std::min(lowest_high, bin.logit);
    }
    return highest_low <= lowest_high;
  };
  return separated(&Bin::negatives, &Bin::positives) || separated(&Bin::positives, &Bin::negatives);
}

}  // namespace

absl::StatusOr<std::vector<DecisionPoint>> DecisionCurve(const BinarySums& sums,
                                                         const std::vector<double>& thresholds) {
  RETURN_IF_ERROR(Check(sums));
  if (sums.Count() == 0) return absl::FailedPreconditionError("there is no example");
  std::vector<double> true_positives(kScoreBins + 1), false_positives(kScoreBins + 1);
  for (std::size_t b = kScoreBins; b-- > 0;) {  // of this bin and higher ones
    true_positives[b] = true_positives[b + 1] + static_cast<double>(sums.positives[b]);
    false_positives[b] = false_positives[b + 1] + static_cast<double>(sums.negatives[b]);
  }
  const double count = true_positives[0] + false_positives[0];
  std::vector<DecisionPoint> curve;
  for (const double threshold : thresholds) {
    if (!(threshold > 0 && threshold < 1)) {
      return absl::InvalidArgumentError(
          StrCat("the threshold ", threshold, " is out of range: above 0, below 1"));
    }
    const auto bin = static_cast<std::size_t>(ScoreBin(threshold));
    const double harm = threshold / (1 - threshold);
    curve.push_back({threshold, (true_positives[bin] - harm * false_positives[bin]) / count,
                     (true_positives[0] - harm * false_positives[0]) / count});
  }
  return curve;
}

absl::StatusOr<Recalibration> Recalibrate(const BinarySums& sums) {
  RETURN_IF_ERROR(Check(sums));
  const std::uint64_t positives = sums.PositiveCount();
  if (positives == 0 || sums.NegativeCount() == 0) {
    return absl::FailedPreconditionError(StrCat("there is no ",
                                                positives == 0 ? "positive" : "negative",
                                                " example, so scores cannot be recalibrated"));
  }
  const std::vector<Bin> bins = BinsOf(sums);
  const std::optional<Line> shift = Fit(bins, false);
  const std::optional<Line> line = Separated(bins) ? std::nullopt : Fit(bins, true);
  if (!shift || !line) {
    return absl::FailedPreconditionError(
        "the scores separate positives from negatives, or are all alike, so no slope fits best");
  }
  const Likelihood at_line(bins, *line), at_shift(bins, *shift);
  const double slope_error =
      std::sqrt(at_line.ii / (at_line.ii * at_line.ss - at_line.is * at_line.is));
  const double shift_error = 1 / std::sqrt(at_shift.ii);
  const double expected =
      std::accumulate(sums.calibration_score.begin(), sums.calibration_score.end(), 0.0);
  Recalibration result;
  result.slope = line->slope;
  result.intercept = line->intercept;
  result.slope_95 = {line->slope - kZ95 * slope_error, line->slope + kZ95 * slope_error};
  result.in_the_large = shift->intercept;
  result.in_the_large_95 = {shift->intercept - kZ95 * shift_error,
                            shift->intercept + kZ95 * shift_error};
  // Scores of 0 throughout expect nobody; a millionth of an example stands for that.
  result.observed_over_expected = static_cast<double>(positives) / std::max(expected, 1e-6);
  return result;
}

}  // namespace consilium::metrics
