#pragma once

// Metrics of a model that says who is at greater risk, from sums that add up across sites.

#include <cstdint>
#include <optional>
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
inline constexpr double kMostDays = 36'525, kRiskLimit = 8;
int TimeBin(double days);          // days >= 0; later than kMostDays is in the last bin
double TimeBinLowerEdge(int bin);  // in days; of kTimeBins kMostDays
int RiskBin(double risk);          // NaN is a bug of the caller's
double RiskBinCentre(int bin);

inline constexpr std::size_t kMostSurvivors = 1'000'000;  // of one site: the squares fit

struct Survivor {
  double days = 0;     // >= 0 and finite
  bool event = false;  // it happened then; else nothing is known after
  double risk = 0;     // log relative hazard, larger is worse; not NaN
};

struct SurvivalSums {
  // Pairs of patients of one site of whom the one is known to have outlived the other (Harrell et
  // al. 1982): a later time, or the same one without an event. Halves: a pair whose risks are in
  // the right order is two, one whose risks are equal is one.
  std::uint64_t comparable = 0, concordant_halves = 0;
  // For the interval: with n_i the comparable pairs that patient i is in and h_i their concordant
  // halves, the sums over patients of h_i^2, h_i n_i and n_i^2.
  std::uint64_t halves_squared = 0, halves_by_pairs = 0, pairs_squared = 0;
  // kTimeBins x kRiskBins counts of those with an event, and of those without: for the pooled
  // concordance across sites, Kaplan-Meier curves by risk group and calibration.
  std::vector<std::uint64_t> events = std::vector<std::uint64_t>(kTimeBins * kRiskBins);
  std::vector<std::uint64_t> censored = std::vector<std::uint64_t>(kTimeBins * kRiskBins);
  std::uint64_t patients = 0;

  // All of one site's, in one call (pairs are within it), at most kMostSurvivors; each is taken for
  // a patient.
  static SurvivalSums Of(std::span<const Survivor> site);
  SurvivalSums& operator+=(const SurvivalSums& other);
  std::uint64_t EventCount() const;
  std::uint64_t Count() const;
  bool operator==(const SurvivalSums&) const = default;
};
absl::Status Check(const SurvivalSums& sums);

struct SurvivalMetrics {
  std::uint64_t examples = 0, patients = 0, events = 0;
  double concordance = 0;  // of pairs within a site
  // By the infinitesimal jackknife, on the logit scale; Wilson's of as many trials as there are
  // events where that is not defined.
  Interval concordance_95;
  // Of all pairs, across sites too, from the histogram: a tie of risk bins counts half, pairs in
  // one time bin are left out. Nothing when no pair is left.
  std::optional<double> pooled_concordance;
  struct Point {
    double days = 0, survival = 1;
    std::uint64_t at_risk = 0;
  };
  // Survival of the third with the lowest, the middle and the highest risk, as near as risk bins
  // allow, by life tables (Cutler and Ederer 1958: who is censored in a time bin was at risk for
  // half of it; Kaplan and Meier's estimate as bins get narrow). A curve begins at {0, 1, all};
  // points with fewer than kSmallCount at risk are left out. A third that nobody is in is empty.
  std::vector<std::vector<Point>> by_risk;
  // Log-rank test of the thirds (Mantel 1966), degrees_of_freedom + 1 of whom are not empty.
  double log_rank_chi2 = 0, log_rank_p = 1;
  int degrees_of_freedom = 0;
  // Integrated Brier score (Graf et al. 1999) from 0 to the end of the last time bin in which
  // kSmallCount patients were at risk, censoring weighed by its own life table, of the survival
  // that the risks and the baseline hazard mean; the latter after Breslow (1974) from the same
  // patients, which is why it is a little too good. And that of their life table without any risks:
  // a model that is worth something is below it. Nothing when nobody could be weighed.
  std::optional<double> integrated_brier, integrated_brier_without_risks;
};
// kFailedPrecondition: no comparable pair within any site.
absl::StatusOr<SurvivalMetrics> Compute(const SurvivalSums& sums);

// A moment at which something happened, in each of several groups.
struct RiskSet {
  std::vector<double> at_risk, events;
};
struct LogRank {
  double chi2 = 0, p = 1;
  int degrees_of_freedom = 0;  // groups of whom somebody was at risk, less one
};
// Mantel's log-rank test of two or three groups, ties by the hypergeometric variance.
LogRank LogRankTest(std::span<const RiskSet> moments);
// The same of exact times.
LogRank LogRankTest(std::span<const std::vector<Survivor>> groups);

// Harrell's concordance of all, exactly, for tests and local reports. kFailedPrecondition when no
// pair is comparable.
absl::StatusOr<double> ExactConcordance(std::span<const Survivor> patients);

}  // namespace consilium::metrics
