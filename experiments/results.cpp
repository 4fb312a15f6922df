#include "experiments/results.h"

#include <nlohmann/json.hpp>

#include "common/metrics/json.h"

namespace consilium::experiments {
namespace {

using nlohmann::json;
using wire::RunEventKind;

constexpr std::pair<RunEventKind, const char*> kEventNames[] = {
    {RunEventKind::kSubmitted, "submitted"},
    {RunEventKind::kSiteInvited, "site invited"},
    {RunEventKind::kSiteAccepted, "site accepted"},
    {RunEventKind::kSiteDeclined, "site declined"},
    {RunEventKind::kWaiting, "waiting"},
    {RunEventKind::kRoundOpened, "round opened"},
    {RunEventKind::kTaskSent, "task sent"},
    {RunEventKind::kProgress, "progress"},
    {RunEventKind::kUpdateReceived, "update received"},
    {RunEventKind::kContributionLost, "contribution lost"},
    {RunEventKind::kAggregated, "aggregated"},
    {RunEventKind::kSiteEvaluated, "site evaluated"},
    {RunEventKind::kRoundEvaluated, "round evaluated"},
    {RunEventKind::kRoundFailed, "round failed"},
    {RunEventKind::kStopping, "stopping"},
    {RunEventKind::kFinalEvaluation, "final evaluation"},
    {RunEventKind::kGatePassed, "gate passed"},
    {RunEventKind::kGateFailed, "gate failed"},
    {RunEventKind::kPublished, "published"},
    {RunEventKind::kEnded, "ended"},
    {RunEventKind::kSiteConnected, "site connected"},
    {RunEventKind::kSiteDisconnected, "site disconnected"},
    {RunEventKind::kRestarted, "restarted"},
    {RunEventKind::kSecureStep, "secure step"},
    {RunEventKind::kTrained, "trained"},
};

template <class Table, class Value>
const char* NameIn(const Table& table, Value value) {
  for (const auto& [candidate, name] : table) {
    if (candidate == value) return name;
  }
  return "unknown";
}

[[noreturn]] void Unknown(const std::string& word) {
  throw json::other_error::create(500, "unknown word '" + word + "'", static_cast<json*>(nullptr));
}

template <class Value, class Table>
Value ValueIn(const Table& table, const std::string& name) {
  for (const auto& [value, candidate] : table) {
    if (candidate == name) return value;
  }
  Unknown(name);
}

json FromEvent(const wire::RunEvent& event) {
  json out = {{"sequence", event.sequence},
              {"time", ToRfc3339(event.time)},
              {"time_us", event.time.time_since_epoch().count()},
              {"kind", NameIn(kEventNames, event.kind)}};
  if (event.round != 0) out["round"] = event.round;
  if (event.attempt != 0) out["attempt"] = event.attempt;
  if (!event.site.empty()) out["site"] = event.site.value;
  if (!event.text.empty()) out["text"] = event.text;
  if (!event.values.empty()) out["values"] = event.values;
  return out;
}

wire::RunEvent ToEvent(const json& in) {
  wire::RunEvent event;
  event.sequence = in.at("sequence");
  event.time = Time(Duration(in.at("time_us").get<std::int64_t>()));
  const json& kind = in.at("kind");
  event.kind = kind.is_number() ? static_cast<RunEventKind>(kind.get<int>())
                                : ValueIn<RunEventKind>(kEventNames, kind.get<std::string>());
  event.round = in.value("round", 0u);
  event.attempt = in.value("attempt", 0u);
  event.site = SiteId(in.value("site", ""));
  event.text = in.value("text", "");
  event.values = in.value("values", std::map<std::string, double>());
  return event;
}

// What metrics::ToJson writes of a binary task; counts that it left out become 0.
metrics::BinaryMetrics ToBinary(const json& in) {
  metrics::BinaryMetrics m;
  m.positives = in.value("positives", std::uint64_t{0});
  m.negatives = in.value("negatives", std::uint64_t{0});
  m.patients = in.value("patients", std::uint64_t{0});
  m.auroc = in.at("auroc");
  m.auroc_error_bound = in.at("auroc_error_bound");
  m.auroc_95 = {in.at("auroc_low"), in.at("auroc_high")};
  m.auprc = in.at("auprc");
  m.accuracy = in.at("accuracy");
  m.sensitivity = in.at("sensitivity");
  m.at_specificity = in.at("at_specificity");
  m.brier = in.at("brier");
  m.log_loss = in.at("log_loss");
  for (const json& point : in.at("calibration")) {
    m.calibration.push_back(
        {point.at(0), point.at(1), point.size() > 2 ? point.at(2).get<std::uint64_t>() : 0});
  }
  for (const json& point : in.at("roc")) m.roc.push_back({point.at(0), point.at(1)});
  return m;
}

constexpr Task kTasks[] = {Task::kBinary,       Task::kMulticlass, Task::kMultilabel,
                           Task::kSegmentation, Task::kSurvival,   Task::kDetection};

// Of a binary task its metrics alone, as before there were others.
json FromResult(const TestResult& result) {
  if (!result) return {{"suppressed", true}};
  if (result->binary) return json::parse(metrics::ToJson(*result->binary));
  return {{"task", Name(result->task)},
          {"headline", result->headline},
          {"headline_low", result->headline_95.low},
          {"headline_high", result->headline_95.high},
          {"patients", result->patients},
          {"values", result->values}};
}

TestResult ToResult(const json& in) {
  if (in.value("suppressed", false)) return std::nullopt;
  if (!in.contains("task")) {
    metrics::BinaryMetrics binary = ToBinary(in);
    return TestFigures{.task = Task::kBinary,
                       .headline = binary.auroc,
                       .headline_95 = binary.auroc_95,
                       .patients = binary.patients,
                       .binary = std::move(binary),
                       .values = {}};
  }
  TestFigures figures{.headline = in.at("headline"),
                      .headline_95 = {in.at("headline_low"), in.at("headline_high")},
                      .patients = in.at("patients"),
                      .binary = std::nullopt,
                      .values = in.at("values")};
  for (const Task task : kTasks) {
    if (in.at("task") == Name(task)) figures.task = task;
  }
  return figures;
}

json FromModel(const TestedModel& model) {
  json by_site = json::object();
  for (const auto& [site, result] : model.by_site) by_site[site] = FromResult(result);
  return {{"kind", KeyOf(model.kind)},
          {"site", model.site},
          {"by_site", by_site},
          {"pooled", FromResult(model.pooled)}};
}

TestedModel ToModel(const json& in) {
  TestedModel model;
  const std::string kind = in.at("kind");
  const auto known = ModelKindFrom(kind);
  if (!known) Unknown(kind);
  model.kind = *known;
  model.site = in.at("site");
  for (const auto& [site, result] : in.at("by_site").items())
    model.by_site[site] = ToResult(result);
  model.pooled = ToResult(in.at("pooled"));
  return model;
}

Results ToResults(const json& in) {
  Results r;
  r.title = in.at("title");
  r.created = Time(Duration(in.at("created_us").get<std::int64_t>()));
  r.program_version = in.at("program_version");
  r.plan_name = in.at("plan_name");
  r.plan_toml = in.at("plan_toml");
  r.plan_description = in.at("plan_description");
  r.target = in.at("target");
  r.baseline_epochs = in.at("baseline_epochs");
  r.run = in.at("run");
  for (const json& event : in.at("events")) r.events.push_back(ToEvent(event));
  for (const json& site : in.at("sites")) {
    r.sites.push_back({site.at("name"), site.at("description"), site.at("train_patients"),
                       site.at("train_examples"), site.at("refused_files")});
  }
  for (const json& model : in.at("models")) r.models.push_back(ToModel(model));
  for (const json& part : in.at("parts")) r.parts.push_back({part.at("name"), part.at("seconds")});
  r.resumed = in.value("resumed", 0u);
  for (const json& e : in.at("examples"))
    r.examples.push_back({e.at("site"), e.at("target"), e.at("png_base64")});
  r.examples_note = in.at("examples_note");
  r.published = in.at("published");
  r.model_id = in.at("model_id");
  r.model_path = in.at("model_path");
  r.verify_command = in.at("verify_command");
  r.verified = in.at("verified");
  return r;
}

}  // namespace

TestFigures FiguresOf(const metrics::TaskMetrics& metrics) {
  TestFigures figures{.task = metrics.shape.task,
                      .headline = metrics.headline,
                      .headline_95 = metrics.headline_95,
                      .patients = metrics.patients,
                      .binary = std::nullopt,
                      .values = {}};
  if (const auto* binary = std::get_if<metrics::BinaryMetrics>(&metrics.all)) {
    figures.binary = *binary;
    return figures;
  }
  for (const auto& [key, value] : metrics.Values(/*with_counts=*/true)) figures.values[key] = value;
  return figures;
}

Task TaskOf(const Results& results) {
  for (const TestedModel& model : results.models) {
    if (model.pooled) return model.pooled->task;
  }
  return Task::kBinary;
}

std::string ToJson(const Results& r) {
  json events = json::array(), sites = json::array(), models = json::array(), parts = json::array(),
       examples = json::array();
  for (const wire::RunEvent& event : r.events) events.push_back(FromEvent(event));
  for (const SiteInfo& site : r.sites) {
    sites.push_back({{"name", site.name},
                     {"description", site.description},
                     {"train_patients", site.train_patients},
                     {"train_examples", site.train_examples},
                     {"refused_files", site.refused_files}});
  }
  for (const TestedModel& model : r.models) models.push_back(FromModel(model));
  for (const Part& part : r.parts)
    parts.push_back({{"name", part.name}, {"seconds", part.seconds}});
  for (const ExampleImage& e : r.examples) {
    examples.push_back({{"site", e.site}, {"target", e.target}, {"png_base64", e.png_base64}});
  }
  const json out = {{"title", r.title},
                    {"created_us", r.created.time_since_epoch().count()},
                    {"program_version", r.program_version},
                    {"plan_name", r.plan_name},
                    {"plan_toml", r.plan_toml},
                    {"plan_description", r.plan_description},
                    {"target", r.target},
                    {"baseline_epochs", r.baseline_epochs},
                    {"run", r.run},
                    {"events", events},
                    {"sites", sites},
                    {"models", models},
                    {"parts", parts},
                    {"resumed", r.resumed},
                    {"examples", examples},
                    {"examples_note", r.examples_note},
                    {"published", r.published},
                    {"model_id", r.model_id},
                    {"model_path", r.model_path},
                    {"verify_command", r.verify_command},
                    {"verified", r.verified}};
  return out.dump(1) + "\n";
}

absl::StatusOr<Results> ResultsFromJson(std::string_view text) {
  try {
    return ToResults(json::parse(text));
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(
        StrCat("this is not a results file of consilium-experiment (", e.what(), ")"));
  }
}

absl::StatusOr<std::vector<wire::RunEvent>> EventsFromJson(std::string_view text) {
  try {
    std::vector<wire::RunEvent> events;
    for (const json& event : json::parse(text)) events.push_back(ToEvent(event));
    return events;
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(StrCat("the run's events cannot be read (", e.what(), ")"));
  }
}

absl::StatusOr<std::vector<wire::RunEvent>> EventsOfRun(std::string_view shown) {
  const auto json = nlohmann::json::parse(shown, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("events")) {
    return absl::InternalError("consilium run show printed no events");
  }
  return EventsFromJson(json["events"].dump());
}

}  // namespace consilium::experiments
