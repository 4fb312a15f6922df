#include "common/metrics/paired_comparison.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "common/base/random.h"
#include "common/metrics/sum_checks.h"

namespace consilium::metrics {
namespace {

// The rank of each value from 1, ties sharing their mean rank.
std::vector<double> Midranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double middle = static_cast<double>(begin + end + 1) / 2;
    for (; begin < end; ++begin) ranks[order[begin]] = middle;
  }
  return ranks;
}

// Of each positive the share of negatives below it, of each negative the share of positives above
// it.
struct Placements {
  std::vector<double> positives, negatives;
  double auroc = 0;
};

Placements PlacementsOf(std::span<const double> scores, const std::vector<bool>& targets) {
  std::vector<double> positives, negatives;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    (targets[i] ? positives : negatives).push_back(scores[i]);
  }
  std::vector<double> all = positives;
  all.insert(all.end(), negatives.begin(), negatives.end());
  const auto among_all = Midranks(all), among_positives = Midranks(positives),
             among_negatives = Midranks(negatives);
  const auto m = static_cast<double>(positives.size()), n = static_cast<double>(negatives.size());
  Placements placements;
  for (std::size_t i = 0; i < positives.size(); ++i) {
    placements.positives.push_back((among_all[i] - among_positives[i]) / n);
    placements.auroc += placements.positives.back() / m;
  }
  for (std::size_t i = 0; i < negatives.size(); ++i) {
    placements.negatives.push_back(1 - (among_all[positives.size() + i] - among_negatives[i]) / m);
  }
  return placements;
}

// Of the means of the two.
double CovarianceOfMeans(const std::vector<double>& a, const std::vector<double>& b, double mean_a,
                         double mean_b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  const auto n = static_cast<double>(a.size());
  return sum / (n - 1) / n;
}

double Covariance(const Placements& a, const Placements& b) {
  return CovarianceOfMeans(a.positives, b.positives, a.auroc, b.auroc) +
         CovarianceOfMeans(a.negatives, b.negatives, a.auroc, b.auroc);
}

absl::Status CheckScores(std::span<const double> first, std::span<const double> second,
                         const std::vector<bool>& targets) {
  if (first.size() != targets.size() || second.size() != targets.size()) {
    return absl::InvalidArgumentError(
        StrCat(first.size(), " and ", second.size(), " scores, but ", targets.size(), " targets"));
  }
  const auto is_nan = [](double score) { return std::isnan(score); };
  if (std::any_of(first.begin(), first.end(), is_nan) ||
      std::any_of(second.begin(), second.end(), is_nan)) {
    return absl::InvalidArgumentError("a score is NaN");
  }
  const auto positives = std::count(targets.begin(), targets.end(), true);
  const auto negatives = static_cast<std::ptrdiff_t>(targets.size()) - positives;
  if (positives < 2 || negatives < 2) {
    return absl::FailedPreconditionError(
        StrCat("two models can be compared on two positive and two negative examples or more, not ",
               "on ", positives, " and ", negatives));
  }
  return absl::OkStatus();
}

// ---- bootstrap

std::vector<std::vector<std::size_t>> ExamplesByPatient(std::span<const std::uint64_t> patients) {
  std::map<std::uint64_t, std::vector<std::size_t>> by_key;
  for (std::size_t i = 0; i < patients.size(); ++i) by_key[patients[i]].push_back(i);
  std::vector<std::vector<std::size_t>> examples;
  for (auto& [key, indices] : by_key) examples.push_back(std::move(indices));
  return examples;
}

double Percentile(const std::vector<double>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

BootstrapEstimate EstimateOf(double value, std::vector<double> resampled) {
  std::sort(resampled.begin(), resampled.end());
  const auto n = static_cast<double>(resampled.size());
  const double mean = std::accumulate(resampled.begin(), resampled.end(), 0.0) / n;
  double squares = 0;
  for (const double one : resampled) squares += (one - mean) * (one - mean);
  return {value,
          {Percentile(resampled, 0.025), Percentile(resampled, 0.975)},
          std::sqrt(squares / (n - 1))};
}

// What several metrics say of the same resamples, those in which all are defined; the first row is
// of all examples once.
template <std::size_t kMetrics>
absl::StatusOr<std::vector<std::array<double, kMetrics>>> Resample(
    std::span<const std::uint64_t> patients,
    const std::array<const ExamplesMetric*, kMetrics>& metrics, std::uint64_t seed,
    std::uint32_t resamples) {
  if (resamples < kLeastResamples) {
    return absl::InvalidArgumentError(StrCat(
        resamples, " resamples are too few for an interval: take ", kLeastResamples, " or more"));
  }
  const auto examples = ExamplesByPatient(patients);
  if (examples.size() < 2) {
    return absl::FailedPreconditionError(
        StrCat("an interval by patient needs two patients or more, not ", examples.size()));
  }
  std::vector<std::array<double, kMetrics>> rows;
  std::vector<std::size_t> indices(patients.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  const auto judge = [&] {
    std::array<double, kMetrics> row;
    for (std::size_t m = 0; m < kMetrics; ++m) {
      const std::optional<double> value = (*metrics[m])(indices);
      if (!value || !std::isfinite(*value)) return;
      row[m] = *value;
    }
    rows.push_back(row);
  };
  judge();
  if (rows.empty()) {
    return absl::FailedPreconditionError("the metric is not defined of these examples");
  }
  SeededRandom random(seed, "bootstrap");
  for (std::uint32_t i = 0; i < resamples; ++i) {
    indices.clear();
    for (std::size_t drawn = 0; drawn < examples.size(); ++drawn) {
      const auto& patient = examples[random.Below(examples.size())];
      indices.insert(indices.end(), patient.begin(), patient.end());
    }
    judge();
  }
  if (rows.size() - 1 < resamples / 2) {
    return absl::FailedPreconditionError(
        StrCat("the metric is defined in only ", rows.size() - 1, " of ", resamples,
               " resamples of the patients, too few for an interval"));
  }
  return rows;
}

}  // namespace

absl::StatusOr<AurocComparison> CompareAurocs(std::span<const double> first,
                                              std::span<const double> second,
                                              const std::vector<bool>& targets) {
  RETURN_IF_ERROR(CheckScores(first, second, targets));
  const Placements a = PlacementsOf(first, targets), b = PlacementsOf(second, targets);
  const double variance_a = Covariance(a, a), variance_b = Covariance(b, b);
  const double variance = variance_a + variance_b - 2 * Covariance(a, b);
  AurocComparison result;
  result.first = a.auroc;
  result.second = b.auroc;
  result.first_error = std::sqrt(variance_a);
  result.second_error = std::sqrt(variance_b);
  result.difference = b.auroc - a.auroc;
  constexpr double kRounding = 1e-14;
  result.difference_error = variance > kRounding ? std::sqrt(variance) : 0;
  result.difference_95 = {std::max(-1.0, result.difference - kZ95 * result.difference_error),
                          std::min(1.0, result.difference + kZ95 * result.difference_error)};
  if (result.difference_error > 0) {
    result.z = result.difference / result.difference_error;
    result.p = std::erfc(std::abs(result.z) / std::sqrt(2.0));
  } else if (std::abs(result.difference) > 1e-12) {
    return absl::FailedPreconditionError(
        "the two models' AUROCs differ, but nothing varies from which to tell how surely: there "
        "are "
        "too few examples, or both models separate them in opposite ways");
  }
  return result;
}

absl::StatusOr<BootstrapEstimate> Bootstrap(std::span<const std::uint64_t> patients,
                                            const ExamplesMetric& metric, std::uint64_t seed,
                                            std::uint32_t resamples) {
  ASSIGN_OR_RETURN(const auto rows, Resample<1>(patients, {&metric}, seed, resamples));
  std::vector<double> values;
  for (std::size_t i = 1; i < rows.size(); ++i) values.push_back(rows[i][0]);
  return EstimateOf(rows.front()[0], std::move(values));
}

absl::StatusOr<BootstrapComparison> CompareByBootstrap(std::span<const std::uint64_t> patients,
                                                       const ExamplesMetric& first,
                                                       const ExamplesMetric& second,
                                                       std::uint64_t seed,
                                                       std::uint32_t resamples) {
  ASSIGN_OR_RETURN(const auto rows, Resample<2>(patients, {&first, &second}, seed, resamples));
  std::vector<double> firsts, seconds, differences;
  double not_above = 1, not_below = 1;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    firsts.push_back(rows[i][0]);
    seconds.push_back(rows[i][1]);
    const double difference = rows[i][1] - rows[i][0];
    differences.push_back(difference);
    not_above += difference <= 0 ? 1 : 0;
    not_below += difference >= 0 ? 1 : 0;
  }
  const auto [value_first, value_second] = rows.front();
  BootstrapComparison result;
  result.resamples = static_cast<std::uint32_t>(rows.size() - 1);
  result.first = EstimateOf(value_first, std::move(firsts));
  result.second = EstimateOf(value_second, std::move(seconds));
  result.difference = EstimateOf(value_second - value_first, std::move(differences));
  result.p = std::min(
      1.0, 2 * std::min(not_above, not_below) / (static_cast<double>(result.resamples) + 1));
  return result;
}

}  // namespace consilium::metrics
