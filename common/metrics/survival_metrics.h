#pragma once

// Metrics of a model that says who is at greater risk, from sums that add up across sites.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/metrics/binary_metrics.h"

namespace consilium::metrics {

// Times on a grid that is the same for every plan, so that sums always add up: bins uniform in
// log(1 + days) from 0 to 100 years. Risks (log relative hazards) uniform from -8 to 8, the outer
// bins taking what lies beyond.
inline constexpr int kTimeBins = 64;
inline constexpr int kRiskBins = 128;
int TimeBin(double days);
double TimeBinLowerEdge(int bin);
int RiskBin(double risk);

struct Survivor {
  double days = 0;     // > 0
  bool event = false;  // it happened then; else nothing is known after
  double risk = 0;     // log relative hazard, larger is worse
};

struct SurvivalSums {
  // Of patients in pairs of one site of whom the one is known to have outlived the other (Harrell
  // et al. 1982): doubled, so that ties in risk count 1.
  std::uint64_t concordant_halves = 0, comparable = 0;
  // comparable by the earlier's patient: sum over events of (c_i - n_i / 2)^2 and such, for the
  // interval, see Compute.
  double pair_variance = 0;
  // kTimeBins x kRiskBins counts of those with an event, and of those without: for the pooled
  // concordance across sites, Kaplan-Meier curves by risk group and calibration.
  std::vector<std::uint64_t> events = std::vector<std::uint64_t>(kTimeBins * kRiskBins);
  std::vector<std::uint64_t> censored = std::vector<std::uint64_t>(kTimeBins * kRiskBins);
  std::uint64_t patients = 0;

  // All of one site's, in one call (pairs are within it).
  static SurvivalSums Of(std::span<const Survivor> site);
  SurvivalSums& operator+=(const SurvivalSums& other);
  std::uint64_t EventCount() const;
  std::uint64_t Count() const;
  bool operator==(const SurvivalSums&) const = default;
};
absl::Status Check(const SurvivalSums& sums);

struct SurvivalMetrics {
  std::uint64_t patients = 0, events = 0;
  double concordance = 0;  // of pairs within a site
  Interval concordance_95;
  // Of all pairs, across sites too, from the histogram: a tie of bins counts half.
  double pooled_concordance = 0;
  struct Point {
    double days = 0, survival = 1;
    std::uint64_t at_risk = 0;
  };
  // Kaplan-Meier of the third with the lowest, the middle and the highest risk; points with fewer
  // than kSmallCount at risk are left out.
  std::vector<std::vector<Point>> by_risk;
  double log_rank_chi2 = 0;  // of the three groups (2 degrees of freedom)
};
absl::StatusOr<SurvivalMetrics> Compute(const SurvivalSums& sums);

// Harrell's concordance of all, exactly, for tests and local reports. kFailedPrecondition when no
// pair is comparable.
absl::StatusOr<double> ExactConcordance(std::span<const Survivor> patients);

}  // namespace consilium::metrics
