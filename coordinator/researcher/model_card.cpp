#include "coordinator/researcher/model_card.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/crypto/sha256.h"
#include "common/plan/plan.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;
using report::Document;

struct Measure {
  std::string_view key, words;
};
// In the order in which they are shown; what a metric's JSON holds beside these comes after, under
// its own key.
constexpr Measure kMeasures[] = {
    {"auroc", "AUROC"},
    {"dice", "Dice"},
    {"concordance", "concordance"},
    {"pooled_concordance", "concordance across sites"},
    {"auprc", "average precision"},
    {"sensitivity", "sensitivity"},
    {"at_specificity", "at specificity"},
    {"accuracy", "accuracy"},
    {"balanced_accuracy", "balanced accuracy"},
    {"kappa", "kappa"},
    {"quadratic_kappa", "quadratic kappa"},
    {"hd95_mm", "surface distance HD95, mm"},
    {"brier", "Brier score"},
    {"log_loss", "log loss"},
    {"positives", "positives"},
    {"negatives", "negatives"},
    {"events", "events"},
    {"examples", "examples"},
    {"patients", "patients"},
    {"sites", "sites"},
};

std::string NumberText(const json& value) {
  return value.is_number_float() ? absl::StrFormat("%.3f", value.get<double>()) : value.dump();
}

// "0.912 (0.861 to 0.946)" where the interval is known.
std::string WithInterval(const json& metrics, const std::string& key) {
  std::string text = NumberText(metrics.at(key));
  const auto low = metrics.find(key + "_low"), high = metrics.find(key + "_high");
  if (low != metrics.end() && high != metrics.end() && low->is_number() && high->is_number()) {
    StrAppend(&text, " (", NumberText(*low), " to ", NumberText(*high), ")");
  }
  return text;
}

bool IsInterval(const json& metrics, const std::string& key) {
  for (const std::string_view end : {"_low", "_high"}) {
    if (key.ends_with(end) && metrics.contains(key.substr(0, key.size() - end.size()))) return true;
  }
  return false;
}

bool Suppressed(const json& metrics) {
  return !metrics.is_object() || metrics.value("suppressed", false);
}

// The task's headline, which the metrics hold under its name.
std::string HeadlineOf(const json& metrics) {
  if (!metrics.is_object()) return {};
  for (const std::string key : {"auroc", "dice", "concordance"}) {
    if (metrics.contains(key) && metrics[key].is_number()) return key;
  }
  return {};
}

std::string HeadlineText(const json& metrics) {
  const std::string key = HeadlineOf(metrics);
  return Suppressed(metrics) || key.empty() ? "too few to show" : WithInterval(metrics, key);
}

std::string HeadlineWords(const json& metrics) {
  const std::string key = HeadlineOf(metrics);
  for (const Measure& measure : kMeasures) {
    if (measure.key == key) return std::string(measure.words);
  }
  return "result";
}

std::vector<std::vector<std::string>> MeasureRows(const json& metrics) {
  std::vector<std::vector<std::string>> rows;
  std::set<std::string> shown;
  for (const Measure& measure : kMeasures) {
    const std::string key(measure.key);
    if (!metrics.contains(key) || !metrics[key].is_number()) continue;
    rows.push_back({std::string(measure.words), WithInterval(metrics, key)});
    shown.insert(key);
  }
  for (const auto& [key, value] : metrics.items()) {
    if (!value.is_number() || shown.contains(key) || IsInterval(metrics, key)) continue;
    if (key.ends_with("_error_bound")) continue;  // far below what is shown
    rows.push_back({absl::StrReplaceAll(key, {{"_", " "}}), WithInterval(metrics, key)});
  }
  return rows;
}

// Of a class, label or structure: one row each.
void AddParts(const json& metrics, const std::vector<std::string>& names, Document* card) {
  for (const char* part : {"classes", "labels", "structures"}) {
    const auto found = metrics.find(part);
    if (found == metrics.end() || !found->is_array() || found->empty()) continue;
    std::vector<std::string> header = {std::string(part, std::string_view(part).size() - 1)};
    if (header[0] == "classe") header[0] = "class";
    std::vector<std::string> keys;
    for (const json& one : *found) {
      if (!one.is_object()) continue;
      for (const auto& [words, unused] : one.items()) {
        if (!one[words].is_number() || IsInterval(one, words)) continue;
        if (std::find(keys.begin(), keys.end(), words) == keys.end()) keys.push_back(words);
      }
    }
    for (const std::string& key : keys) header.push_back(absl::StrReplaceAll(key, {{"_", " "}}));
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 0; i < found->size(); ++i) {
      const json& one = (*found)[i];
      std::vector<std::string> row = {i < names.size() ? names[i] : StrCat(i + 1)};
      for (const std::string& key : keys) {
        row.push_back(one.is_object() && one.contains(key) ? WithInterval(one, key) : "-");
      }
      rows.push_back(std::move(row));
    }
    card->Table(header, rows);
  }
}

std::optional<report::LinePlot> Calibration(const json& metrics, const std::string& where) {
  const auto found = metrics.find("calibration");
  if (found == metrics.end() || !found->is_array() || found->empty()) return std::nullopt;
  report::Series series;
  series.name = where;
  series.emphasized = series.markers = true;
  for (const json& point : *found) {
    if (!point.is_array() || point.size() < 2) continue;
    series.points.push_back({point[0].get<double>(), point[1].get<double>()});
  }
  report::Series ideal{.name = "ideal",
                       .points = {{0, 0}, {1, 1}},
                       .colour = report::kReferenceColour,
                       .dashed = true};
  return report::LinePlot{
      .title = StrCat("Calibration, ", where),
      .description =
          "Of the examples given about this probability, how many were positive. Groups "
          "that are too small are left out.",
      .x = {.label = "mean score", .low = 0, .high = 1},
      .y = {.label = "share positive", .low = 0, .high = 1},
      .series = {std::move(ideal), std::move(series)}};
}

std::optional<report::LinePlot> Roc(const json& metrics, const std::string& where) {
  const auto found = metrics.find("roc");
  if (found == metrics.end() || !found->is_array() || found->empty()) return std::nullopt;
  report::Series series;
  series.name = where;
  series.emphasized = true;
  for (const json& point : *found) {
    if (!point.is_array() || point.size() < 2) continue;
    series.points.push_back({point[0].get<double>(), point[1].get<double>()});
  }
  return report::LinePlot{.title = StrCat("ROC, ", where),
                          .description = "Sensitivity at every rate of false positives.",
                          .x = {.label = "false positive rate", .low = 0, .high = 1},
                          .y = {.label = "sensitivity", .low = 0, .high = 1},
                          .series = {{.name = "chance",
                                      .points = {{0, 0}, {1, 1}},
                                      .colour = report::kReferenceColour,
                                      .dashed = true},
                                     std::move(series)}};
}

std::string Joined(const json& list) {
  std::vector<std::string> items;
  if (list.is_array()) {
    for (const json& item : list) {
      items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    }
  }
  return items.empty() ? "none" : absl::StrJoin(items, ", ");
}

std::string Text(const json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return "none";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// ---- the sections

void AddPurpose(const json& record, const std::optional<plan::Plan>& plan, Document* card) {
  card->Heading("What it is for");
  if (plan) {
    if (!plan->description.empty()) card->Paragraph(plan->description);
    card->Code(plan::Describe(*plan));
  } else {
    card->Paragraph(StrCat("It was trained by the plan ", Text(record, "plan"),
                           ", whose text is not at hand here (--plan)."));
  }
  card->Paragraph(
      "A research model. It is no medical device, was not examined as one, and must not decide "
      "about a patient. Data of other kinds, machines or patients than those described below "
      "are outside of what is known of it.");
}

void AddPerformance(const json& test, const std::vector<std::string>& classes, Document* card) {
  card->Heading("How well it does, all sites together");
  if (Suppressed(test)) {
    card->Paragraph("The sites' test sets together are too small to show a result.");
    return;
  }
  card->Paragraph(
      "On the test patients of all sites, whom no training and no choice between models has seen; "
      "intervals are of 95 %.");
  card->Table({"measure", "value"}, MeasureRows(test));
  AddParts(test, classes, card);
  std::vector<report::LinePlot> plots;
  if (auto plot = Roc(test, "all sites")) plots.push_back(*std::move(plot));
  if (auto plot = Calibration(test, "all sites")) plots.push_back(*std::move(plot));
  if (!plots.empty()) card->Plots(plots);
}

struct Group {
  std::string place, group, value;
  json metrics;
};

void AddGroups(const std::vector<Group>& groups, Document* card) {
  if (groups.empty()) return;
  card->Heading("Groups of patients");
  std::vector<std::vector<std::string>> rows;
  const Group* worst = nullptr;
  for (const Group& group : groups) {
    const std::string key = HeadlineOf(group.metrics);
    rows.push_back({group.place, group.group, group.value, HeadlineText(group.metrics)});
    if (Suppressed(group.metrics) || key.empty()) continue;
    if (worst == nullptr || group.metrics[key] < worst->metrics[key]) worst = &group;
  }
  card->Table({"at", "group", "", worst ? HeadlineWords(worst->metrics) : "result"}, rows);
  if (worst != nullptr) {
    card->Paragraph(StrCat("Worst of these: ", worst->group, " ", worst->value, " at ",
                           worst->place, ", ", HeadlineText(worst->metrics), "."));
  }
}

absl::Status AddPlaces(const std::string& model, const json& test,
                       const std::set<std::string>& trained, const std::vector<SiteResult>& results,
                       Document* card) {
  card->Heading("Place by place");
  if (results.empty()) {
    card->Paragraph(
        "No site has given its own results away. With secure aggregation the coordinator knows "
        "only their sum; each site may print its own (consilium-site evaluate --json).");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  std::vector<report::LinePlot> plots;
  std::vector<Group> groups;
  for (const SiteResult& result : results) {
    const json parsed = json::parse(result.json, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object() || !parsed.contains("metrics")) {
      return absl::InvalidArgumentError(StrCat(
          "the results of ", result.name, " are not what consilium-site evaluate --json prints"));
    }
    if (Text(parsed, "model") != model) {
      return absl::InvalidArgumentError(StrCat("the results of ", result.name, " are of model ",
                                               Text(parsed, "model").substr(0, 12), ", not of ",
                                               model.substr(0, 12)));
    }
    const json& metrics = parsed["metrics"];
    const json patients = metrics.is_object() ? metrics.value("patients", json()) : json();
    rows.push_back({result.name, trained.contains(result.name) ? "trained" : "external",
                    HeadlineText(metrics), patients.is_number() ? patients.dump() : "-"});
    if (!Suppressed(metrics)) {
      if (auto plot = Calibration(metrics, result.name)) plots.push_back(*std::move(plot));
    }
    const json parts = parsed.value("groups", json::array());
    for (const json& group : parts) {
      groups.push_back({result.name, Text(group, "group"), Text(group, "value"),
                        group.value("metrics", json())});
    }
  }
  card->Table({"place", "", HeadlineWords(test), "patients"}, rows);
  card->Note(
      "\"trained\": a site whose training patients the model was made of; these are its test "
      "patients. \"external\": a place that took no part, which is the harder test.");
  if (!plots.empty()) card->Plots(plots);
  AddGroups(groups, card);
  return absl::OkStatus();
}

void AddMaking(const json& record, Document* card) {
  card->Heading("Who made it, and how");
  std::vector<std::pair<std::string, std::string>> terms = {
      {"federation", Text(record, "federation")},
      {"sites", Joined(record.value("sites", json::array()))},
      {"plan", StrCat(Text(record, "plan"), ", SHA-256 ", Text(record, "plan_sha256"))},
      {"run, round", StrCat(Text(record, "run"), ", ", Text(record, "round"))},
      {"trained from", Text(record, "parent")},
      {"parameters", Text(record, "parameters")},
      {"published", Text(record, "created")},
      {"release gate", Joined(record.value("gate", json::array()))},
  };
  const auto secure = record.find("secure");
  if (secure != record.end() && secure->is_object()) {
    terms.push_back(
        {"protection",
         StrCat("secure aggregation: the coordinator saw sums over ",
                secure->value("survivors", json::array()).size(), " sites (threshold ",
                secure->value("threshold", json(0)).dump(), "), and no site's own update")});
  } else {
    terms.push_back({"protection", "updates were sealed to the coordinator, which saw each"});
  }
  terms.push_back({"privacy noise", Text(record, "privacy")});
  card->Terms(terms);

  std::vector<std::vector<std::string>> rounds;
  const json participation = record.value("participation", json::array());
  for (const json& round : participation) {
    std::vector<std::string> lost;
    const json absent = round.value("lost", json::object());
    for (const auto& [site, why] : absent.items()) {
      lost.push_back(StrCat(site, ": ", why.is_string() ? why.get<std::string>() : why.dump()));
    }
    rounds.push_back({round.value("round", json(0)).dump(),
                      Joined(round.value("counted", json::array())),
                      lost.empty() ? "none" : absl::StrJoin(lost, "; "),
                      Joined(round.value("evaluated", json::array()))});
  }
  if (rounds.empty()) return;
  card->Heading("Who took part in which round");
  card->Table({"round", "counted", "lost", "evaluated"}, rounds);
}

void AddLimits(const json& test, bool places, bool groups, Document* card) {
  card->Heading("What is not known");
  std::vector<std::string> limits;
  if (Suppressed(test)) limits.push_back("How good it is: too few test patients.");
  if (!places) limits.push_back("How much the sites differ.");
  if (!groups) {
    limits.push_back("Whether it does worse for one sex, age or machine: no results by group.");
  }
  limits.push_back("How it does on images of a site that has never seen it, beyond what is above.");
  limits.push_back("Whether the sites' labels are right.");
  limits.push_back("Whether anyone is better off for its use: that is a trial's question.");
  card->List(limits);
}

}  // namespace

absl::StatusOr<Document> ModelCard(std::string_view record_json,
                                   const std::optional<std::string>& plan_toml,
                                   const std::vector<SiteResult>& results) {
  const json record = json::parse(record_json, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("model")) {
    return absl::InvalidArgumentError("this is no model's record");
  }
  const std::string model = Text(record, "model");
  std::optional<plan::Plan> plan;
  if (plan_toml) {
    const std::string hash = crypto::Sha256(AsBytes(*plan_toml)).Hex();
    if (hash != Text(record, "plan_sha256")) {
      return absl::InvalidArgumentError(StrCat(
          "the plan's SHA-256 is ", hash.substr(0, 12), "..., the record names ",
          Text(record, "plan_sha256").substr(0, 12), "...: give the plan as it was submitted"));
    }
    ASSIGN_OR_RETURN(plan, plan::ParsePlan(*plan_toml));
  }
  const json test = record.value("test", json::object());
  Document card(StrCat("Model card: ", Text(record, "plan")),
                StrCat("model ", model.substr(0, 12), " of ", Text(record, "federation"),
                       ", published ", Text(record, "created")));
  std::vector<std::pair<std::string, std::string>> tiles;
  if (!Suppressed(test) && !HeadlineOf(test).empty()) {
    tiles.push_back({NumberText(test[HeadlineOf(test)]),
                     StrCat(HeadlineWords(test), " on all test patients: ", HeadlineText(test))});
  }
  tiles.push_back({StrCat(record.value("sites", json::array()).size()), "sites trained it"});
  if (test.is_object() && test.contains("patients")) {
    tiles.push_back({test["patients"].dump(), "test patients"});
  }
  card.Tiles(tiles);
  AddPurpose(record, plan, &card);
  AddPerformance(test, plan ? plan->target.classes : std::vector<std::string>(), &card);
  std::set<std::string> trained;
  const json sites = record.value("sites", json::array());
  for (const json& site : sites) {
    if (site.is_string()) trained.insert(site.get<std::string>());
  }
  RETURN_IF_ERROR(AddPlaces(model, test, trained, results, &card));
  AddMaking(record, &card);
  const bool groups = std::any_of(results.begin(), results.end(), [](const SiteResult& result) {
    return result.json.find("\"groups\"") != std::string::npos;
  });
  AddLimits(test, !results.empty(), groups, &card);
  card.Heading("Proof");
  card.Terms({{"model", model},
              {"signed by", Text(record, "signing_key")},
              {"coordinator", Text(record, "coordinator_version")}});
  card.Code(StrCat("consilium model verify MODEL.safetensors   # SHA-256 ", model));
  return card;
}

}  // namespace consilium::researcher
