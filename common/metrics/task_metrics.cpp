// What the sums of any task show, by the names that events and JSON give it, and whether they may.

#include <algorithm>
#include <map>

#include "common/base/overloaded.h"
#include "common/metrics/sum_checks.h"
#include "common/metrics/task_sums.h"

namespace consilium::metrics {
namespace {

using Numbers = std::vector<std::pair<std::string, double>>;

void AddIf(Numbers& numbers, std::string_view name, const std::optional<double>& value) {
  if (value) numbers.emplace_back(name, *value);
}

double Real(std::uint64_t count) { return static_cast<double>(count); }

Numbers NumbersOf(const BinaryMetrics&) { return {}; }
Numbers CountsOf(const BinaryMetrics& m) {
  return {{"positives", Real(m.positives)},
          {"negatives", Real(m.negatives)},
          {"patients", Real(m.patients)}};
}

Numbers NumbersOf(const MulticlassMetrics& m) {
  return {{"accuracy", m.accuracy},
          {"accuracy_low", m.accuracy_95.low},
          {"accuracy_high", m.accuracy_95.high},
          {"balanced_accuracy", m.balanced_accuracy},
          {"kappa", m.kappa},
          {"quadratic_kappa", m.quadratic_kappa},
          {"log_loss", m.log_loss},
          {"brier", m.brier}};
}
Numbers CountsOf(const MulticlassMetrics& m) {
  return {{"examples", Real(m.examples)}, {"patients", Real(m.patients)}};
}

Numbers NumbersOf(const MultilabelMetrics&) { return {}; }
Numbers CountsOf(const MultilabelMetrics& m) {
  return {{"examples", Real(m.examples)}, {"patients", Real(m.patients)}};
}

Numbers NumbersOf(const SegmentationMetrics& m) {
  double distances = 0, known = 0;
  for (const auto& structure : m.structures) {
    if (!structure || !structure->hd95_mm) continue;
    distances += *structure->hd95_mm;
    ++known;
  }
  if (known == 0) return {};
  return {{"hd95_mm", distances / known}};
}
Numbers CountsOf(const SegmentationMetrics& m) {
  return {{"patients", Real(m.patients)}, {"images", Real(m.images)}};
}

Numbers NumbersOf(const SurvivalMetrics& m) {
  Numbers numbers;
  AddIf(numbers, "pooled_concordance", m.pooled_concordance);
  numbers.emplace_back("log_rank_chi2", m.log_rank_chi2);
  numbers.emplace_back("log_rank_p", m.log_rank_p);
  numbers.emplace_back("degrees_of_freedom", m.degrees_of_freedom);
  AddIf(numbers, "integrated_brier", m.integrated_brier);
  AddIf(numbers, "integrated_brier_without_risks", m.integrated_brier_without_risks);
  return numbers;
}
Numbers CountsOf(const SurvivalMetrics& m) {
  return {
      {"examples", Real(m.examples)}, {"patients", Real(m.patients)}, {"events", Real(m.events)}};
}

Numbers NumbersOf(const DetectionMetrics& m) {
  return {{"ap75", m.average_precision_75},
          {"froc_sensitivity", m.froc_sensitivity},
          {"sensitivity", m.sensitivity},
          {"false_alarms", m.false_alarms}};
}
Numbers CountsOf(const DetectionMetrics& m) {
  return {
      {"patients", Real(m.patients)}, {"images", Real(m.images)}, {"findings", Real(m.findings)}};
}

struct Headline {
  double value = 0;
  Interval interval;
};

Headline HeadlineOf(const SegmentationMetrics& m) { return {m.dice, m.dice_95}; }
Headline HeadlineOf(const SurvivalMetrics& m) { return {m.concordance, m.concordance_95}; }
Headline HeadlineOf(const DetectionMetrics& m) {
  return {m.average_precision, m.average_precision_95};
}
Headline HeadlineOf(const auto& m) { return {m.auroc, m.auroc_95}; }

template <class Metrics>
absl::StatusOr<TaskMetrics> TaskMetricsOf(const TaskShape& shape, absl::StatusOr<Metrics> metrics) {
  if (!metrics.ok()) return metrics.status();
  TaskMetrics task;
  task.shape = shape;
  const Headline headline = HeadlineOf(*metrics);
  task.headline = headline.value;
  task.headline_95 = headline.interval;
  task.patients = metrics->patients;
  task.all = *std::move(metrics);
  return task;
}

// ---- what may be shown

// How many there are of what must not be few, unless there is none and that may be told.
struct Group {
  std::uint64_t count = 0;
  bool may_be_none = false;
};
using Groups = std::vector<Group>;

bool LargeEnough(const Groups& groups) {
  return std::all_of(groups.begin(), groups.end(), [](const Group& group) {
    return group.count >= kSmallCount || (group.may_be_none && group.count == 0);
  });
}

Groups GroupsOf(const BinarySums& sums) { return {{sums.PositiveCount()}, {sums.NegativeCount()}}; }
Groups GroupsOf(const MulticlassSums& sums) {
  Groups groups = {{sums.Count()}};
  for (std::uint32_t c = 0; c < sums.classes; ++c) groups.push_back({sums.CountOf(c), true});
  return groups;
}
Groups GroupsOf(const SegmentationSums& sums) {
  Groups groups = {{sums.patients}};
  for (const StructureSums& structure : sums.structures) {
    groups.push_back({structure.patients, true});
  }
  return groups;
}
Groups GroupsOf(const DetectionSums& sums) {
  Groups groups = {{sums.patients}};
  for (const KindSums& kind : sums.kinds) groups.push_back({kind.patients, true});
  return groups;
}
Groups GroupsOf(const SurvivalSums& sums) {
  return {{sums.EventCount()}, {Total(sums.censored), true}};
}

// Whether a total may be shown beside those of the sites that are large enough.
bool TotalCanBeShown(const std::vector<Groups>& sites) {
  Groups hidden;
  int suppressed = 0;
  for (const Groups& site : sites) {
    if (LargeEnough(site)) continue;
    ++suppressed;
    if (hidden.empty()) {
      hidden = site;
      continue;
    }
    for (std::size_t i = 0; i < site.size(); ++i) hidden[i].count += site[i].count;
  }
  return suppressed == 0 || (suppressed > 1 && LargeEnough(hidden));
}

bool LabelTotalsCanBeShown(const std::map<SiteId, TaskSums>& sites, std::size_t labels) {
  for (std::size_t label = 0; label < labels; ++label) {
    std::vector<Groups> groups;
    Groups all = {{0}, {0}};
    for (const auto& [site, sums] : sites) {
      groups.push_back(GroupsOf(sums.As<MultilabelSums>().labels[label]));
      for (std::size_t i = 0; i < all.size(); ++i) all[i].count += groups.back()[i].count;
    }
    // Of a label with too few examples altogether nothing is shown.
    if (LargeEnough(all) && !TotalCanBeShown(groups)) return false;
  }
  return true;
}

}  // namespace

Numbers TaskMetrics::Values(bool with_counts) const {
  const std::string name(HeadlineName(shape.task));
  Numbers values = {
      {name, headline}, {name + "_low", headline_95.low}, {name + "_high", headline_95.high}};
  std::visit(
      [&](const auto& metrics) {
        for (auto& number : NumbersOf(metrics)) values.push_back(std::move(number));
        if (!with_counts) return;
        for (auto& count : CountsOf(metrics)) values.push_back(std::move(count));
      },
      all);
  return values;
}

absl::StatusOr<TaskMetrics> Compute(const TaskSums& sums, double at_specificity) {
  const auto of = [&](auto metrics) { return TaskMetricsOf(sums.shape(), std::move(metrics)); };
  return sums.Visit(
      Overloaded{[&](const BinarySums& kind) { return of(Compute(kind, at_specificity)); },
                 [&](const MultilabelSums& kind) { return of(Compute(kind, at_specificity)); },
                 [&](const auto& kind) { return of(Compute(kind)); }});
}

bool LargeEnoughToShow(const TaskSums& sums) {
  return sums.Visit(Overloaded{[](const MultilabelSums& kind) {
                                 return std::any_of(kind.labels.begin(), kind.labels.end(),
                                                    [](const BinarySums& label) {
                                                      return LargeEnough(GroupsOf(label));
                                                    });
                               },
                               [](const auto& kind) { return LargeEnough(GroupsOf(kind)); }});
}

bool PooledCountsCanBeShown(const std::map<SiteId, TaskSums>& sites) {
  if (sites.empty()) return true;
  const TaskShape shape = sites.begin()->second.shape();
  if (shape.task == Task::kMultilabel) return LabelTotalsCanBeShown(sites, shape.classes);
  std::vector<Groups> groups;
  for (const auto& [site, sums] : sites) {
    groups.push_back(sums.Visit(Overloaded{[](const MultilabelSums&) { return Groups(); },
                                           [](const auto& kind) { return GroupsOf(kind); }}));
  }
  return TotalCanBeShown(groups);
}

}  // namespace consilium::metrics
