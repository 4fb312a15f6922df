#include "experiments/study_results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace consilium::experiments {
namespace {

using metrics::TaskSums;
using nlohmann::json;

ModelKind KindFrom(const std::string& key) {
  if (const auto kind = ModelKindFrom(key)) return *kind;
  throw json::other_error::create(500, "unknown kind of model '" + key + "'",
                                  static_cast<json*>(nullptr));
}

StudyModel ModelFrom(const json& in) {
  StudyModel model{.kind = KindFrom(in.at("kind")), .site = in.at("site"), .by_site = {}};
  for (const auto& [site, sums] : in.at("by_site").items()) {
    auto read = metrics::TaskSumsFromJson(sums.dump());
    if (!read.ok()) {
      throw json::other_error::create(500, std::string(ToStd(read.status().message())),
                                      static_cast<json*>(nullptr));
    }
    model.by_site.emplace(site, *std::move(read));
  }
  return model;
}

StudySeed SeedFrom(const json& in) {
  StudySeed seed{.seed = in.at("seed"),
                 .sites = {},
                 .notes = in.at("notes"),
                 .models = {},
                 .rounds = in.at("rounds"),
                 .model_id = in.at("model"),
                 .seconds = in.at("seconds")};
  for (const json& site : in.at("sites")) {
    seed.sites.push_back({.name = site.at("name"),
                          .folder = {},
                          .description = site.at("description"),
                          .trains = site.at("trains")});
  }
  for (const json& model : in.at("models")) seed.models.push_back(ModelFrom(model));
  return seed;
}

// Correct ones at probability 0.5, on which an edge of the bins falls.
std::uint64_t CorrectOf(const metrics::BinarySums& sums) {
  std::uint64_t correct = 0;
  for (int bin = 0; bin < metrics::kScoreBins; ++bin) {
    correct += bin < metrics::kScoreBins / 2 ? sums.negatives[bin] : sums.positives[bin];
  }
  return correct;
}

metrics::Interval Wilson(double share, double count) {
  constexpr double kZ = 1.959964;
  const double z2 = kZ * kZ;
  const double middle = (share + z2 / (2 * count)) / (1 + z2 / count);
  const double half =
      kZ / (1 + z2 / count) * std::sqrt(share * (1 - share) / count + z2 / (4 * count * count));
  return {middle - half, middle + half};
}

bool IsSame(const StudyModel& model, ModelKind kind, const std::string& site) {
  return model.kind == kind && model.site == site;
}

const StudyModel* Find(const StudySeed& seed, ModelKind kind, const std::string& site) {
  for (const StudyModel& model : seed.models) {
    if (IsSame(model, kind, site)) return &model;
  }
  return nullptr;
}

bool WasTested(const StudySeed& seed, const std::string& site) {
  for (const StudyModel& model : seed.models) {
    const auto found = model.by_site.find(site);
    if (found != model.by_site.end() && found->second.Count() > 0) return true;
  }
  return false;
}

// Names of the sites that were tested in any seed.
std::vector<std::string> TestedSites(const StudyResults& results, bool trained) {
  std::vector<std::string> names;
  for (const StudySeed& seed : results.seeds) {
    for (const StudySite& site : seed.sites) {
      const bool known = std::find(names.begin(), names.end(), site.name) != names.end();
      if (site.trains == trained && !known && WasTested(seed, site.name))
        names.push_back(site.name);
    }
  }
  return names;
}

std::vector<std::string> ComparedSites(const StudyResults& results) {
  std::vector<std::string> names = TestedSites(results, /*trained=*/true);
  return names.empty() ? TestedSites(results, /*trained=*/false) : names;
}

std::optional<double> MeanOf(const StudyModel& model, const std::vector<std::string>& sites,
                             Figure figure) {
  double sum = 0;
  int count = 0;
  for (const std::string& site : sites) {
    const auto found = model.by_site.find(site);
    if (found == model.by_site.end()) continue;
    if (const std::optional<double> value = FigureOf(found->second, figure)) {
      sum += *value;
      ++count;
    }
  }
  if (count == 0) return std::nullopt;
  return sum / count;
}

std::optional<TaskSums> Together(const StudyModel& model, const std::vector<std::string>& sites) {
  std::optional<TaskSums> all;
  for (const std::string& site : sites) {
    const auto found = model.by_site.find(site);
    if (found == model.by_site.end()) continue;
    if (all) {
      *all += found->second;
    } else {
      all = found->second;
    }
  }
  return all;
}

std::string IntervalText(const StudyResults& results, const StudyModel& model,
                         const std::vector<std::string>& sites, Figure figure) {
  Spread low, high;
  for (const StudySeed& seed : results.seeds) {
    const StudyModel* same = Find(seed, model.kind, model.site);
    const auto all = same == nullptr ? std::nullopt : Together(*same, sites);
    const auto interval = all ? IntervalOf(*all, figure) : std::nullopt;
    if (!interval) continue;
    low.Add(interval->low);
    high.Add(interval->high);
  }
  return low.mean ? absl::StrFormat("%.3f to %.3f", *low.mean, *high.mean) : "-";
}

// The models of the first seed stand for those of all.
const std::vector<StudyModel>& ModelsOf(const StudyResults& results) {
  static const std::vector<StudyModel> kNone;
  return results.seeds.empty() ? kNone : results.seeds.front().models;
}

Spread AtSite(const StudyResults& results, const StudyModel& model, const std::string& site,
              Figure figure) {
  Spread spread;
  for (const StudySeed& seed : results.seeds) {
    const StudyModel* same = Find(seed, model.kind, model.site);
    if (same != nullptr) spread.Add(MeanOf(*same, {site}, figure));
  }
  return spread;
}

}  // namespace

std::string ToJson(const StudySeed& seed) {
  json sites = json::array(), models = json::array();
  for (const StudySite& site : seed.sites) {
    sites.push_back(
        {{"name", site.name}, {"description", site.description}, {"trains", site.trains}});
  }
  for (const StudyModel& model : seed.models) {
    json by_site = json::object();
    for (const auto& [site, sums] : model.by_site) {
      by_site[site] = json::parse(metrics::ToJson(sums));
    }
    models.push_back({{"kind", KeyOf(model.kind)}, {"site", model.site}, {"by_site", by_site}});
  }
  const json out = {{"seed", seed.seed},      {"sites", sites},        {"notes", seed.notes},
                    {"models", models},       {"rounds", seed.rounds}, {"model", seed.model_id},
                    {"seconds", seed.seconds}};
  return out.dump() + "\n";
}

absl::StatusOr<StudySeed> StudySeedFromJson(std::string_view text) {
  try {
    return SeedFrom(json::parse(text));
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(
        StrCat("this is not a study's results of one seed (", e.what(), ")"));
  }
}

std::optional<double> FigureOf(const TaskSums& sums, Figure figure) {
  if (sums.Count() == 0) return std::nullopt;
  if (figure == Figure::kAccuracy) {
    return static_cast<double>(CorrectOf(sums.binary())) / static_cast<double>(sums.Count());
  }
  const auto computed = metrics::Compute(sums, 0.9);
  if (!computed.ok()) return std::nullopt;
  return computed->headline;
}

std::optional<metrics::Interval> IntervalOf(const TaskSums& sums, Figure figure) {
  if (sums.Count() == 0) return std::nullopt;
  if (figure == Figure::kAccuracy) {
    return Wilson(*FigureOf(sums, figure), static_cast<double>(sums.Count()));
  }
  const auto computed = metrics::Compute(sums, 0.9);
  if (!computed.ok()) return std::nullopt;
  return computed->headline_95;
}

void Spread::Add(std::optional<double> value) {
  if (!value) return;
  sum_ += *value;
  mean = sum_ / ++count_;
  lowest = std::min(lowest.value_or(*value), *value);
  highest = std::max(highest.value_or(*value), *value);
}

std::string Spread::ToString() const {
  if (!mean) return "-";
  if (*highest - *lowest < 0.0005) return absl::StrFormat("%.3f", *mean);
  return absl::StrFormat("%.3f (%.3f to %.3f)", *mean, *lowest, *highest);
}

Spread MeanOverSites(const StudyResults& results, ModelKind kind, const std::string& site,
                     Figure figure) {
  const std::vector<std::string> sites = ComparedSites(results);
  Spread spread;
  for (const StudySeed& seed : results.seeds) {
    const StudyModel* model = Find(seed, kind, site);
    if (model != nullptr) spread.Add(MeanOf(*model, sites, figure));
  }
  return spread;
}

Spread AllTogether(const StudyResults& results, ModelKind kind, const std::string& site,
                   Figure figure) {
  const std::vector<std::string> sites = ComparedSites(results);
  Spread spread;
  for (const StudySeed& seed : results.seeds) {
    const StudyModel* model = Find(seed, kind, site);
    const auto all = model == nullptr ? std::nullopt : Together(*model, sites);
    if (all) spread.Add(FigureOf(*all, figure));
  }
  return spread;
}

StudyTableText TableOf(const StudyResults& results, Figure figure) {
  const std::vector<std::string> trained = TestedSites(results, /*trained=*/true);
  const std::vector<std::string> others = TestedSites(results, /*trained=*/false);
  const std::vector<std::string> compared = ComparedSites(results);
  StudyTableText table;
  table.header = {"trained on"};
  table.header.insert(table.header.end(), trained.begin(), trained.end());
  table.header.insert(table.header.end(), {"mean over sites", "all together", "its 95 % interval"});
  for (const std::string& site : others) table.header.push_back(site + " (did not train)");
  for (const StudyModel& model : ModelsOf(results)) {
    std::vector<std::string> row = {model.Name()};
    for (const std::string& site : trained) {
      row.push_back(AtSite(results, model, site, figure).ToString());
    }
    row.push_back(MeanOverSites(results, model.kind, model.site, figure).ToString());
    row.push_back(AllTogether(results, model.kind, model.site, figure).ToString());
    row.push_back(IntervalText(results, model, compared, figure));
    for (const std::string& site : others) {
      row.push_back(AtSite(results, model, site, figure).ToString());
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<std::string> VerdictOf(const StudyResults& results, const Study& study) {
  const Spread federated = MeanOverSites(results, ModelKind::kFederated, "", study.figure);
  if (!federated.mean) return {"No seed has a federated model that could be tested."};
  const Task task = results.seeds.front().models.front().by_site.begin()->second.task();
  std::vector<std::string> sentences = {absl::StrFormat(
      "Over %d seeds the federated model reaches a mean %s over the sites of %.3f (%.3f to %.3f).",
      results.seeds.size(), TitleOf(study.figure, task), *federated.mean, *federated.lowest,
      *federated.highest)};
  const Spread pooled = MeanOverSites(results, ModelKind::kPooled, "", study.figure);
  if (pooled.mean) {
    sentences.push_back(absl::StrFormat(
        "Trained on all sites' data in one place, the same model reaches %.3f: %.3f %s.",
        *pooled.mean, std::abs(*pooled.mean - *federated.mean),
        *pooled.mean > *federated.mean ? "more" : "less"));
  }
  const Spread personal = MeanOverSites(results, ModelKind::kPersonal, "", study.figure);
  if (personal.mean) {
    sentences.push_back(absl::StrFormat(
        "With what each site made of it for itself, on its own test patients: %.3f, %.3f %s.",
        *personal.mean, std::abs(*personal.mean - *federated.mean),
        *personal.mean > *federated.mean ? "more" : "less"));
  }
  std::optional<double> best;
  std::string best_site;
  for (const StudyModel& model : ModelsOf(results)) {
    if (model.kind != ModelKind::kLocal) continue;
    const Spread local = MeanOverSites(results, model.kind, model.site, study.figure);
    if (local.mean && (!best || *local.mean > *best)) {
      best = local.mean;
      best_site = model.site;
    }
  }
  if (best) {
    sentences.push_back(absl::StrFormat(
        "The best of the models that one site trained alone (%s) reaches %.3f.", best_site, *best));
  }
  return sentences;
}

}  // namespace consilium::experiments
