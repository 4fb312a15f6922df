// Sums and metrics of any task as JSON text.

#include <nlohmann/json.hpp>

#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/metrics/json.h"
#include "common/metrics/task_sums.h"

namespace consilium::metrics {
namespace {

using nlohmann::json;

constexpr std::string_view kSuppressed = R"({"suppressed":true})";

// ---- metrics

void AddIf(json& out, const char* name, const std::optional<double>& value) {
  if (value) out[name] = *value;
}

json ListOf(const auto& optionals, const auto& entry) {
  json list = json::array();
  for (const auto& one : optionals) list.push_back(one ? entry(*one) : json());
  return list;
}

json ClassJson(const ClassMetrics& m, bool with_counts) {
  json out = {{"auroc", m.auroc},
              {"auroc_error_bound", m.auroc_error_bound},
              {"auroc_low", m.auroc_95.low},
              {"auroc_high", m.auroc_95.high},
              {"sensitivity", m.sensitivity},
              {"precision", m.precision}};
  if (with_counts) out["positives"] = m.positives;
  return out;
}

json StructureJson(const StructureMetrics& m, bool with_counts) {
  json out = {{"dice", m.dice},
              {"dice_low", m.dice_95.low},
              {"dice_high", m.dice_95.high},
              {"dice_median", m.dice_median},
              {"dice_deviation", m.dice_deviation},
              {"pooled_dice", m.pooled_dice}};
  AddIf(out, "hd95_mm", m.hd95_mm);
  AddIf(out, "bias_ml", m.bias_ml);
  AddIf(out, "low_agreement_ml", m.low_agreement_ml);
  AddIf(out, "high_agreement_ml", m.high_agreement_ml);
  AddIf(out, "concordance_correlation", m.concordance_correlation);
  if (with_counts) out["patients"] = m.patients;
  return out;
}

json KindJson(const KindMetrics& m, bool with_counts) {
  json out = {{"average_precision", m.average_precision},
              {"average_precision_error_bound", m.average_precision_error_bound},
              {"ap75", m.average_precision_75},
              {"froc_sensitivity", m.froc_sensitivity},
              {"sensitivities", m.sensitivities},
              {"sensitivity", m.sensitivity},
              {"false_alarms", m.false_alarms},
              {"froc", json::array()}};
  for (const auto& point : m.froc) out["froc"].push_back({point.false_alarms, point.sensitivity});
  if (with_counts) {
    out["findings"] = m.findings;
    out["patients"] = m.patients;
  }
  return out;
}

// Beside the single numbers.
void AddDetails(json&, const BinaryMetrics&, bool) {}
void AddDetails(json& out, const MulticlassMetrics& m, bool with_counts) {
  out["classes"] =
      ListOf(m.classes, [&](const ClassMetrics& one) { return ClassJson(one, with_counts); });
  if (!with_counts) return;
  out["confusion"] = json::array();
  const std::size_t classes = m.classes.size();
  for (std::size_t truth = 0; truth < classes; ++truth) {
    const auto row = m.confusion.begin() + static_cast<std::ptrdiff_t>(truth * classes);
    out["confusion"].push_back(
        json(std::vector<std::uint64_t>(row, row + static_cast<std::ptrdiff_t>(classes))));
  }
}
void AddDetails(json& out, const MultilabelMetrics& m, bool with_counts) {
  out["labels"] = ListOf(
      m.labels, [&](const BinaryMetrics& one) { return json::parse(ToJson(one, with_counts)); });
}
void AddDetails(json& out, const SegmentationMetrics& m, bool with_counts) {
  out["structures"] = ListOf(
      m.structures, [&](const StructureMetrics& one) { return StructureJson(one, with_counts); });
}
void AddDetails(json& out, const DetectionMetrics& m, bool with_counts) {
  out["kinds"] =
      ListOf(m.kinds, [&](const KindMetrics& one) { return KindJson(one, with_counts); });
}
void AddDetails(json& out, const SurvivalMetrics& m, bool with_counts) {
  out["by_risk"] = json::array();
  for (const auto& curve : m.by_risk) {
    json points = json::array();
    for (const auto& point : curve) {
      json entry = {point.days, point.survival};
      if (with_counts) entry.push_back(point.at_risk);
      points.push_back(std::move(entry));
    }
    out["by_risk"].push_back(std::move(points));
  }
}

// A count is written as one, without a decimal point.
void AddNumber(json& out, const std::string& name, double value) {
  static constexpr std::string_view kCounts[] = {"examples", "patients", "images",
                                                 "events",   "findings", "degrees_of_freedom"};
  if (std::find(std::begin(kCounts), std::end(kCounts), name) != std::end(kCounts)) {
    out[name] = static_cast<std::uint64_t>(value);
  } else {
    out[name] = value;
  }
}

std::string ShownJson(const TaskSums& sums, double at_specificity, bool with_counts) {
  const auto metrics = Compute(sums, at_specificity);
  if (!metrics.ok() || !LargeEnoughToShow(sums)) return std::string(kSuppressed);
  return ToJson(*metrics, with_counts);
}

// ---- sums: histograms, which are mostly zeros, as [place, count] pairs

json SparseJson(const auto& counts) {
  json out = json::array();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) out.push_back({i, counts[i]});
  }
  return out;
}

void FillSparse(auto& counts, const json& pairs) {
  for (const json& pair : pairs) counts.at(pair.at(0).get<std::size_t>()) = pair.at(1);
}

json SumsJson(const MulticlassSums& s) {
  json scores = json::array();
  for (const ClassScores& one : s.scores) {
    scores.push_back(
        {{"positives", SparseJson(one.positives)}, {"negatives", SparseJson(one.negatives)}});
  }
  return {{"classes", s.classes},   {"scores", std::move(scores)},      {"confusion", s.confusion},
          {"log_loss", s.log_loss}, {"squared_error", s.squared_error}, {"patients", s.patients}};
}
void Fill(MulticlassSums& s, const json& in) {
  for (std::size_t c = 0; c < s.scores.size(); ++c) {
    FillSparse(s.scores[c].positives, in.at("scores").at(c).at("positives"));
    FillSparse(s.scores[c].negatives, in.at("scores").at(c).at("negatives"));
  }
  s.confusion = in.at("confusion").get<std::vector<std::uint64_t>>();
  s.log_loss = in.at("log_loss");
  s.squared_error = in.at("squared_error");
  s.patients = in.at("patients");
}

json SumsJson(const MultilabelSums& s) {
  json labels = json::array();
  for (const BinarySums& label : s.labels) labels.push_back(json::parse(ToJson(label)));
  return {{"classes", s.labels.size()}, {"labels", std::move(labels)}, {"patients", s.patients}};
}
void Fill(MultilabelSums& s, const json& in) {
  for (std::size_t i = 0; i < s.labels.size(); ++i) {
    // What is wrong of one label is wrong of all.
    s.labels[i] = SumsFromJson(in.at("labels").at(i).dump()).value();
  }
  s.patients = in.at("patients");
}

// Calls `entry` with the name and the place of each number of a structure but the histogram.
template <class Structure, class Entry>
void ForEachEntry(Structure& s, const Entry& entry) {
  entry("patients", s.patients);
  entry("both_empty", s.both_empty);
  entry("dice", s.dice);
  entry("dice_squared", s.dice_squared);
  entry("with_distance", s.with_distance);
  entry("hd95", s.hd95);
  entry("hd95_squared", s.hd95_squared);
  entry("intersection", s.intersection);
  entry("predicted", s.predicted);
  entry("truth", s.truth);
  entry("with_volume", s.with_volume);
  entry("truth_ml", s.truth_ml);
  entry("predicted_ml", s.predicted_ml);
  entry("truth_squared", s.truth_squared);
  entry("predicted_squared", s.predicted_squared);
  entry("product", s.product);
}

json SumsJson(const SegmentationSums& s) {
  json structures = json::array();
  for (const StructureSums& structure : s.structures) {
    json one = {{"dice_histogram", SparseJson(structure.dice_histogram)}};
    ForEachEntry(structure, [&](const char* name, const auto& value) { one[name] = value; });
    structures.push_back(std::move(one));
  }
  return {{"classes", s.structures.size()},
          {"structures", std::move(structures)},
          {"patients", s.patients},
          {"images", s.images}};
}
void Fill(SegmentationSums& s, const json& in) {
  for (std::size_t i = 0; i < s.structures.size(); ++i) {
    const json& one = in.at("structures").at(i);
    FillSparse(s.structures[i].dice_histogram, one.at("dice_histogram"));
    ForEachEntry(s.structures[i], [&](const char* name, auto& value) { value = one.at(name); });
  }
  s.patients = in.at("patients");
  s.images = in.at("images");
}

json SumsJson(const SurvivalSums& s) {
  return {{"classes", 1},
          {"comparable", s.comparable},
          {"concordant_halves", s.concordant_halves},
          {"halves_squared", s.halves_squared},
          {"halves_by_pairs", s.halves_by_pairs},
          {"pairs_squared", s.pairs_squared},
          {"events", SparseJson(s.events)},
          {"censored", SparseJson(s.censored)},
          {"patients", s.patients}};
}
void Fill(SurvivalSums& s, const json& in) {
  s.comparable = in.at("comparable");
  s.concordant_halves = in.at("concordant_halves");
  s.halves_squared = in.at("halves_squared");
  s.halves_by_pairs = in.at("halves_by_pairs");
  s.pairs_squared = in.at("pairs_squared");
  FillSparse(s.events, in.at("events"));
  FillSparse(s.censored, in.at("censored"));
  s.patients = in.at("patients");
}

// All groups one after another.
json GroupsJson(const std::vector<KindSums::Histogram>& groups) {
  json out = json::array();
  for (const auto& group : groups) out.push_back(SparseJson(group));
  return out;
}

json SumsJson(const DetectionSums& s) {
  json kinds = json::array();
  for (const KindSums& kind : s.kinds) {
    kinds.push_back({{"boxes", GroupsJson(kind.boxes)},
                     {"found", GroupsJson(kind.found)},
                     {"found_75", SparseJson(kind.found_75)},
                     {"hits", SparseJson(kind.hits)},
                     {"false_alarms", SparseJson(kind.false_alarms)},
                     {"findings", kind.findings},
                     {"patients", kind.patients}});
  }
  return {{"classes", s.kinds.size()},
          {"kinds", std::move(kinds)},
          {"group_patients", s.group_patients},
          {"patients", s.patients},
          {"images", s.images}};
}
void Fill(DetectionSums& s, const json& in) {
  for (std::size_t i = 0; i < s.kinds.size(); ++i) {
    KindSums& kind = s.kinds[i];
    const json& one = in.at("kinds").at(i);
    for (std::size_t group = 0; group < kPatientGroups; ++group) {
      FillSparse(kind.boxes[group], one.at("boxes").at(group));
      FillSparse(kind.found[group], one.at("found").at(group));
      kind.findings[group] = one.at("findings").at(group);
    }
    FillSparse(kind.found_75, one.at("found_75"));
    FillSparse(kind.hits, one.at("hits"));
    FillSparse(kind.false_alarms, one.at("false_alarms"));
    kind.patients = one.at("patients");
  }
  for (std::size_t group = 0; group < kPatientGroups; ++group) {
    s.group_patients[group] = in.at("group_patients").at(group);
  }
  s.patients = in.at("patients");
  s.images = in.at("images");
}

json SumsJson(const BinarySums& s) { return json::parse(ToJson(s)); }
void Fill(BinarySums& s, const json& in) { s = SumsFromJson(in.dump()).value(); }

absl::StatusOr<Task> TaskNamed(const std::string& name) {
  for (const Task task : {Task::kMulticlass, Task::kMultilabel, Task::kSegmentation,
                          Task::kSurvival, Task::kDetection}) {
    if (Name(task) == name) return task;
  }
  return absl::InvalidArgumentError("no such task");
}

absl::StatusOr<TaskSums> SumsOfTask(const json& in) {
  TaskShape shape;
  ASSIGN_OR_RETURN(shape.task, TaskNamed(in.at("task").get<std::string>()));
  shape.classes = in.at("classes").get<std::uint32_t>();
  RETURN_IF_ERROR(Check(shape));
  TaskSums sums(shape);
  sums.Visit([&](auto& kind) { Fill(kind, in); });
  RETURN_IF_ERROR(Check(sums, shape));
  return sums;
}

}  // namespace

std::string ToJson(const TaskMetrics& metrics, bool with_counts) {
  if (const auto* binary = std::get_if<BinaryMetrics>(&metrics.all)) {
    return ToJson(*binary, with_counts);
  }
  json out = {{"task", Name(metrics.shape.task)}};
  for (const auto& [name, value] : metrics.Values(with_counts)) AddNumber(out, name, value);
  std::visit([&](const auto& all) { AddDetails(out, all, with_counts); }, metrics.all);
  return out.dump();
}

std::string SiteJson(const TaskSums& sums, double at_specificity) {
  return ShownJson(sums, at_specificity, true);
}

std::string PooledJson(const std::map<SiteId, TaskSums>& sites, double at_specificity) {
  if (sites.empty()) return std::string(kSuppressed);
  TaskSums pooled(sites.begin()->second.shape());
  for (const auto& [site, sums] : sites) pooled += sums;
  return ShownJson(pooled, at_specificity, PooledCountsCanBeShown(sites));
}

std::string ToJson(const TaskSums& sums) {
  if (sums.task() == Task::kBinary) return ToJson(sums.binary());
  json out = sums.Visit([](const auto& kind) { return SumsJson(kind); });
  out["task"] = Name(sums.task());
  return out.dump();
}

absl::StatusOr<TaskSums> TaskSumsFromJson(std::string_view text) {
  const auto not_sums = [] {
    return absl::InvalidArgumentError(
        "these are not metric sums as JSON: they were not written by this program, or were "
        "changed");
  };
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object()) return not_sums();
  if (!in.contains("task")) return SumsFromJson(text);
  try {
    return SumsOfTask(in);
  } catch (const std::exception&) {  // nlohmann's, a place out of range, a label that is not sums
    return not_sums();
  }
}

}  // namespace consilium::metrics
