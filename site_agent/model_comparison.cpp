#include "site_agent/model_comparison.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/status.h"
#include "common/metrics/paired_comparison.h"

namespace consilium::site_agent {
namespace {

struct Pairs {
  std::vector<std::size_t> units, others;  // the same one at the same place
  std::vector<std::uint64_t> patients;
};

// What a unit is found by in the other's: the image, or the patient of tasks taught by masks.
std::vector<std::uint64_t> KeysOf(const ComparedModel& compared) {
  std::vector<std::uint64_t> keys;
  for (std::size_t unit = 0; unit < compared.model.units(); ++unit) {
    const std::int64_t image = compared.data.facts[compared.model.examples_of(unit)[0]].image;
    const bool by_patient = TaughtByMasks(compared.model.plan().target.task);
    keys.push_back(by_patient ? compared.model.patients()[unit]
                              : static_cast<std::uint64_t>(image));
  }
  return keys;
}

absl::StatusOr<Pairs> PairUp(const ComparedModel& model, const ComparedModel& other) {
  Pairs pairs;
  const auto add = [&](std::size_t unit, std::size_t same) {
    pairs.units.push_back(unit);
    pairs.others.push_back(same);
    pairs.patients.push_back(model.model.patients()[unit]);
  };
  const auto keys = KeysOf(model), other_keys = KeysOf(other);
  if (std::find(keys.begin(), keys.end(), 0u) != keys.end()) {
    // Rows have no number of their own: both must have read the same ones.
    if (!std::ranges::equal(model.model.patients(), other.model.patients())) {
      return absl::FailedPreconditionError(
          "the two models' plans take different rows of this site, so that they cannot be compared "
          "row by row");
    }
    for (std::size_t unit = 0; unit < keys.size(); ++unit) add(unit, unit);
    return pairs;
  }
  // An image of several folders that are pooled may have the number of another folder's.
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> by_key;
  for (std::size_t i = 0; i < other_keys.size(); ++i) {
    by_key[{other_keys[i], other.model.patients()[i]}] = i;
  }
  for (std::size_t unit = 0; unit < keys.size(); ++unit) {
    const auto found = by_key.find({keys[unit], model.model.patients()[unit]});
    if (found != by_key.end()) add(unit, found->second);
  }
  return pairs;
}

std::vector<double> ScoresOf(const EvaluatedModel& model, std::span<const std::size_t> units) {
  std::vector<double> scores;
  for (const std::size_t unit : units) scores.push_back(model.predictions()[unit]);
  return scores;
}

std::vector<bool> TargetsOf(const EvaluatedModel& model, std::span<const std::size_t> units) {
  std::vector<bool> targets;
  for (const std::size_t unit : units) targets.push_back(model.targets()[unit] == 1);
  return targets;
}

// The lowest score above which no more negatives lie than the specificity allows.
double ThresholdAt(double specificity, const std::vector<double>& scores,
                   const std::vector<bool>& targets) {
  std::vector<double> negatives, ascending = scores;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!targets[i]) negatives.push_back(scores[i]);
  }
  std::sort(negatives.begin(), negatives.end());
  std::sort(ascending.begin(), ascending.end());
  for (const double score : ascending) {
    const auto below = std::lower_bound(negatives.begin(), negatives.end(), score);
    const auto share = static_cast<double>(below - negatives.begin());
    if (share >= specificity * static_cast<double>(negatives.size())) return score;
  }
  return 1;
}

ModelComparison::AtThreshold AtThresholdOf(const ComparedModel& model, const ComparedModel& other,
                                           const Pairs& pairs, const std::vector<bool>& targets) {
  const auto scores = ScoresOf(model.model, pairs.units);
  const auto others = ScoresOf(other.model, pairs.others);
  const auto threshold_of = [&](const ComparedModel& of, const std::vector<double>& answers) {
    return of.threshold.value_or(
        ThresholdAt(of.model.plan().evaluation.at_specificity, answers, targets));
  };
  ModelComparison::AtThreshold at{threshold_of(model, scores), threshold_of(other, others), {}};
  std::uint64_t only_model = 0, only_other = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const bool right = (scores[i] >= at.threshold) == targets[i];
    const bool other_right = (others[i] >= at.other_threshold) == targets[i];
    only_model += right && !other_right;
    only_other += other_right && !right;
  }
  at.test = metrics::McNemarTest(only_model, only_other);
  return at;
}

absl::Status ByDeLong(const ComparedModel& model, const ComparedModel& other, const Pairs& pairs,
                      const std::vector<bool>& targets, ModelComparison* comparison) {
  ASSIGN_OR_RETURN(const auto delong,
                   metrics::CompareAurocs(ScoresOf(other.model, pairs.others),
                                          ScoresOf(model.model, pairs.units), targets));
  comparison->headline = delong.second;
  comparison->other = delong.first;
  comparison->difference = delong.difference;
  comparison->difference_95 = delong.difference_95;
  comparison->p = delong.p;
  comparison->delong = true;
  return absl::OkStatus();
}

absl::Status ByBootstrap(const ComparedModel& model, const ComparedModel& other, const Pairs& pairs,
                         std::uint64_t seed, ModelComparison* comparison) {
  const auto headline_of = [](const EvaluatedModel& of, const std::vector<std::size_t>& units) {
    return [&](std::span<const std::size_t> places) {
      std::vector<std::size_t> chosen;
      for (const std::size_t place : places) chosen.push_back(units[place]);
      return of.Headline(chosen);
    };
  };
  ASSIGN_OR_RETURN(const auto bootstrap, metrics::CompareByBootstrap(
                                             pairs.patients, headline_of(other.model, pairs.others),
                                             headline_of(model.model, pairs.units), seed));
  comparison->headline = bootstrap.second.value;
  comparison->other = bootstrap.first.value;
  comparison->difference = bootstrap.difference.value;
  comparison->difference_95 = bootstrap.difference.interval_95;
  comparison->p = bootstrap.p;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelComparison> CompareModels(const ComparedModel& model,
                                              const ComparedModel& other, std::uint64_t seed) {
  const plan::Target &target = model.model.plan().target, &asked = other.model.plan().target;
  if (target.Shape() != asked.Shape() || target.Columns() != asked.Columns() ||
      target.classes != asked.classes) {
    return absl::InvalidArgumentError(
        StrCat("the models answer different questions: ", target.Title(), " (", Name(target.task),
               ") and ", asked.Title(), " (", Name(asked.task), ")"));
  }
  ASSIGN_OR_RETURN(const Pairs pairs, PairUp(model, other));
  if (pairs.units.empty()) {
    return absl::FailedPreconditionError("there is no example here that both models' plans take");
  }
  const std::set<std::uint64_t> distinct(pairs.patients.begin(), pairs.patients.end());
  ModelComparison comparison;
  comparison.units = pairs.units.size();
  comparison.patients = distinct.size();
  const bool binary = target.task == Task::kBinary;
  const std::vector<bool> targets =
      binary ? TargetsOf(model.model, pairs.units) : std::vector<bool>();
  if (binary && distinct.size() == pairs.units.size()) {
    RETURN_IF_ERROR(ByDeLong(model, other, pairs, targets, &comparison));
  } else {
    RETURN_IF_ERROR(ByBootstrap(model, other, pairs, seed, &comparison));
  }
  if (binary) comparison.at_threshold = AtThresholdOf(model, other, pairs, targets);
  return comparison;
}

}  // namespace consilium::site_agent
