#pragma once

// How the federated model compares with what each site could train alone, and with a model trained
// on all data in one place.

#include <optional>
#include <string>
#include <vector>

#include "experiments/results.h"

namespace consilium::experiments {

struct WorstSite {
  std::string site;
  double headline = 0;
};

struct Comparison {
  // Into Results::models; null where there is none.
  const TestedModel* federated = nullptr;
  const TestedModel* best_local = nullptr;  // the largest headline, all test sets together
  const TestedModel* pooled_data = nullptr;
  std::optional<double>
      over_best_local;  // federated minus best local headline, all test sets together
  std::optional<double> below_pooled_data;  // pooled-data minus federated, the same
};

// Points into `results`, which must outlive it.
Comparison Compare(const Results& results);

std::optional<WorstSite> WorstSiteOf(const TestedModel& model);
const TestedModel* LocalModelOf(const Results& results, const std::string& site);

// "0.912 (0.861 to 0.946)"; "-" when there is no model, "too few" when the test set is too small to
// show.
std::string HeadlineText(const TestedModel* model, const std::string& site);
std::string PooledHeadlineText(const TestedModel* model);

// The headline on the test sets: one row a site, then all sites, then the worst site; columns for
// the models that there are.
struct ResultTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};
ResultTable TableOf(const Results& results);

// What the comparison means, in whole sentences.
std::vector<std::string> Verdict(const Results& results);

}  // namespace consilium::experiments
