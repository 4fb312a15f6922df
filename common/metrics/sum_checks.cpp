#include "common/metrics/sum_checks.h"

#include <algorithm>

namespace consilium::metrics {
namespace {

double Logit(double p) { return std::log(p / (1 - p)); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Interval Wilson(double proportion, double trials) {
  const double z2 = kZ95 * kZ95;
  const double centre = (proportion + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half =
      kZ95 / (1 + z2 / trials) *
      std::sqrt(proportion * (1 - proportion) / trials + z2 / (4 * trials * trials));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Interval LogitInterval(double estimate, double variance, double trials) {
  constexpr double kRounding = 1e-12;
  if (variance < kRounding * kRounding || estimate < kRounding || estimate > 1 - kRounding) {
    return Wilson(std::clamp(estimate, 0.0, 1.0), trials);
  }
  const double centre = Logit(estimate);
  const double half = kZ95 * std::sqrt(variance) / (estimate * (1 - estimate));
  return {Sigmoid(centre - half), Sigmoid(centre + half)};
}

}  // namespace consilium::metrics
