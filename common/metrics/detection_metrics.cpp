#include "common/metrics/detection_metrics.h"

#include <algorithm>
#include <cmath>

#include "common/metrics/detection_matching.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

using Histogram = KindSums::Histogram;

constexpr int kMostFrocPoints = 100;
// 97.5 % quantiles of Student's t with 1 to 9 degrees of freedom.
constexpr double kStudent[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706,
                               2.4469,  2.3646, 2.3060, 2.2622};

// A kind's boxes and right boxes, of all groups or of all but one.
struct Curve {
  Histogram boxes{}, right{};
  double findings = 0;
};

Curve CurveWithout(const KindSums& sums, int group) {
  Curve curve;
  for (int g = 0; g < kPatientGroups; ++g) {
    if (g == group) continue;
    for (int b = 0; b < kBoxScoreBins; ++b) {
      curve.boxes[b] += sums.boxes[g][b];
      curve.right[b] += sums.found[g][b];
    }
    curve.findings += static_cast<double>(sums.findings[g]);
  }
  return curve;
}

// All right boxes of a bin are taken at its last one's precision, which is the best of theirs. With
// `wrong_first` the bin's wrong boxes come before them, else after: nothing in between is lower, or
// higher.
double AveragePrecision(const Curve& curve, bool wrong_first) {
  std::array<double, kBoxScoreBins> precision{};
  double right = 0, wrong = 0;
  for (int b = kBoxScoreBins - 1; b >= 0; --b) {
    const auto found = static_cast<double>(curve.right[b]);
    const auto bad = static_cast<double>(curve.boxes[b]) - found;
    right += found;
    if (found > 0) precision[b] = right / (right + wrong + (wrong_first ? bad : 0));
    wrong += bad;
  }
  double sum = 0, best = 0;
  for (int b = 0; b < kBoxScoreBins; ++b) {
    best = std::max(best, precision[b]);
    sum += static_cast<double>(curve.right[b]) * best;
  }
  return sum / curve.findings;
}

double AveragePrecision(const Curve& curve) {
  return (AveragePrecision(curve, true) + AveragePrecision(curve, false)) / 2;
}

// Over the kinds that have a finding, without one group's patients. Nothing: no kind has one.
std::optional<double> MeanPrecision(const DetectionSums& sums, int without) {
  double sum = 0, kinds = 0;
  for (const KindSums& kind : sums.kinds) {
    const Curve curve = CurveWithout(kind, without);
    if (curve.findings == 0) continue;
    sum += AveragePrecision(curve);
    ++kinds;
  }
  if (kinds == 0) return std::nullopt;
  return sum / kinds;
}

Interval JackknifeInterval(const DetectionSums& sums, double estimate) {
  double trials = 0, groups = 0, squares = 0;
  for (const KindSums& kind : sums.kinds) {
    trials = std::max(trials, static_cast<double>(kind.patients));
  }
  for (int g = 0; g < kPatientGroups; ++g) {
    if (sums.group_patients[g] == 0) continue;
    const std::optional<double> without = MeanPrecision(sums, g);
    if (!without) return Wilson(std::clamp(estimate, 0.0, 1.0), trials);
    squares += (*without - estimate) * (*without - estimate);
    ++groups;
  }
  if (groups < 2) return Wilson(std::clamp(estimate, 0.0, 1.0), trials);
  const double widening = kStudent[static_cast<int>(groups) - 2] / kZ95;
  return LogitInterval(estimate, (groups - 1) / groups * squares * widening * widening, trials);
}

// From the highest score down, at the lower edge of each bin that holds a hit or a false alarm.
std::vector<KindMetrics::FrocPoint> FullFroc(const KindSums& sums, double findings, double images) {
  std::vector<KindMetrics::FrocPoint> points = {{0, 0}};
  double hits = 0, alarms = 0;
  for (int b = kBoxScoreBins - 1; b >= 0; --b) {
    if (sums.hits[b] + sums.false_alarms[b] == 0) continue;
    hits += static_cast<double>(sums.hits[b]);
    alarms += static_cast<double>(sums.false_alarms[b]);
    points.push_back({alarms / images, hits / findings});
  }
  return points;
}

double SensitivityAt(const std::vector<KindMetrics::FrocPoint>& curve, double false_alarms) {
  const auto after = std::upper_bound(
      curve.begin(), curve.end(), false_alarms,
      [](double rate, const KindMetrics::FrocPoint& point) { return rate < point.false_alarms; });
  const auto& before = *std::prev(after);  // the first point has none
  if (after == curve.end()) return before.sensitivity;
  const double share =
      (false_alarms - before.false_alarms) / (after->false_alarms - before.false_alarms);
  return before.sensitivity + share * (after->sensitivity - before.sensitivity);
}

void AddFroc(const KindSums& sums, double findings, double images, KindMetrics& metrics) {
  std::vector<KindMetrics::FrocPoint> curve = FullFroc(sums, findings, images);
  for (std::size_t i = 0; i < kFalseAlarmsAnImage.size(); ++i) {
    metrics.sensitivities[i] = SensitivityAt(curve, kFalseAlarmsAnImage[i]);
    metrics.froc_sensitivity += metrics.sensitivities[i] / kFalseAlarmsAnImage.size();
  }
  const std::size_t step = (curve.size() + kMostFrocPoints - 2) / (kMostFrocPoints - 1);
  for (std::size_t i = 0; i + 1 < curve.size(); i += step) metrics.froc.push_back(curve[i]);
  metrics.froc.push_back(curve.back());
  for (int b = BoxScoreBin(kOperatingScore); b < kBoxScoreBins; ++b) {
    metrics.sensitivity += static_cast<double>(sums.hits[b]) / findings;
    metrics.false_alarms += static_cast<double>(sums.false_alarms[b]) / images;
  }
}

KindMetrics MetricsOf(const KindSums& sums, double images) {
  KindMetrics metrics;
  Curve curve = CurveWithout(sums, -1);
  metrics.findings = Total(sums.findings);
  metrics.patients = sums.patients;
  const double low = AveragePrecision(curve, true), high = AveragePrecision(curve, false);
  metrics.average_precision = (low + high) / 2;
  metrics.average_precision_error_bound = (high - low) / 2;
  curve.right = sums.found_75;
  metrics.average_precision_75 = AveragePrecision(curve);
  AddFroc(sums, curve.findings, images, metrics);
  return metrics;
}

}  // namespace

absl::StatusOr<DetectionMetrics> Compute(const DetectionSums& sums) {
  RETURN_IF_ERROR(Check(sums));
  DetectionMetrics metrics;
  metrics.patients = sums.patients;
  metrics.images = sums.images;
  metrics.findings = sums.FindingCount();
  metrics.kinds.resize(sums.kinds.size());
  double present = 0;
  for (std::size_t i = 0; i < sums.kinds.size(); ++i) {
    if (sums.kinds[i].patients == 0) continue;
    const KindMetrics& one =
        metrics.kinds[i].emplace(MetricsOf(sums.kinds[i], static_cast<double>(sums.images)));
    metrics.average_precision += one.average_precision;
    metrics.average_precision_75 += one.average_precision_75;
    metrics.froc_sensitivity += one.froc_sensitivity;
    metrics.sensitivity += one.sensitivity;
    metrics.false_alarms += one.false_alarms;
    ++present;
  }
  if (present == 0) {
    return absl::FailedPreconditionError(
        "no image has a finding of any kind, so there is no average precision");
  }
  for (double* mean : {&metrics.average_precision, &metrics.average_precision_75,
                       &metrics.froc_sensitivity, &metrics.sensitivity, &metrics.false_alarms}) {
    *mean /= present;
  }
  metrics.average_precision_95 = JackknifeInterval(sums, metrics.average_precision);
  return metrics;
}

absl::StatusOr<double> ExactAveragePrecision(std::span<const ImageFindings> images,
                                             std::uint32_t kind, double overlap) {
  std::vector<std::pair<float, bool>> boxes;
  double findings = 0;
  for (const ImageFindings& image : images) {
    const KindOfImage one(image, kind);
    const std::vector<bool> matched = one.Matched(overlap);
    for (std::size_t i = 0; i < matched.size(); ++i) {
      boxes.emplace_back(one.boxes[i].score, matched[i]);
    }
    findings += static_cast<double>(one.findings.size());
  }
  if (findings == 0) return absl::FailedPreconditionError("there is no finding of this kind");
  std::stable_sort(boxes.begin(), boxes.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<double> precision;  // at each right box
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    if (!boxes[i].second) continue;
    precision.push_back(static_cast<double>(precision.size() + 1) / static_cast<double>(i + 1));
  }
  double sum = 0, best = 0;
  for (auto it = precision.rbegin(); it != precision.rend(); ++it) {
    best = std::max(best, *it);
    sum += best;
  }
  return sum / findings;
}

}  // namespace consilium::metrics
