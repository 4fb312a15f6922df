#include "site_agent/evaluation_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/metrics/distribution_shift.h"
#include "common/metrics/usefulness.h"

namespace consilium::site_agent {
namespace {

using nlohmann::ordered_json;

// ---- usefulness, of a binary task or of each label

struct Curve {
  std::string of;
  std::vector<metrics::DecisionPoint> points;
};

std::vector<double> Thresholds() {
  std::vector<double> thresholds;
  for (int percent = 2; percent < 100; percent += 2) thresholds.push_back(percent / 100.0);
  return thresholds;
}

std::vector<Curve> CurvesOf(const EvaluationReport& report) {
  std::vector<Curve> curves;
  const auto add = [&](const std::string& of, const metrics::BinarySums& sums) {
    if (!metrics::LargeEnoughToShow(sums)) return;
    if (auto curve = metrics::DecisionCurve(sums, Thresholds()); curve.ok()) {
      curves.push_back({of, *std::move(curve)});
    }
  };
  if (report.sums.task() == Task::kBinary) add(report.plan.target.Title(), report.sums.binary());
  if (report.sums.task() == Task::kMultilabel) {
    const auto& labels = report.sums.As<metrics::MultilabelSums>().labels;
    for (std::size_t i = 0; i < labels.size(); ++i) add(report.plan.target.classes[i], labels[i]);
  }
  return curves;
}

// "from 0.06 to 0.72", between the first and the last threshold at which the model is of use.
std::string UsefulRange(const Curve& curve) {
  std::optional<double> first, last;
  for (const metrics::DecisionPoint& point : curve.points) {
    if (point.net_benefit <= std::max(0.0, point.treat_all)) continue;
    if (!first) first = point.threshold;
    last = point.threshold;
  }
  return first ? absl::StrFormat("from %.2f to %.2f", *first, *last) : std::string();
}

std::optional<metrics::Recalibration> RecalibrationOf(const EvaluationReport& report) {
  if (report.sums.task() != Task::kBinary || !metrics::LargeEnoughToShow(report.sums)) {
    return std::nullopt;
  }
  auto recalibration = metrics::Recalibrate(report.sums.binary());
  if (!recalibration.ok()) return std::nullopt;
  return *recalibration;
}

// ---- JSON

ordered_json ToJson(const metrics::Recalibration& r) {
  return {{"slope", r.slope},
          {"slope_low", r.slope_95.low},
          {"slope_high", r.slope_95.high},
          {"intercept", r.intercept},
          {"in_the_large", r.in_the_large},
          {"in_the_large_low", r.in_the_large_95.low},
          {"in_the_large_high", r.in_the_large_95.high},
          {"observed_over_expected", r.observed_over_expected}};
}

ordered_json ToJson(const Grouping& grouping, const GroupResult& group) {
  ordered_json json = {{"group", grouping.name}, {"value", group.value}};
  if (!group.metrics) {
    json["metrics"] = {{"suppressed", true}};
    return json;
  }
  json["metrics"] = ordered_json::parse(metrics::ToJson(*group.metrics));
  json["low"] = group.headline.interval_95.low;
  json["high"] = group.headline.interval_95.high;
  json["by_patient"] = group.headline.by_patient;
  return json;
}

ordered_json ToJson(const ModelComparison& c, const ModelId& against) {
  ordered_json json = {{"against", against.Hex()},
                       {"model", c.headline},
                       {"other", c.other},
                       {"difference", c.difference},
                       {"low", c.difference_95.low},
                       {"high", c.difference_95.high},
                       {"p", c.p},
                       {"test", c.delong ? "DeLong, paired" : "bootstrap by patient"},
                       {"examples", c.units},
                       {"patients", c.patients}};
  if (const auto& at = c.at_threshold) {
    json["mcnemar"] = {{"threshold", at->threshold},
                       {"other_threshold", at->other_threshold},
                       {"only_model_right", at->test.only_first_right},
                       {"only_other_right", at->test.only_second_right},
                       {"p", at->test.p}};
  }
  return json;
}

void AddUsefulness(const EvaluationReport& report, ordered_json* json) {
  for (const Curve& curve : CurvesOf(report)) {
    ordered_json points = ordered_json::array();
    for (const metrics::DecisionPoint& point : curve.points) {
      points.push_back({point.threshold, point.net_benefit, point.treat_all});
    }
    (*json)["decision_curves"].push_back({{"of", curve.of}, {"points", std::move(points)}});
  }
  if (const auto recalibration = RecalibrationOf(report)) {
    (*json)["recalibration"] = ToJson(*recalibration);
  }
}

// ---- text

std::string WithInterval(double value, const metrics::Interval& interval) {
  return absl::StrFormat("%.3f (%.3f to %.3f)", value, interval.low, interval.high);
}

// "      |----o---|", on a scale from `low` to `high`.
std::string Whisker(double value, const metrics::Interval& interval, double low, double high) {
  constexpr int kWidth = 32;
  const auto column = [&](double at) {
    const double share = (at - low) / std::max(high - low, 1e-9);
    return std::clamp(static_cast<int>(std::lround(share * (kWidth - 1))), 0, kWidth - 1);
  };
  std::string line(kWidth, ' ');
  const int begin = column(interval.low), end = column(interval.high);
  for (int i = begin; i <= end; ++i) line[static_cast<std::size_t>(i)] = '-';
  line[static_cast<std::size_t>(begin)] = line[static_cast<std::size_t>(end)] = '|';
  line[static_cast<std::size_t>(column(value))] = 'o';
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string MetricsText(const metrics::TaskMetrics& metrics) {
  if (const auto* binary = std::get_if<metrics::BinaryMetrics>(&metrics.all)) {
    return absl::StrFormat(
        "%d positive, %d negative, %d patients\n"
        "AUROC %.4f (95%% %.3f to %.3f)  AUPRC %.4f  accuracy %.4f  "
        "sensitivity %.4f at specificity %.2f  Brier %.4f\n",
        binary->positives, binary->negatives, binary->patients, binary->auroc, binary->auroc_95.low,
        binary->auroc_95.high, binary->auprc, binary->accuracy, binary->sensitivity,
        binary->at_specificity, binary->brier);
  }
  std::string text = absl::StrFormat("%d patients\n%s %.4f (95%% %.3f to %.3f)", metrics.patients,
                                     ForAbsl(HeadlineTitle(metrics.shape.task)), metrics.headline,
                                     metrics.headline_95.low, metrics.headline_95.high);
  const std::string headline(HeadlineName(metrics.shape.task));
  for (const auto& [name, value] : metrics.Values(/*with_counts=*/false)) {
    if (name.starts_with(headline)) continue;
    absl::StrAppendFormat(&text, "  %s %.4f", name, value);
  }
  return StrCat(text, "\n");
}

std::string GroupsText(const EvaluationReport& report) {
  double low = 1, high = 0;
  for (const Grouping& grouping : report.groupings) {
    for (const GroupResult& group : grouping.groups) {
      if (!group.metrics) continue;
      low = std::min(low, group.headline.interval_95.low);
      high = std::max(high, group.headline.interval_95.high);
    }
  }
  const std::string title(HeadlineTitle(report.plan.target.task));
  TextTable table(
      {"group", "", "patients", title + ", 95 %", absl::StrFormat("%.2f to %.2f", low, high)});
  for (const Grouping& grouping : report.groupings) {
    for (const GroupResult& group : grouping.groups) {
      if (!group.metrics) {
        table.AddRow({grouping.name, group.value, "-", "too few to show", ""});
        continue;
      }
      const auto& interval = group.headline.interval_95;
      table.AddRow({grouping.name, group.value, StrCat(group.metrics->patients),
                    WithInterval(group.metrics->headline, interval),
                    Whisker(group.metrics->headline, interval, low, high)});
    }
  }
  std::string text = StrCat("\n", table.ToString());
  if (const auto worst = WorstOf(report.groupings)) {
    StrAppend(&text, "worst of these: ", worst->grouping->name, " ", worst->group->value, ", ",
              title, " ",
              WithInterval(worst->group->metrics->headline, worst->group->headline.interval_95),
              "\n");
  }
  return text;
}

std::string CalibrationText(const EvaluationReport& report) {
  const auto* binary = std::get_if<metrics::BinaryMetrics>(&report.metrics->all);
  if (binary == nullptr || binary->calibration.empty()) return {};
  TextTable table({"mean score", "positive", "", "count"});
  for (const auto& point : binary->calibration) {
    table.AddRow({absl::StrFormat("%.3f", point.mean_score),
                  absl::StrFormat("%.3f", point.observed),
                  std::string(static_cast<std::size_t>(std::lround(point.observed * 24)), '#'),
                  StrCat(point.count)});
  }
  std::string text = StrCat("\ncalibration\n", table.ToString());
  if (const auto r = RecalibrationOf(report)) {
    absl::StrAppendFormat(&text,
                          "slope %.2f (%.2f to %.2f; 1 is perfect), in the large %+.2f (%+.2f to "
                          "%+.2f; 0 is perfect)\n",
                          r->slope, r->slope_95.low, r->slope_95.high, r->in_the_large,
                          r->in_the_large_95.low, r->in_the_large_95.high);
  }
  return text;
}

std::string UsefulnessText(const EvaluationReport& report) {
  std::string text;
  for (const Curve& curve : CurvesOf(report)) {
    const std::string range = UsefulRange(curve);
    StrAppend(&text, "net benefit of acting on ", curve.of, ": ",
              range.empty() ? std::string("at no threshold above that of treating all or nobody")
                            : StrCat("above that of treating all or nobody at thresholds ", range),
              "\n");
  }
  return text;
}

std::string ComparisonText(const EvaluationReport& report) {
  if (!report.comparison) return {};
  const ModelComparison& c = *report.comparison;
  std::string text = absl::StrFormat(
      "\nagainst model %s on the same %d examples of %d patients: %s %.4f and %.4f,\n"
      "  difference %+.4f (95%% %+.4f to %+.4f), p = %.3f (%s)\n",
      report.against->Short(), c.units, c.patients, ForAbsl(HeadlineTitle(report.plan.target.task)),
      c.headline, c.other, c.difference, c.difference_95.low, c.difference_95.high, c.p,
      c.delong ? "DeLong, paired" : "bootstrap by patient");
  if (const auto& at = c.at_threshold) {
    absl::StrAppendFormat(&text,
                          "  at thresholds %.3f and %.3f only this model is right about %d, only "
                          "the other about %d: p = %.3f (McNemar, exact)\n",
                          at->threshold, at->other_threshold, at->test.only_first_right,
                          at->test.only_second_right, at->test.p);
  }
  return text;
}

}  // namespace

std::vector<AnswerQuantiles> ScoresOf(const EvaluatedModel& model) {
  const plan::Target& target = model.plan().target;
  std::map<std::uint64_t, std::vector<std::size_t>> units;
  for (std::size_t unit = 0; unit < model.units(); ++unit) {
    units[model.patients()[unit]].push_back(unit);
  }
  if (model.predictions().empty() || units.size() < kLeastForQuantiles) return {};
  const std::size_t width = model.predictions().size() / model.units();
  std::vector<AnswerQuantiles> scores;
  for (std::size_t answer = 0; answer < width; ++answer) {
    std::vector<double> of_patients;
    for (const auto& [patient, own] : units) {
      double sum = 0;
      for (const std::size_t unit : own) sum += model.predictions()[unit * width + answer];
      of_patients.push_back(sum / static_cast<double>(own.size()));
    }
    scores.push_back({width > 1 ? target.classes[answer] : target.Title(), {}});
    for (const double share : {0.05, 0.25, 0.5, 0.75, 0.95}) {
      scores.back().quantiles.push_back(metrics::Quantile(of_patients, share));
    }
  }
  return scores;
}

std::string ToJson(const EvaluationReport& report) {
  ordered_json json = {{"model", report.model.Hex()},
                       {"split", report.split},
                       {"task", std::string(Name(report.plan.target.task))},
                       {"published", nullptr}};
  if (report.published) {
    json["published"] = {{"federation", report.published->federation},
                         {"run", report.published->run},
                         {"trained_here", report.published->trained_here}};
  }
  json["metrics"] =
      report.metrics.ok() ? ordered_json::parse(metrics::ToJson(*report.metrics)) : ordered_json();
  json["sums"] = ordered_json::parse(metrics::ToJson(report.sums));
  if (report.metrics.ok()) {
    json["headline"] = {{"low", report.headline.interval_95.low},
                        {"high", report.headline.interval_95.high},
                        {"by_patient", report.headline.by_patient}};
  }
  AddUsefulness(report, &json);
  for (const Grouping& grouping : report.groupings) {
    for (const GroupResult& group : grouping.groups) {
      json["groups"].push_back(ToJson(grouping, group));
    }
  }
  if (const auto worst = WorstOf(report.groupings)) {
    json["worst_group"] = ToJson(*worst->grouping, *worst->group);
  }
  for (const AnswerQuantiles& score : report.scores) {
    json["scores"].push_back({{"of", score.of}, {"quantiles", score.quantiles}});
  }
  if (report.comparison) json["comparison"] = ToJson(*report.comparison, *report.against);
  return json.dump();
}

absl::StatusOr<std::string> ToText(const EvaluationReport& report) {
  const std::string split =
      report.split == "all" ? std::string("all images") : StrCat("the ", report.split, " split");
  RETURN_IF_ERROR(WithContext(report.metrics.status(), split));
  std::string text =
      StrCat("model ", report.model.Short(), " on ", split, ": ", MetricsText(*report.metrics));
  if (report.headline.by_patient) {
    StrAppend(&text, "patients resampled: ",
              WithInterval(report.metrics->headline, report.headline.interval_95), "\n");
  }
  if (report.published) {
    StrAppend(&text, "published by ", report.published->federation, ", run ", report.published->run,
              "; this site ",
              report.published->trained_here ? "took part in it" : "took no part in it: external",
              "\n");
  }
  StrAppend(&text, UsefulnessText(report), CalibrationText(report));
  if (!report.groupings.empty()) StrAppend(&text, GroupsText(report));
  return StrCat(text, ComparisonText(report));
}

}  // namespace consilium::site_agent
