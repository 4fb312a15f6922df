#include "experiments/comparison.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace consilium::experiments {
namespace {

std::string Text(const TestResult& result) {
  if (!result) return "too few";
  return absl::StrFormat("%.3f (%.3f to %.3f)", result->headline, result->headline_95.low,
                         result->headline_95.high);
}

std::string WorstText(const TestedModel* model) {
  if (model == nullptr) return "-";
  const std::optional<WorstSite> worst = WorstSiteOf(*model);
  return worst ? absl::StrFormat("%.3f at %s", worst->headline, worst->site) : "too few";
}

// Each site's own model on its own test set: the smallest.
std::string WorstOwnText(const Results& results) {
  std::optional<WorstSite> worst;
  for (const SiteInfo& site : results.sites) {
    const TestedModel* model = LocalModelOf(results, site.name);
    if (model == nullptr) continue;
    const auto found = model->by_site.find(site.name);
    if (found == model->by_site.end() || !found->second) continue;
    if (!worst || found->second->headline < worst->headline)
      worst = {site.name, found->second->headline};
  }
  return worst ? absl::StrFormat("%.3f at %s", worst->headline, worst->site) : "-";
}

std::string Opening(const Results& results, Task task) {
  if (task == Task::kBinary) {
    return StrCat("The federated model tells ", results.target, " from its absence with an AUROC");
  }
  return StrCat("The federated model reaches (", results.target, ") a mean ", HeadlineTitle(task));
}

std::string AgainstLocal(const Comparison& c) {
  const double margin = *c.over_best_local;
  if (std::abs(margin) < 0.0005) {
    return absl::StrFormat(
        "On all test sets together it does as well as the best model that one site trained alone "
        "(%s).",
        c.best_local->site);
  }
  return absl::StrFormat(
      "On all test sets together it is %.3f %s the best model that one site trained alone (%s, "
      "%.3f).",
      std::abs(margin), margin > 0 ? "above" : "BELOW", c.best_local->site,
      c.best_local->pooled->headline);
}

std::string AgainstPooled(const Comparison& c) {
  const double distance = *c.below_pooled_data;
  if (std::abs(distance) < 0.0005) {
    return "A model trained on all images in one place does no better and no worse.";
  }
  return absl::StrFormat("A model trained on all images in one place reaches %.3f, %.3f %s.",
                         c.pooled_data->pooled->headline, std::abs(distance),
                         distance > 0 ? "more" : "less");
}

}  // namespace

Comparison Compare(const Results& results) {
  Comparison c;
  for (const TestedModel& model : results.models) {
    if (model.kind == ModelKind::kFederated) c.federated = &model;
    if (model.kind == ModelKind::kPooled) c.pooled_data = &model;
    if (model.kind == ModelKind::kLocal && model.pooled &&
        (c.best_local == nullptr || model.pooled->headline > c.best_local->pooled->headline)) {
      c.best_local = &model;
    }
  }
  const bool tested = c.federated != nullptr && c.federated->pooled;
  if (tested && c.best_local != nullptr) {
    c.over_best_local = c.federated->pooled->headline - c.best_local->pooled->headline;
  }
  if (tested && c.pooled_data != nullptr && c.pooled_data->pooled) {
    c.below_pooled_data = c.pooled_data->pooled->headline - c.federated->pooled->headline;
  }
  return c;
}

std::optional<WorstSite> WorstSiteOf(const TestedModel& model) {
  std::optional<WorstSite> worst;
  for (const auto& [site, result] : model.by_site) {
    if (result && (!worst || result->headline < worst->headline)) worst = {site, result->headline};
  }
  return worst;
}

const TestedModel* LocalModelOf(const Results& results, const std::string& site) {
  for (const TestedModel& model : results.models) {
    if (model.kind == ModelKind::kLocal && model.site == site) return &model;
  }
  return nullptr;
}

std::string HeadlineText(const TestedModel* model, const std::string& site) {
  if (model == nullptr) return "-";
  const auto found = model->by_site.find(site);
  return found == model->by_site.end() ? "-" : Text(found->second);
}

std::string PooledHeadlineText(const TestedModel* model) {
  return model == nullptr ? "-" : Text(model->pooled);
}

ResultTable TableOf(const Results& results) {
  const Comparison c = Compare(results);
  const bool baselines = c.best_local != nullptr || c.pooled_data != nullptr;
  ResultTable table;
  table.header = {"test set", "federated"};
  if (baselines) table.header.insert(table.header.end(), {"site's own model", "pooled-data model"});
  const auto add = [&](std::string name, std::string federated, std::string own,
                       std::string pooled) {
    std::vector<std::string> row = {std::move(name), std::move(federated)};
    if (baselines) row.insert(row.end(), {std::move(own), std::move(pooled)});
    table.rows.push_back(std::move(row));
  };
  for (const SiteInfo& site : results.sites) {
    add(site.name, HeadlineText(c.federated, site.name),
        HeadlineText(LocalModelOf(results, site.name), site.name),
        HeadlineText(c.pooled_data, site.name));
  }
  const std::string best_own =
      c.best_local == nullptr ? "-"
                              : PooledHeadlineText(c.best_local) + " best: " + c.best_local->site;
  add("all sites", PooledHeadlineText(c.federated), best_own, PooledHeadlineText(c.pooled_data));
  add("worst site", WorstText(c.federated), WorstOwnText(results), WorstText(c.pooled_data));
  return table;
}

std::vector<std::string> Verdict(const Results& results) {
  const Comparison c = Compare(results);
  if (c.federated == nullptr || !c.federated->pooled) {
    return {"The run ended without a federated model that could be tested."};
  }
  const TestFigures& m = *c.federated->pooled;
  std::vector<std::string> sentences = {absl::StrFormat(
      "%s of %.3f (95%% interval %.3f to %.3f) on the test patients of all %d sites.",
      Opening(results, m.task), m.headline, m.headline_95.low, m.headline_95.high,
      results.sites.size())};
  if (c.over_best_local) sentences.push_back(AgainstLocal(c));
  if (c.below_pooled_data) sentences.push_back(AgainstPooled(c));
  if (const std::optional<WorstSite> worst = WorstSiteOf(*c.federated)) {
    sentences.push_back(
        absl::StrFormat("Its weakest site is %s, with %.3f.", worst->site, worst->headline));
  }
  sentences.push_back(results.published
                          ? "The release gate let it through: it is published and signed."
                          : "The release gate did not let it through: nothing was published.");
  return sentences;
}

}  // namespace consilium::experiments
