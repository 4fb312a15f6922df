#include "coordinator/researcher/card_values.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/task.h"
#include "common/base/text.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

json Member(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found == object.end() ? json() : *found;
}

std::string Text(const json& object, const char* key) {
  const json member = Member(object, key);
  return member.is_string() ? member.get<std::string>() : std::string();
}

std::optional<Number> NumberOf(const json& value) {
  if (!value.is_number()) return std::nullopt;
  return Number{value.get<double>(), !value.is_number_float()};
}

Numbers NumbersOf(const json& object) {
  Numbers numbers;
  if (!object.is_object()) return numbers;
  for (const auto& [key, value] : object.items()) {
    if (const auto number = NumberOf(value)) numbers[key] = *number;
  }
  return numbers;
}

// Of rows of numbers the columns x and y; rows that are too short are passed over.
std::vector<report::Point> PointsOf(const json& rows, std::size_t x, std::size_t y) {
  std::vector<report::Point> points;
  if (!rows.is_array()) return points;
  for (const json& row : rows) {
    if (!row.is_array() || row.size() <= std::max(x, y)) continue;
    if (row[x].is_number() && row[y].is_number()) points.push_back({row[x], row[y]});
  }
  return points;
}

std::optional<Range> RangeOf(const json& object) {
  const auto low = NumberOf(Member(object, "low")), high = NumberOf(Member(object, "high"));
  if (!low || !high) return std::nullopt;
  return Range{low->value, high->value};
}

CardMetrics MetricsOf(const json& object) {
  CardMetrics metrics;
  metrics.suppressed = !object.is_object() || Member(object, "suppressed") == true;
  metrics.numbers = NumbersOf(object);
  for (const char* name : {"classes", "labels", "structures", "kinds"}) {
    const json parts = Member(object, name);
    if (!parts.is_array() || parts.empty()) continue;
    metrics.parts.push_back({name, {}});
    for (const json& part : parts) {
      metrics.parts.back().numbers.push_back(part.is_object() ? std::optional(NumbersOf(part))
                                                              : std::nullopt);
    }
  }
  metrics.calibration = PointsOf(Member(object, "calibration"), 0, 1);
  metrics.roc = PointsOf(Member(object, "roc"), 0, 1);
  return metrics;
}

void AddLists(const json& parsed, PlaceResult* result) {
  const json groups = Member(parsed, "groups"), curves = Member(parsed, "decision_curves"),
             scores = Member(parsed, "scores");
  for (const json& group : groups) {
    result->groups.push_back({Text(group, "group"), Text(group, "value"),
                              MetricsOf(Member(group, "metrics")), RangeOf(group)});
  }
  for (const json& curve : curves) {
    const json points = Member(curve, "points");
    result->curves.push_back({Text(curve, "of"), PointsOf(points, 0, 1), PointsOf(points, 0, 2)});
  }
  for (const json& score : scores) {
    result->scores.push_back({Text(score, "of"), {}});
    const json quantiles = Member(score, "quantiles");
    for (const json& quantile : quantiles) {
      if (const auto number = NumberOf(quantile)) {
        result->scores.back().quantiles.push_back(*number);
      }
    }
  }
}

}  // namespace

std::string Number::Text() const {
  return whole ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.3f", value);
}

std::string WithInterval(const Numbers& numbers, const std::string& key) {
  std::string text = numbers.at(key).Text();
  const auto low = numbers.find(key + "_low"), high = numbers.find(key + "_high");
  if (low != numbers.end() && high != numbers.end()) {
    StrAppend(&text, " (", low->second.Text(), " to ", high->second.Text(), ")");
  }
  return text;
}

bool IsInterval(const Numbers& numbers, const std::string& key) {
  for (const std::string_view end : {"_low", "_high"}) {
    if (key.ends_with(end) && numbers.contains(key.substr(0, key.size() - end.size()))) return true;
  }
  return false;
}

std::string CardMetrics::HeadlineKey(const std::string& task) const {
  for (const Task known : {Task::kBinary, Task::kMulticlass, Task::kMultilabel, Task::kSegmentation,
                           Task::kSurvival, Task::kDetection}) {
    const std::string key(HeadlineName(known));
    if ((task.empty() || task == Name(known)) && numbers.contains(key)) return key;
  }
  return {};
}

std::string CardMetrics::Headline(const std::string& task) const {
  const std::string key = HeadlineKey(task);
  return suppressed || key.empty() ? "too few to show" : WithInterval(numbers, key);
}

std::string CardMetrics::Patients() const {
  const auto found = numbers.find("patients");
  return found == numbers.end() ? "-" : found->second.Text();
}

CardMetrics ParseMetrics(const std::string& text) {
  return MetricsOf(json::parse(text, nullptr, /*allow_exceptions=*/false));
}

absl::StatusOr<PlaceResult> ParseResult(const std::string& name, const std::string& text) {
  const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("metrics")) {
    return absl::InvalidArgumentError(
        StrCat("the results of ", name, " are not what consilium-site evaluate --json prints"));
  }
  PlaceResult result;
  result.name = name;
  result.model = Text(parsed, "model");
  result.task = Text(parsed, "task");
  const json trained = Member(Member(parsed, "published"), "trained_here");
  if (trained.is_boolean()) result.trained_here = trained.get<bool>();
  result.metrics = MetricsOf(parsed["metrics"]);
  result.headline = RangeOf(Member(parsed, "headline"));
  if (const json comparison = Member(parsed, "comparison"); comparison.is_object()) {
    result.comparison = {Text(comparison, "against"), Text(comparison, "test"),
                         NumbersOf(comparison)};
  }
  AddLists(parsed, &result);
  return result;
}

}  // namespace consilium::researcher
