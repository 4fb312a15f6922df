#include "coordinator/release_gate.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace consilium::coordinator {
namespace {

// Enough digits that two different numbers do not read the same.
std::pair<std::string, std::string> Readable(double value, double limit) {
  for (int digits = 3;; ++digits) {
    std::string a = absl::StrFormat("%.*f", digits, value);
    std::string b = absl::StrFormat("%.*f", digits, limit);
    if (a != b || value == limit || digits == 12) return {std::move(a), std::move(b)};
  }
}

GateCondition EnoughSites(std::uint32_t minimum, std::size_t evaluated) {
  return {StrCat(evaluated, evaluated == 1 ? " site" : " sites", " evaluated it, at least ",
                 minimum, " must"),
          evaluated >= minimum};
}

// What LargeEnoughToShow has found too few of.
std::string_view WhatIsCounted(Task task) {
  switch (task) {
    case Task::kMulticlass:
      return "examples of a class";
    case Task::kSegmentation:
      return "patients";
    case Task::kDetection:
      return "findings, or patients";
    case Task::kSurvival:
      return "events, or patients without one";
    default:
      return "positives or negatives";
  }
}

GateCondition PooledHeadline(double minimum, double at_specificity,
                             const metrics::TaskSums& pooled) {
  const std::string_view title = HeadlineTitle(pooled.task());
  if (!metrics::LargeEnoughToShow(pooled)) {
    return {StrCat("pooled ", title, " is not known: the test sets hold fewer than ",
                   metrics::kSmallCount, " ", WhatIsCounted(pooled.task())),
            false};
  }
  const auto result = metrics::Compute(pooled, at_specificity);
  if (!result.ok()) {
    return {StrCat("pooled ", title, " is not known: ", result.status().message()), false};
  }
  const bool met = result->headline >= minimum;
  const auto [headline, limit] = Readable(result->headline, minimum);
  return {StrCat("pooled ", title, " ", headline, met ? " is at least " : " is below ", limit),
          met};
}

// Each site compared itself, and only how many did and how many fell too far is known.
GateCondition NoneMuchWorse(const metrics::EvaluationSums& pooled, double maximum_drop) {
  if (pooled.compared == 0) {
    return {"no site could compare itself with the last published model: left out", true};
  }
  return {StrCat("no site of ", pooled.compared, " that compared itself is more than ",
                 absl::StrFormat("%.3f", maximum_drop), " below the last published model (",
                 pooled.worse, pooled.worse == 1 ? " is)" : " are)"),
          pooled.worse == 0};
}

GateDecision DecisionOf(std::vector<GateCondition> conditions) {
  GateDecision decision;
  decision.passed = std::all_of(conditions.begin(), conditions.end(),
                                [](const GateCondition& condition) { return condition.met; });
  decision.conditions = std::move(conditions);
  return decision;
}

GateCondition NotMuchWorse(const SiteId& site, const metrics::TaskSums& sums, double last,
                           double maximum_drop, double at_specificity) {
  const auto result = metrics::Compute(sums, at_specificity);
  if (!metrics::LargeEnoughToShow(sums) || !result.ok()) {
    return {StrCat(site.value, " has too few examples to compare by itself: left out"), true};
  }
  constexpr double kRounding = 1e-9;
  const double floor = last - maximum_drop;
  const bool met = result->headline >= floor - kRounding;
  const auto [headline, limit] = Readable(result->headline, floor);
  return {StrCat(site.value, " ", HeadlineTitle(sums.task()), " ", headline,
                 met ? " is at least " : " is below ", limit, ", ",
                 absl::StrFormat("%.3f", maximum_drop), " under the last published model's ",
                 absl::StrFormat("%.3f", last)),
          met};
}

}  // namespace

GateDecision Decide(const plan::Gate& gate, double at_specificity,
                    const std::map<SiteId, metrics::TaskSums>& test,
                    const std::map<SiteId, double>& last_published_headlines) {
  metrics::TaskSums pooled(test.empty() ? TaskShape() : test.begin()->second.shape());
  std::size_t evaluated = 0;
  for (const auto& [site, sums] : test) {
    pooled += sums;
    if (sums.Count() > 0) ++evaluated;
  }
  std::vector<GateCondition> conditions = {EnoughSites(gate.minimum_sites, evaluated),
                                           PooledHeadline(gate.minimum, at_specificity, pooled)};
  if (!gate.maximum_site_drop) return DecisionOf(std::move(conditions));
  for (const auto& [site, last] : last_published_headlines) {
    const auto sums = test.find(site);
    if (sums == test.end()) {
      conditions.push_back(
          {StrCat(site.value, " did not evaluate it, so it is not compared: left out"), true});
      continue;
    }
    conditions.push_back(
        NotMuchWorse(site, sums->second, last, *gate.maximum_site_drop, at_specificity));
  }
  return DecisionOf(std::move(conditions));
}

GateDecision Decide(const plan::Gate& gate, double at_specificity, std::size_t sites,
                    const metrics::EvaluationSums& pooled, bool compared_with_last) {
  std::vector<GateCondition> conditions = {
      EnoughSites(gate.minimum_sites, sites),
      PooledHeadline(gate.minimum, at_specificity, pooled.sums)};
  if (gate.maximum_site_drop && compared_with_last) {
    conditions.push_back(NoneMuchWorse(pooled, *gate.maximum_site_drop));
  }
  return DecisionOf(std::move(conditions));
}

}  // namespace consilium::coordinator
