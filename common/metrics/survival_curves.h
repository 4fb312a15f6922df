#pragma once

// Private to common/metrics. What the histogram of times and risks shows.

#include <optional>

#include "common/metrics/survival_metrics.h"

namespace consilium::metrics {

std::optional<double> PooledConcordance(const SurvivalSums& sums);
void AddCurves(const SurvivalSums& sums, SurvivalMetrics& metrics);  // by_risk and log-rank
void AddIntegratedBrier(const SurvivalSums& sums, SurvivalMetrics& metrics);

}  // namespace consilium::metrics
