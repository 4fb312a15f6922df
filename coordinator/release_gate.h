#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/metrics/evaluation_sums.h"
#include "common/metrics/task_sums.h"
#include "common/plan/plan.h"

namespace consilium::coordinator {

struct GateCondition {
  std::string text;  // "pooled AUROC 0.912 is at least 0.800"
  bool met = false;
};
struct GateDecision {
  bool passed = false;  // every condition is met
  std::vector<GateCondition> conditions;
};

// Decides whether a model may be published, from its test results at the sites. Sites too small to
// show are pooled but never compared one by one (their condition is left out and said so).
GateDecision Decide(const plan::Gate& gate, double at_specificity,
                    const std::map<SiteId, metrics::TaskSums>& test,
                    const std::map<SiteId, double>& last_published_headlines);

// The same from a secure evaluation: `pooled` of `sites` together. Whether one is worse than the
// last published model the sites have found themselves (`compared_with_last`: there is one).
GateDecision Decide(const plan::Gate& gate, double at_specificity, std::size_t sites,
                    const metrics::EvaluationSums& pooled, bool compared_with_last);

}  // namespace consilium::coordinator
