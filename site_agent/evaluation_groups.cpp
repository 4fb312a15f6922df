#include "site_agent/evaluation_groups.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/metrics/description.h"
#include "common/metrics/paired_comparison.h"

namespace consilium::site_agent {
namespace {

constexpr std::uint32_t kResamples = 1'000;
constexpr std::string_view kSeveral = "several";

std::string AgeBand(double years) {
  if (years < 18) return "0-17";
  if (years < 40) return "18-39";
  if (years < 65) return "40-64";
  return years < 80 ? "65-79" : "80+";
}

bool HasTable(const plan::Plan& plan) { return !plan.table.columns.empty(); }
bool HasImages(const plan::Plan& plan) { return plan.data.source == plan::Source::kDicom; }

bool IsAge(const plan::Column& column) {
  return column.kind == plan::ColumnKind::kNumber && plan::Comparable(column.name) == "age";
}

std::string FactOf(std::string_view grouping, const ExampleFacts& facts) {
  if (grouping == "sex") return facts.sex;
  if (grouping == "view") return facts.view;
  if (grouping == "age") return facts.age ? AgeBand(*facts.age) : std::string();
  if (facts.manufacturer.empty()) return {};
  return std::string(metrics::ManufacturerRow(facts.manufacturer));
}

// Where in the input a column's values begin: numbers first, then the categories' values.
std::size_t PlaceOf(const plan::Plan& plan, const plan::Column& wanted, std::size_t columns_at) {
  std::size_t numbers = columns_at, values = columns_at + plan.table.Numbers();
  for (const plan::Column& column : plan.table.columns) {
    const bool number = column.kind == plan::ColumnKind::kNumber;
    if (column == wanted) return number ? numbers : values;
    (number ? numbers : values) += number ? 1 : column.values.size();
  }
  CONSILIUM_CHECK(false);
}

std::vector<std::string> ByColumn(const plan::Plan& plan, const plan::Column& column,
                                  const datasets::Dataset& examples) {
  const datasets::InputShape shape = examples.input_shape();
  const std::size_t place = PlaceOf(plan, column, shape.ImageElements());
  std::vector<float> input(shape.Elements());
  std::vector<std::string> groups;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    examples.Get(i, input);
    std::string& group = groups.emplace_back();
    if (column.kind == plan::ColumnKind::kNumber) {
      if (!std::isnan(input[place])) group = AgeBand(input[place]);
      continue;
    }
    for (std::size_t value = 0; value < column.values.size(); ++value) {
      if (input[place + value] == 1) group = column.values[value];
    }
  }
  return groups;
}

using UnitsByGroup = std::map<std::string, std::vector<std::size_t>>;

// Groups too small to show, with the next smallest until nothing can be subtracted.
std::set<std::string> Suppressed(const EvaluatedModel& model, const UnitsByGroup& groups) {
  struct Size {
    std::uint64_t patients;
    std::string name;
  };
  const auto patients_in = [&](const std::vector<std::size_t>& units) {
    std::set<std::uint64_t> distinct;
    for (const std::size_t unit : units) distinct.insert(model.patients()[unit]);
    return distinct.size();
  };
  const auto shows = [&](const std::vector<std::size_t>& units) {
    return patients_in(units) >= metrics::kSmallCount &&
           metrics::LargeEnoughToShow(model.Sum(units));
  };
  std::set<std::string> suppressed;
  std::vector<Size> shown;
  std::vector<std::size_t> hidden;
  const auto hide = [&](const std::string& name) {
    suppressed.insert(name);
    const auto& units = groups.at(name);
    hidden.insert(hidden.end(), units.begin(), units.end());
  };
  for (const auto& [name, units] : groups) {
    if (shows(units)) {
      shown.push_back({patients_in(units), name});
    } else {
      hide(name);
    }
  }
  std::sort(shown.begin(), shown.end(),
            [](const Size& a, const Size& b) { return a.patients > b.patients; });
  while (!suppressed.empty() && !shown.empty() && (suppressed.size() < 2 || !shows(hidden))) {
    hide(shown.back().name);
    shown.pop_back();
  }
  return suppressed;
}

}  // namespace

std::vector<std::string> GroupingsOf(const plan::Plan& plan) {
  std::vector<std::string> names;
  if (HasImages(plan)) names = {"sex", "age", "manufacturer", "view"};
  if (!HasTable(plan)) return names;
  for (const plan::Column& column : plan.table.columns) {
    const bool fits = column.kind == plan::ColumnKind::kCategory || IsAge(column);
    if (fits && std::find(names.begin(), names.end(), column.name) == names.end()) {
      names.push_back(column.name);
    }
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> GroupOfEach(std::string_view grouping,
                                                     const plan::Plan& plan,
                                                     const EvaluationData& data) {
  const std::vector<std::string> known = GroupingsOf(plan);
  if (std::find(known.begin(), known.end(), grouping) == known.end()) {
    return absl::InvalidArgumentError(
        StrCat("--by \"", grouping, "\" is no grouping of this model's examples: ",
               known.empty() ? std::string("they have none")
                             : StrCat("one of ", absl::StrJoin(known, ", "))));
  }
  std::vector<std::string> groups;
  const bool of_header = HasImages(plan) && (grouping == "sex" || grouping == "age" ||
                                             grouping == "manufacturer" || grouping == "view");
  if (of_header) {
    for (const ExampleFacts& facts : data.facts) groups.push_back(FactOf(grouping, facts));
  } else {
    const auto column =
        std::find_if(plan.table.columns.begin(), plan.table.columns.end(),
                     [&](const plan::Column& column) { return column.name == grouping; });
    groups = ByColumn(plan, *column, *data.examples);
  }
  for (std::string& group : groups) {
    if (group.empty()) group = kNotSaid;
  }
  return groups;
}

HeadlineInterval IntervalOf(const EvaluatedModel& model, std::span<const std::size_t> units,
                            const metrics::TaskMetrics& metrics, std::uint64_t seed) {
  std::vector<std::uint64_t> patients;
  for (const std::size_t unit : units) patients.push_back(model.patients()[unit]);
  const std::set<std::uint64_t> distinct(patients.begin(), patients.end());
  if (distinct.size() == patients.size()) return {metrics.headline_95, false};
  const auto headline = [&](std::span<const std::size_t> places) {
    std::vector<std::size_t> chosen;
    for (const std::size_t place : places) chosen.push_back(units[place]);
    return model.Headline(chosen);
  };
  const auto estimate = metrics::Bootstrap(patients, headline, seed, kResamples);
  if (!estimate.ok()) return {metrics.headline_95, false};
  return {estimate->interval_95, true};
}

Grouping EvaluateGroups(const EvaluatedModel& model, std::string name,
                        const std::vector<std::string>& group_of_each, std::uint64_t seed) {
  UnitsByGroup groups;
  for (std::size_t unit = 0; unit < model.units(); ++unit) {
    const auto examples = model.examples_of(unit);
    const std::string& first = group_of_each[examples.front()];
    const bool same = std::all_of(examples.begin(), examples.end(),
                                  [&](std::size_t i) { return group_of_each[i] == first; });
    groups[same ? first : std::string(kSeveral)].push_back(unit);
  }
  const std::set<std::string> suppressed = Suppressed(model, groups);
  Grouping grouping{std::move(name), {}};
  for (const auto& [value, units] : groups) {
    GroupResult group{.value = value, .metrics = std::nullopt, .headline = {}};
    const double at_specificity = model.plan().evaluation.at_specificity;
    if (auto metrics = metrics::Compute(model.Sum(units), at_specificity);
        metrics.ok() && !suppressed.contains(value)) {
      group.headline = IntervalOf(model, units, *metrics, seed);
      group.metrics = *std::move(metrics);
    }
    grouping.groups.push_back(std::move(group));
  }
  std::stable_partition(grouping.groups.begin(), grouping.groups.end(),
                        [](const GroupResult& group) { return group.value != kNotSaid; });
  return grouping;
}

std::optional<WorstGroup> WorstOf(const std::vector<Grouping>& groupings) {
  std::optional<WorstGroup> worst;
  for (const Grouping& grouping : groupings) {
    for (const GroupResult& group : grouping.groups) {
      if (!group.metrics) continue;
      if (worst && worst->group->metrics->headline <= group.metrics->headline) continue;
      worst = WorstGroup{&grouping, &group};
    }
  }
  return worst;
}

}  // namespace consilium::site_agent
