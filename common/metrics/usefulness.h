#pragma once

// Whether a binary classifier's probabilities may be taken at their word, and whether acting on
// them does more good than harm: from the same sums as its other metrics, so of one site or of all
// together.

#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

// Decision curve (Vickers and Elkin 2006). At threshold t, who treats patients with a score of t or
// more holds one missed disease to be as bad as (1 - t) / t needless treatments; the net benefit is
// (true positives - false positives t / (1 - t)) / examples. To treat nobody has 0.
struct DecisionPoint {
  double threshold = 0;
  double net_benefit = 0;  // of treating by the model
  double treat_all = 0;    // of treating everybody
};
// Thresholds above 0 and below 1; each counts at the edge of its score bin (ScoreBinLowerEdge),
// less than 0.008 t (1 - t) below it. kInvalidArgument: another threshold, sums that Check refuses.
// kFailedPrecondition: no example.
absl::StatusOr<std::vector<DecisionPoint>> DecisionCurve(const BinarySums& sums,
                                                         const std::vector<double>& thresholds);

// Logistic recalibration (Cox 1958; Van Calster et al. 2019): the model logit P = intercept + slope
// logit(score), fitted by maximum likelihood to the histograms of scores (bins 1/128 wide in
// logit). Perfect: slope 1, intercept 0. A slope below 1: scores are too extreme, as of an
// overfitted model.
struct Recalibration {
  double slope = 1, intercept = 0;
  Interval slope_95;  // Wald
  // The intercept when the slope is held at 1: above 0, the scores are too low on the whole.
  double in_the_large = 0;
  Interval in_the_large_95;           // Wald
  double observed_over_expected = 1;  // positives, over the sum of scores
};
// kFailedPrecondition: no positive or no negative; the scores separate them, or are all in one bin,
// so that no slope fits best.
absl::StatusOr<Recalibration> Recalibrate(const BinarySums& sums);

}  // namespace consilium::metrics
