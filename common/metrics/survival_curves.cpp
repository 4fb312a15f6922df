#include "common/metrics/survival_curves.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>

#include "common/base/status.h"

namespace consilium::metrics {
namespace {

double CountAt(const std::vector<std::uint64_t>& histogram, int time, int risk) {
  return static_cast<double>(
      histogram[static_cast<std::size_t>(time) * kRiskBins + static_cast<std::size_t>(risk)]);
}

// The share of a time bin in which somebody censored in it was at risk.
constexpr double kHalf = 0.5;

// Of the patients of the risk bins [from, to): a time bin each.
struct LifeTable {
  LifeTable(const SurvivalSums& sums, int from, int to) {
    for (int t = kTimeBins - 1; t >= 0; --t) {
      for (int r = from; r < to; ++r) {
        events[t] += CountAt(sums.events, t, r);
        censored[t] += CountAt(sums.censored, t, r);
      }
      entering[t] = events[t] + censored[t] + (t + 1 < kTimeBins ? entering[t + 1] : 0);
    }
  }
  double Exposed(int t) const { return entering[t] - kHalf * censored[t]; }

  std::array<double, kTimeBins> events{}, censored{}, entering{};
};

std::vector<SurvivalMetrics::Point> CurveOf(const LifeTable& table) {
  std::vector<SurvivalMetrics::Point> curve;
  double survival = 1;
  const auto all = static_cast<std::uint64_t>(table.entering[0]);
  if (all >= kSmallCount) curve.push_back({0, 1, all});
  for (int t = 0; t < kTimeBins; ++t) {
    if (table.events[t] == 0 || table.entering[t] < static_cast<double>(kSmallCount)) continue;
    survival *= 1 - std::min(1.0, table.events[t] / table.Exposed(t));
    curve.push_back(
        {TimeBinLowerEdge(t + 1), survival, static_cast<std::uint64_t>(table.entering[t])});
  }
  return curve;
}

// Where the risk bins are cut so that each group has about a third; the first cut is not after the
// second.
std::array<int, 4> Thirds(const SurvivalSums& sums) {
  std::array<double, kRiskBins> patients{};
  double all = 0;
  for (int t = 0; t < kTimeBins; ++t) {
    for (int r = 0; r < kRiskBins; ++r) {
      const double count = CountAt(sums.events, t, r) + CountAt(sums.censored, t, r);
      patients[static_cast<std::size_t>(r)] += count;
      all += count;
    }
  }
  const auto cut = [&](double wanted) {
    double below = 0;
    for (int r = 0; r < kRiskBins; ++r) {
      const double next = below + patients[static_cast<std::size_t>(r)];
      if (next >= wanted) return next - wanted <= wanted - below ? r + 1 : r;
      below = next;
    }
    return kRiskBins;
  };
  return {0, cut(all / 3), cut(2 * all / 3), kRiskBins};
}

double ChiSquareTail(double chi2, int degrees_of_freedom) {
  switch (degrees_of_freedom) {
    case 1:
      return std::erfc(std::sqrt(chi2 / 2));
    case 2:
      return std::exp(-chi2 / 2);
    default:
      return 1;
  }
}

// What a log-rank test adds up, of three groups at most.
struct Scores {
  explicit Scores(std::size_t group_count) : groups(group_count) {
    CONSILIUM_CHECK(group_count >= 1 && group_count <= 3);
  }
  void Add(const RiskSet& moment) {
    double at_risk = 0, events = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      at_risk += moment.at_risk[g];
      events += moment.events[g];
      present[g] = present[g] || moment.at_risk[g] > 0;
    }
    if (events == 0 || at_risk <= 0) return;
    const double ties = at_risk > 1 ? std::max(0.0, (at_risk - events) / (at_risk - 1)) : 0;
    for (std::size_t g = 0; g < groups; ++g) {
      const double share = moment.at_risk[g] / at_risk;
      excess[g] += moment.events[g] - events * share;
      for (std::size_t h = 0; h < groups; ++h) {
        covariance[g][h] +=
            events * ties * share * ((g == h ? 1 : 0) - moment.at_risk[h] / at_risk);
      }
    }
  }

  std::size_t groups;
  std::array<bool, 3> present{};
  std::array<double, 3> excess{};
  std::array<std::array<double, 3>, 3> covariance{};
};

LogRank ResultOf(const Scores& scores) {
  std::vector<std::size_t> g;
  for (std::size_t i = 0; i < scores.groups; ++i) {
    if (scores.present[i]) g.push_back(i);
  }
  LogRank result;
  if (g.size() < 2) return result;
  result.degrees_of_freedom = static_cast<int>(g.size()) - 1;
  constexpr double kRounding = 1e-12;
  const double a = scores.covariance[g[0]][g[0]], x = scores.excess[g[0]];
  if (g.size() == 2) {
    if (a > kRounding) result.chi2 = x * x / a;
  } else {
    const double b = scores.covariance[g[0]][g[1]], c = scores.covariance[g[1]][g[1]];
    const double y = scores.excess[g[1]], determinant = a * c - b * b;
    if (determinant > kRounding) {
      result.chi2 = (c * x * x - 2 * b * x * y + a * y * y) / determinant;
    }
  }
  result.p = ChiSquareTail(result.chi2, result.degrees_of_freedom);
  return result;
}

// The mean over the bins up to `last`, by their lengths, of what `score` says of the end of each.
template <class Score>
double Integrate(int last, const Score& score) {
  double area = 0, before = 0;
  for (int t = 0; t <= last; ++t) {
    const double length = TimeBinLowerEdge(t + 1) - TimeBinLowerEdge(t);
    const double now = score(t);
    area += length * (before + now) / 2;
    before = now;
  }
  return area / TimeBinLowerEdge(last + 1);
}

// Of the whole histogram: the share that is not yet censored at the end of each bin (that of the
// bin's middle is between), the baseline's cumulative hazard and the life table's survival.
struct Baseline {
  explicit Baseline(const SurvivalSums& sums) : table(sums, 0, kRiskBins) {
    std::array<double, kRiskBins> hazard_ratio{};
    for (int r = 0; r < kRiskBins; ++r) {
      hazard_ratio[static_cast<std::size_t>(r)] = std::exp(RiskBinCentre(r));
    }
    std::array<double, kTimeBins> exposed{};  // weighed by their hazards
    double later = 0;
    for (int t = kTimeBins - 1; t >= 0; --t) {
      double leaving = 0, halved = 0;
      for (int r = 0; r < kRiskBins; ++r) {
        const double ratio = hazard_ratio[static_cast<std::size_t>(r)];
        const double censored = CountAt(sums.censored, t, r) * ratio;
        leaving += CountAt(sums.events, t, r) * ratio + censored;
        halved += kHalf * censored;
      }
      later += leaving;
      exposed[t] = later - halved;
    }
    double free = 1, survival = 1, cumulative = 0;
    for (int t = 0; t < kTimeBins; ++t) {
      const double at_risk = table.entering[t] - kHalf * table.events[t];
      if (at_risk > 0) free *= 1 - std::min(1.0, table.censored[t] / at_risk);
      uncensored[t] = free;
      if (table.events[t] > 0) {
        survival *= 1 - std::min(1.0, table.events[t] / table.Exposed(t));
        cumulative += table.events[t] / exposed[t];
      }
      alive[t] = survival;
      hazard[t] = cumulative;
    }
  }
  // Of whose event is in this bin: uncensored until about its middle.
  double UncensoredDuring(int t) const {
    return ((t > 0 ? uncensored[t - 1] : 1) + uncensored[t]) / 2;
  }

  LifeTable table;
  std::array<double, kTimeBins> uncensored{}, alive{}, hazard{};
};

// The Brier score at the end of time bin t of `survival(risk bin)`, by inverse probability of
// censoring.
template <class Survival>
double BrierAt(const SurvivalSums& sums, const Baseline& baseline, int t,
               const Survival& survival) {
  double score = 0;
  for (int r = 0; r < kRiskBins; ++r) {
    double dead = 0, living = 0;
    for (int s = 0; s < kTimeBins; ++s) {
      if (s > t) {
        living += CountAt(sums.events, s, r) + CountAt(sums.censored, s, r);
      } else if (const double events = CountAt(sums.events, s, r); events > 0) {
        dead += events / baseline.UncensoredDuring(s);
      }
    }
    const double alive = survival(r);
    score += dead * alive * alive;
    if (living > 0) score += living / baseline.uncensored[t] * (1 - alive) * (1 - alive);
  }
  return score / baseline.table.entering[0];
}

}  // namespace

std::optional<double> PooledConcordance(const SurvivalSums& sums) {
  std::array<double, kRiskBins> later{};  // those of later time bins
  double concordant = 0, comparable = 0;
  for (int t = kTimeBins - 1; t >= 0; --t) {
    double below = 0, all = 0;
    for (const double count : later) all += count;
    for (int r = 0; r < kRiskBins; ++r) {
      const double same = later[static_cast<std::size_t>(r)];
      const double events = CountAt(sums.events, t, r);
      concordant += events * (below + same / 2);
      comparable += events * all;
      below += same;
    }
    for (int r = 0; r < kRiskBins; ++r) {
      later[static_cast<std::size_t>(r)] +=
          CountAt(sums.events, t, r) + CountAt(sums.censored, t, r);
    }
  }
  if (comparable == 0) return std::nullopt;
  return concordant / comparable;
}

void AddCurves(const SurvivalSums& sums, SurvivalMetrics& metrics) {
  const std::array<int, 4> cuts = Thirds(sums);
  std::vector<LifeTable> tables;
  for (std::size_t g = 0; g < 3; ++g) {
    tables.emplace_back(sums, cuts[g], cuts[g + 1]);
    metrics.by_risk.push_back(CurveOf(tables.back()));
  }
  Scores scores(3);
  for (int t = 0; t < kTimeBins; ++t) {
    RiskSet moment;
    for (const LifeTable& table : tables) {
      moment.at_risk.push_back(table.Exposed(t));
      moment.events.push_back(table.events[t]);
    }
    scores.Add(moment);
  }
  const LogRank test = ResultOf(scores);
  metrics.log_rank_chi2 = test.chi2;
  metrics.log_rank_p = test.p;
  metrics.degrees_of_freedom = test.degrees_of_freedom;
}

void AddIntegratedBrier(const SurvivalSums& sums, SurvivalMetrics& metrics) {
  const Baseline baseline(sums);
  int last = -1;
  while (last + 1 < kTimeBins &&
         baseline.table.entering[last + 1] >= static_cast<double>(kSmallCount) &&
         baseline.uncensored[last + 1] > 0) {
    ++last;
  }
  if (last < 0) return;
  metrics.integrated_brier = Integrate(last, [&](int t) {
    return BrierAt(sums, baseline, t, [&](int r) {
      return std::exp(-baseline.hazard[t] * std::exp(RiskBinCentre(r)));
    });
  });
  metrics.integrated_brier_without_risks = Integrate(last, [&](int t) {
    return BrierAt(sums, baseline, t, [&](int) { return baseline.alive[t]; });
  });
}

LogRank LogRankTest(std::span<const RiskSet> moments) {
  if (moments.empty()) return {};
  Scores scores(moments.front().at_risk.size());
  for (const RiskSet& moment : moments) scores.Add(moment);
  return ResultOf(scores);
}

LogRank LogRankTest(std::span<const std::vector<Survivor>> groups) {
  std::map<double, RiskSet> moments;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Survivor& patient : groups[g]) {
      RiskSet& moment = moments[patient.days];
      moment.at_risk.resize(groups.size());
      moment.events.resize(groups.size());
      ++moment.at_risk[g];  // leaves then
      if (patient.event) ++moment.events[g];
    }
  }
  std::vector<RiskSet> sets;
  std::vector<double> remaining(groups.size());
  for (auto it = moments.rbegin(); it != moments.rend(); ++it) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      remaining[g] += it->second.at_risk[g];
      it->second.at_risk[g] = remaining[g];
    }
    sets.push_back(it->second);
  }
  return LogRankTest(sets);
}

}  // namespace consilium::metrics
