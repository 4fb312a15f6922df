#include "common/metrics/distribution_shift.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/text.h"

namespace consilium::metrics {
namespace {

constexpr double kChiSquare99 = 21.666;  // of kShiftBins - 1 degrees of freedom

// How many values are at or below each edge, and above the last.
std::array<double, kShiftBins> SharesOf(std::span<const double> values,
                                        const std::vector<double>& edges) {
  std::array<double, kShiftBins> shares{};
  for (const double value : values) {
    const auto bin = std::lower_bound(edges.begin(), edges.end(), value) - edges.begin();
    shares[static_cast<std::size_t>(bin)] += 1;
  }
  for (double& share : shares) {
    share = (share + 0.5) / (static_cast<double>(values.size()) + 0.5 * kShiftBins);
  }
  return shares;
}

double LargestDistance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double largest = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double at = std::min(a[i], b[j]);
    while (i < a.size() && a[i] == at) ++i;
    while (j < b.size() && b[j] == at) ++j;
    const double distance = static_cast<double>(i) / static_cast<double>(a.size()) -
                            static_cast<double>(j) / static_cast<double>(b.size());
    largest = std::max(largest, std::abs(distance));
  }
  return largest;
}

// Kolmogorov's distribution.
double ChanceOf(double distance, double m, double n) {
  const double root = std::sqrt(m * n / (m + n));
  const double x = (root + 0.12 + 0.11 / root) * distance;
  if (x < 0.2) return 1;  // the series does not converge there, and is 1 to 12 digits
  double sum = 0;
  for (int k = 1; k <= 100; ++k) {
    sum += (k % 2 == 1 ? 2 : -2) * std::exp(-2.0 * k * k * x * x);
  }
  return std::clamp(sum, 0.0, 1.0);
}

}  // namespace

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (rank - static_cast<double>(below)) * (values[above] - values[below]);
}

absl::StatusOr<Shift> CompareDistributions(std::span<const double> first,
                                           std::span<const double> second) {
  if (first.size() < kLeastForShift || second.size() < kLeastForShift) {
    return absl::FailedPreconditionError(
        StrCat(first.size(), " and ", second.size(),
               " patients are too few to compare: ", kLeastForShift, " of each are needed"));
  }
  for (const auto& values : {first, second}) {
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
      return absl::InvalidArgumentError("a value is not a finite number");
    }
  }
  const std::vector<double> of_first(first.begin(), first.end());
  std::vector<double> edges;
  for (int decile = 1; decile < kShiftBins; ++decile) {
    edges.push_back(Quantile(of_first, static_cast<double>(decile) / kShiftBins));
  }
  const auto p = SharesOf(first, edges), q = SharesOf(second, edges);
  Shift shift;
  for (std::size_t bin = 0; bin < p.size(); ++bin) {
    shift.stability_index += (q[bin] - p[bin]) * std::log(q[bin] / p[bin]);
  }
  const auto m = static_cast<double>(first.size()), n = static_cast<double>(second.size());
  shift.stability_index_by_chance = kChiSquare99 * (1 / m + 1 / n);
  shift.distance = LargestDistance(of_first, {second.begin(), second.end()});
  shift.p = ChanceOf(shift.distance, m, n);
  return shift;
}

bool IsShifted(const Shift& shift, std::size_t looked_at) {
  const bool by_index = shift.stability_index >= kShiftedIndex &&
                        shift.stability_index > shift.stability_index_by_chance;
  const bool by_distance =
      shift.distance >= kShiftedDistance &&
      shift.p * static_cast<double>(std::max<std::size_t>(1, looked_at)) < kShiftedP;
  return by_index || by_distance;
}

}  // namespace consilium::metrics
