#include "common/metrics/survival_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "common/metrics/sum_checks.h"
#include "common/metrics/survival_curves.h"

namespace consilium::metrics {
namespace {

// How many risks of each rank there are; ranks from 0.
class RankCounts {
 public:
  explicit RankCounts(std::size_t ranks) : tree_(ranks + 1) {}
  void Add(std::size_t rank) {
    ++total_;
    for (std::size_t i = rank + 1; i < tree_.size(); i += i & (~i + 1)) ++tree_[i];
  }
  std::uint64_t Below(std::size_t rank) const {
    std::uint64_t count = 0;
    for (std::size_t i = rank; i > 0; i -= i & (~i + 1)) count += tree_[i];
    return count;
  }
  std::uint64_t total() const { return total_; }

 private:
  std::vector<std::uint64_t> tree_;
  std::uint64_t total_ = 0;
};

struct Pairs {
  std::uint64_t comparable = 0, halves = 0;
};

// Of each patient, the comparable pairs that he is in, in O(n log n).
class PairCounter {
 public:
  explicit PairCounter(std::span<const Survivor> patients)
      : patients_(patients), pairs_(patients.size()), order_(patients.size()) {
    std::vector<double> risks;
    for (const Survivor& patient : patients) {
      CONSILIUM_CHECK(std::isfinite(patient.days) && patient.days >= 0);
      CONSILIUM_CHECK(!std::isnan(patient.risk));
      risks.push_back(patient.risk);
    }
    std::sort(risks.begin(), risks.end());
    for (const Survivor& patient : patients) {
      const auto rank = std::lower_bound(risks.begin(), risks.end(), patient.risk);
      ranks_.push_back(static_cast<std::size_t>(rank - risks.begin()));
    }
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    // Of one time first those with an event: who is censored then has outlived them.
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return patients[a].days != patients[b].days ? patients[a].days < patients[b].days
                                                  : patients[a].event > patients[b].event;
    });
  }

  std::vector<Pairs> Count() && {
    CountAsLater();
    CountAsEarlier();
    return std::move(pairs_);
  }

 private:
  bool SameEvent(std::size_t a, std::size_t b) const {
    return patients_[a].event && patients_[b].event && patients_[a].days == patients_[b].days;
  }

  // With all whose event came before.
  void CountAsLater() {
    RankCounts earlier(patients_.size());
    for (std::size_t i = 0; i < order_.size();) {
      std::size_t end = i;  // of those with an event at this time
      while (end < order_.size() && SameEvent(order_[i], order_[end])) ++end;
      const std::size_t last = std::max(end, i + 1);
      for (std::size_t k = i; k < last; ++k) {
        Pairs& pairs = pairs_[order_[k]];
        const std::size_t rank = ranks_[order_[k]];
        pairs.comparable += earlier.total();
        // Higher risks of the earlier are right, equal ones half so.
        pairs.halves += 2 * earlier.total() - earlier.Below(rank) - earlier.Below(UpTo(rank));
      }
      for (; i < end; ++i) earlier.Add(ranks_[order_[i]]);
      i = last;
    }
  }

  // With all who outlived him.
  void CountAsEarlier() {
    RankCounts later(patients_.size());
    for (std::size_t end = order_.size(); end > 0;) {
      std::size_t begin = end - 1;
      while (begin > 0 && SameEvent(order_[begin - 1], order_[end - 1])) --begin;
      for (std::size_t k = begin; k < end; ++k) {
        if (!patients_[order_[k]].event) continue;
        Pairs& pairs = pairs_[order_[k]];
        const std::size_t rank = ranks_[order_[k]];
        pairs.comparable += later.total();
        pairs.halves += later.Below(rank) + later.Below(UpTo(rank));
      }
      for (std::size_t k = begin; k < end; ++k) later.Add(ranks_[order_[k]]);
      end = begin;
    }
  }

  // Ranks are of the sorted risks, equal ones sharing the first: the next rank ends them.
  static std::size_t UpTo(std::size_t rank) { return rank + 1; }

  std::span<const Survivor> patients_;
  std::vector<Pairs> pairs_;
  std::vector<std::size_t> order_, ranks_;
};

std::size_t Cell(const Survivor& patient) {
  return static_cast<std::size_t>(TimeBin(patient.days)) * kRiskBins +
         static_cast<std::size_t>(RiskBin(patient.risk));
}

// Var C = sum over patients of (h_i / 2 - C n_i)^2 / comparable^2: how much C changes with the
// weight of each patient.
double ConcordanceVariance(const SurvivalSums& sums, double concordance) {
  const auto pairs = static_cast<double>(sums.comparable);
  const double spread = static_cast<double>(sums.halves_squared) / 4 -
                        concordance * static_cast<double>(sums.halves_by_pairs) +
                        concordance * concordance * static_cast<double>(sums.pairs_squared);
  return std::max(0.0, spread) / (pairs * pairs);
}

absl::Status CheckPairs(const SurvivalSums& sums) {
  const auto patients = static_cast<double>(sums.Count());
  const auto pairs = static_cast<double>(sums.comparable);
  const auto halves = static_cast<double>(sums.concordant_halves);
  const auto events = static_cast<double>(sums.EventCount());
  if (sums.comparable > kMostExamples * 1024 || pairs > events * std::max(0.0, patients - 1) ||
      sums.concordant_halves > 2 * sums.comparable) {
    return Refused(StrCat(sums.concordant_halves, " concordant halves of ", sums.comparable,
                          " pairs, of ", sums.EventCount(), " events and ", sums.Count(),
                          " examples"));
  }
  // n_i add up to 2 pairs and are below the number of patients; h_i add up to 2 halves and are at
  // most 2 n_i.
  const auto hh = static_cast<double>(sums.halves_squared);
  const auto hn = static_cast<double>(sums.halves_by_pairs);
  const auto nn = static_cast<double>(sums.pairs_squared);
  if (!Within(nn, 0, 2 * pairs * patients) || !Within(4 * pairs * pairs, 0, nn * patients) ||
      !Within(hn, 0, 2 * nn) || !Within(hh, 0, 2 * hn) || !Within(hn * hn, 0, hh * nn) ||
      !Within(4 * halves * halves, 0, hh * patients)) {
    return Refused("the squares of the patients' pairs do not go with the pairs");
  }
  return absl::OkStatus();
}

}  // namespace

int TimeBin(double days) {
  CONSILIUM_CHECK(days >= 0);
  const double bin = std::log1p(days) / std::log1p(kMostDays) * kTimeBins;
  return static_cast<int>(std::min(bin, kTimeBins - 1.0));
}

double TimeBinLowerEdge(int bin) { return std::expm1(std::log1p(kMostDays) * bin / kTimeBins); }

int RiskBin(double risk) {
  CONSILIUM_CHECK(!std::isnan(risk));
  const double bin = std::floor((risk + kRiskLimit) / (2 * kRiskLimit) * kRiskBins);
  return static_cast<int>(std::clamp(bin, 0.0, kRiskBins - 1.0));
}

double RiskBinCentre(int bin) { return -kRiskLimit + (bin + 0.5) * 2 * kRiskLimit / kRiskBins; }

SurvivalSums SurvivalSums::Of(std::span<const Survivor> site) {
  CONSILIUM_CHECK(site.size() <= kMostSurvivors);
  SurvivalSums sums;
  for (const Pairs& pairs : PairCounter(site).Count()) {
    sums.comparable += pairs.comparable;
    sums.concordant_halves += pairs.halves;
    sums.halves_squared += pairs.halves * pairs.halves;
    sums.halves_by_pairs += pairs.halves * pairs.comparable;
    sums.pairs_squared += pairs.comparable * pairs.comparable;
  }
  sums.comparable /= 2;  // each was counted by both of its patients
  sums.concordant_halves /= 2;
  for (const Survivor& patient : site) {
    ++(patient.event ? sums.events : sums.censored)[Cell(patient)];
  }
  sums.patients = site.size();
  return sums;
}

SurvivalSums& SurvivalSums::operator+=(const SurvivalSums& other) {
  CONSILIUM_CHECK(events.size() == other.events.size());
  CONSILIUM_CHECK(censored.size() == other.censored.size());
  comparable += other.comparable;
  concordant_halves += other.concordant_halves;
  halves_squared += other.halves_squared;
  halves_by_pairs += other.halves_by_pairs;
  pairs_squared += other.pairs_squared;
  const auto add = [](auto& counts, const auto& more) {
    std::transform(counts.begin(), counts.end(), more.begin(), counts.begin(), std::plus<>());
  };
  add(events, other.events);
  add(censored, other.censored);
  patients += other.patients;
  return *this;
}

std::uint64_t SurvivalSums::EventCount() const { return Total(events); }
std::uint64_t SurvivalSums::Count() const { return Total(events) + Total(censored); }

absl::Status Check(const SurvivalSums& sums) {
  constexpr std::size_t kCells = std::size_t{kTimeBins} * kRiskBins;
  if (sums.events.size() != kCells || sums.censored.size() != kCells) {
    return Refused(StrCat("the histograms have ", sums.events.size(), " and ", sums.censored.size(),
                          " cells, not ", kCells));
  }
  if (BoundedTotal(sums.events) > kMostExamples / 2 ||
      BoundedTotal(sums.censored) > kMostExamples / 2) {
    return Refused("the histograms count more than 2^48 examples");
  }
  if (sums.patients > sums.Count()) {
    return Refused(StrCat(sums.patients, " patients with ", sums.Count(), " examples"));
  }
  return CheckPairs(sums);
}

absl::StatusOr<SurvivalMetrics> Compute(const SurvivalSums& sums) {
  RETURN_IF_ERROR(Check(sums));
  if (sums.comparable == 0) {
    return absl::FailedPreconditionError(
        sums.EventCount() == 0
            ? "no event happened, so nobody is known to have outlived another"
            : "of no two patients of one site the one is known to have outlived the other");
  }
  SurvivalMetrics metrics;
  metrics.examples = sums.Count();
  metrics.patients = sums.patients;
  metrics.events = sums.EventCount();
  metrics.concordance =
      static_cast<double>(sums.concordant_halves) / 2 / static_cast<double>(sums.comparable);
  metrics.concordance_95 =
      LogitInterval(metrics.concordance, ConcordanceVariance(sums, metrics.concordance),
                    static_cast<double>(metrics.events));
  metrics.pooled_concordance = PooledConcordance(sums);
  AddCurves(sums, metrics);
  AddIntegratedBrier(sums, metrics);
  return metrics;
}

absl::StatusOr<double> ExactConcordance(std::span<const Survivor> patients) {
  for (const Survivor& patient : patients) {
    if (!(std::isfinite(patient.days) && patient.days >= 0) || std::isnan(patient.risk)) {
      return absl::InvalidArgumentError("a time is below 0 or no number, or a risk is no number");
    }
  }
  std::uint64_t comparable = 0, halves = 0;
  for (const Pairs& pairs : PairCounter(patients).Count()) {
    comparable += pairs.comparable;
    halves += pairs.halves;
  }
  if (comparable == 0) {
    return absl::FailedPreconditionError(
        "of no two patients the one is known to have outlived the other");
  }
  return static_cast<double>(halves) / 2 / static_cast<double>(comparable);
}

}  // namespace consilium::metrics
