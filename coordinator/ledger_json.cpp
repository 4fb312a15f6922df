// What the ledger knows, as JSON for people and other programs. Times are RFC 3339.

#include <limits>
#include <nlohmann/json.hpp>

#include "common/metrics/task_sums.h"
#include "common/wire/run_event_name.h"
#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;
using storage::Statement;
using Sites = std::map<SiteId, metrics::TaskSums>;

json TimeOrNull(const Statement& row, int column) {
  if (row.IsNull(column) || row.Int(column) == 0) return nullptr;
  return ToRfc3339(FromMicros(row.Int(column)));
}
json TextOrNull(const Statement& row, int column) {
  return row.IsNull(column) ? json() : json(row.Text(column));
}
json RealOrNull(const Statement& row, int column) {
  return row.IsNull(column) ? json() : json(row.Real(column));
}
json SecondsBetween(const Statement& row, int from, int to) {
  if (row.IsNull(to)) return nullptr;
  return Seconds(FromMicros(row.Int(to)) - FromMicros(row.Int(from)));
}

std::string_view PhaseName(Phase phase, bool started) {
  switch (phase) {
    case Phase::kInviting:
      return started ? "inviting" : "queued";
    case Phase::kInitialModel:
      return "initial model";
    case Phase::kTraining:
      return "training";
    case Phase::kAggregating:
      return "aggregating";
    case Phase::kEvaluating:
      return "evaluating";
    case Phase::kFinalEvaluation:
      return "final evaluation";
    case Phase::kEnded:
      return "ended";
    case Phase::kDescribing:
      return "describing";
    case Phase::kPreparing:
      return "preparing";
  }
  return "";
}

std::string_view InviteName(InviteState state) {
  switch (state) {
    case InviteState::kNotInvited:
      return "not invited";
    case InviteState::kInvited:
      return "invited";
    case InviteState::kAccepted:
      return "accepted";
    case InviteState::kDeclined:
      return "declined";
  }
  return "";
}

std::string_view StateName(ContributionState state) {
  switch (state) {
    case ContributionState::kAsked:
      return "asked";
    case ContributionState::kReceived:
      return "received";
    case ContributionState::kCounted:
      return "counted";
    case ContributionState::kLost:
      return "lost";
  }
  return "";
}

// Of a secure evaluation nobody saw one site's part.
json PooledEvaluationJson(const PooledEvaluation& pooled, double at_specificity) {
  json by = json::array();
  for (const SiteId& site : pooled.sites) by.push_back(site.value);
  return {{"pooled", json::parse(metrics::SiteJson(pooled.sums.sums, at_specificity))},
          {"sites", json::object()},
          {"secure", true},
          {"evaluated_by", std::move(by)},
          {"compared", pooled.sums.compared},
          {"worse", pooled.sums.worse}};
}

json EvaluationJson(const Sites& evaluations, double at_specificity) {
  if (evaluations.empty()) return nullptr;
  json sites = json::object();
  for (const auto& [site, sums] : evaluations) {
    sites[site.value] = json::parse(metrics::SiteJson(sums, at_specificity));
  }
  return {{"pooled", json::parse(metrics::PooledJson(evaluations, at_specificity))},
          {"sites", std::move(sites)}};
}

// Calls `take` with each row of `sql` for the run.
template <class Take>
absl::Status ForRows(storage::Database& db, std::string_view sql, const RunId& run, Take take) {
  ASSIGN_OR_RETURN(Statement row, db.Prepare(sql));
  row.Bind(run.value);
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return absl::OkStatus();
    take(row);
  }
}

absl::StatusOr<json> ParticipantsJson(storage::Database& db, const RunId& run) {
  json out = json::array();
  RETURN_IF_ERROR(ForRows(db,
                          "SELECT site, invite, reason, train_patients, train_examples, "
                          "refused_files, refusals FROM participation WHERE run = ? ORDER BY site",
                          run, [&](const Statement& row) {
                            out.push_back(
                                {{"site", row.Text(0)},
                                 {"invite", InviteName(static_cast<InviteState>(row.Int(1)))},
                                 {"reason", row.Text(2)},
                                 {"train_patients", row.Int(3)},
                                 {"train_examples", row.Int(4)},
                                 {"refused_files", row.Int(5)},
                                 {"refusals", json::parse(row.Text(6), nullptr, false)}});
                          }));
  return out;
}

json TrainedJson(const Statement& row, int first) {
  if (row.IsNull(first)) return nullptr;
  return {{"patients", row.Int(first)},
          {"examples", row.Int(first + 1)},
          {"seconds", RealOrNull(row, first + 2)},
          {"before", row.Int(first + 3) != 0}};
}

using AttemptNumber = std::pair<std::int64_t, std::int64_t>;  // round, attempt

absl::StatusOr<std::map<AttemptNumber, json>> ContributionsJson(storage::Database& db,
                                                                const RunId& run) {
  std::map<AttemptNumber, json> out;
  RETURN_IF_ERROR(ForRows(
      db,
      "SELECT round, attempt, site, state, reason, weight, loss, train_seconds, upload_seconds, "
      "bytes, asked, uploaded, trained_patients, trained_examples, trained_seconds, trained_before "
      "FROM contributions WHERE run = ? ORDER BY round, attempt, site",
      run, [&](const Statement& row) {
        const auto state = static_cast<ContributionState>(row.Int(3));
        out[{row.Int(0), row.Int(1)}].push_back(
            {{"site", row.Text(2)},
             {"state", StateName(state)},
             {"counted", state == ContributionState::kCounted},
             {"reason", row.Text(4)},
             {"weight", RealOrNull(row, 5)},
             {"loss", RealOrNull(row, 6)},
             {"train_seconds", RealOrNull(row, 7)},
             {"upload_seconds", RealOrNull(row, 8)},
             {"bytes", row.IsNull(9) ? json() : json(row.Int(9))},
             {"attempt", row.Int(1)},
             {"asked", row.Int(10) != 0},
             {"uploaded", row.Int(11) != 0},
             {"trained", TrainedJson(row, 12)},
             {"lost", state == ContributionState::kLost ? json(row.Text(4)) : json()}});
      }));
  return out;
}

// Of the attempts that made a candidate, as the log has them.
absl::StatusOr<std::map<AttemptNumber, json>> TranscriptsJson(storage::Database& db,
                                                              const RunId& run) {
  std::map<AttemptNumber, json> out;
  RETURN_IF_ERROR(ForRows(
      db,
      "SELECT r.round, (SELECT max(a.attempt) FROM attempts a WHERE a.run = r.run AND "
      "a.round = r.round), l.details FROM rounds r JOIN log l ON l.subject = r.candidate AND "
      "l.action = 'aggregate' WHERE r.run = ? ORDER BY l.number",
      run, [&](const Statement& row) {
        const json details = json::parse(row.Text(2), nullptr, /*allow_exceptions=*/false);
        if (!details.is_object() || !details.contains("transcript")) return;
        out[{row.Int(0), row.Int(1)}] = details["transcript"];
      }));
  return out;
}

// Of each training attempt with masked updates: {cohort, threshold, survivors, recovered,
// transcript, steps[]}, as far as it came.
std::map<AttemptNumber, json> SecureJson(const std::vector<wire::RunEvent>& events,
                                         const std::map<AttemptNumber, json>& transcripts) {
  std::map<AttemptNumber, json> out;
  for (const wire::RunEvent& event : events) {
    if (event.kind != wire::RunEventKind::kSecureStep) continue;
    const auto value = [&](const std::string& name) {
      const auto found = event.values.find(name);
      return found == event.values.end() ? json() : json(found->second);
    };
    if (value("evaluation") == 1) continue;
    json& secure = out[{event.round, event.attempt}];
    if (secure.is_null()) {
      const auto transcript = transcripts.find({event.round, event.attempt});
      secure = {{"cohort", value("asked")},
                {"threshold", value("threshold")},
                {"survivors", nullptr},
                {"recovered", nullptr},
                {"transcript", transcript == transcripts.end() ? json() : transcript->second},
                {"steps", json::array()}};
    }
    if (event.text == "unmask") {
      secure["survivors"] = value("survivors");
      secure["recovered"] = value("recovered");
    }
    secure["steps"].push_back(
        {{"step", event.text}, {"sites", value("sites")}, {"seconds", value("seconds")}});
  }
  return out;
}

struct RunEvaluations {
  std::vector<Evaluation> by_site;
  std::vector<PooledEvaluation> pooled;
  double at_specificity = 0;
};

// Of each round the sites that evaluated its candidate on their validation patients.
std::map<std::int64_t, std::set<std::string>> EvaluatedBy(const RunEvaluations& evaluations) {
  std::map<std::int64_t, std::set<std::string>> by;
  for (const auto& [site, report] : evaluations.by_site) {
    if (report.split == wire::EvaluationSplit::kValidation) by[report.round].insert(site.value);
  }
  for (const PooledEvaluation& pooled : evaluations.pooled) {
    if (pooled.split != wire::EvaluationSplit::kValidation) continue;
    for (const SiteId& site : pooled.sites) by[pooled.round].insert(site.value);
  }
  return by;
}

// Who took part in a round, and how far each came: of its attempts the last one that asked it.
json RoundSitesJson(const json& attempts, const std::set<std::string>& evaluated_by) {
  std::map<std::string, json> sites;
  for (const std::string& site : evaluated_by) {
    sites[site] = {{"attempt", nullptr}, {"asked", false},   {"trained", nullptr},
                   {"uploaded", false},  {"counted", false}, {"lost", nullptr}};
  }
  for (const json& attempt : attempts) {
    for (const json& contribution : attempt["contributions"]) {
      json& site = sites[contribution["site"]];
      for (const char* field : {"attempt", "asked", "trained", "uploaded", "counted", "lost"}) {
        site[field] = contribution[field];
      }
    }
  }
  json out = json::array();
  for (auto& [name, site] : sites) {
    site["site"] = name;
    site["evaluated"] = evaluated_by.contains(name);
    out.push_back(std::move(site));
  }
  return out;
}

absl::StatusOr<json> RoundsJson(storage::Database& db, const RunId& run,
                                const RunEvaluations& evaluations,
                                const std::map<AttemptNumber, json>& secure) {
  ASSIGN_OR_RETURN(auto contributions, ContributionsJson(db, run));
  std::map<std::int64_t, json> attempts;
  RETURN_IF_ERROR(ForRows(db,
                          "SELECT round, attempt, opened, closed, failure FROM attempts "
                          "WHERE run = ? ORDER BY round, attempt",
                          run, [&](const Statement& row) {
                            const AttemptNumber number{row.Int(0), row.Int(1)};
                            json who = contributions[number];
                            const auto how = secure.find(number);
                            attempts[row.Int(0)].push_back(
                                {{"attempt", row.Int(1)},
                                 {"seconds", SecondsBetween(row, 2, 3)},
                                 {"failure", TextOrNull(row, 4)},
                                 {"secure", how == secure.end() ? json() : how->second},
                                 {"contributions", who.is_null() ? json::array() : who}});
                          }));
  std::map<std::int64_t, Sites> validation;
  for (const auto& [site, report] : evaluations.by_site) {
    if (report.split == wire::EvaluationSplit::kValidation)
      validation[report.round][site] = report.sums;
  }
  std::map<std::int64_t, json> shown;
  for (const auto& [round, sites] : validation) {
    shown[round] = EvaluationJson(sites, evaluations.at_specificity);
  }
  for (const PooledEvaluation& pooled : evaluations.pooled) {
    if (pooled.split == wire::EvaluationSplit::kValidation)
      shown[pooled.round] = PooledEvaluationJson(pooled, evaluations.at_specificity);
  }
  auto evaluated_by = EvaluatedBy(evaluations);
  json out = json::array();
  RETURN_IF_ERROR(ForRows(db,
                          "SELECT round, opened, closed, candidate FROM rounds WHERE run = ? "
                          "ORDER BY round",
                          run, [&](const Statement& row) {
                            const json& tried = attempts[row.Int(0)];
                            out.push_back(
                                {{"round", row.Int(0)},
                                 {"attempts", tried},
                                 {"sites", RoundSitesJson(tried, evaluated_by[row.Int(0)])},
                                 {"secure", tried.empty() ? json() : tried.back()["secure"]},
                                 {"candidate", TextOrNull(row, 3)},
                                 {"seconds", SecondsBetween(row, 1, 2)},
                                 {"evaluation", shown[row.Int(0)]}});
                          }));
  return out;
}

json FinalJson(const RunEvaluations& evaluations) {
  Sites test;
  ModelId model;
  std::uint32_t round = 0;
  json out;
  for (const auto& [site, report] : evaluations.by_site) {
    if (report.split != wire::EvaluationSplit::kTest) continue;
    model = report.model;
    round = report.round;
    test[site] = report.sums;
  }
  if (!test.empty()) {
    out = EvaluationJson(test, evaluations.at_specificity);
    out["evaluated_by"] = json::array();
    for (const auto& [site, sums] : test) out["evaluated_by"].push_back(site.value);
  }
  for (const PooledEvaluation& pooled : evaluations.pooled) {
    if (pooled.split != wire::EvaluationSplit::kTest) continue;
    model = pooled.model;
    round = pooled.round;
    out = PooledEvaluationJson(pooled, evaluations.at_specificity);
  }
  if (out.is_null()) return out;
  out["model"] = model.Hex();
  out["round"] = round;
  return out;
}

json DescriptionJson(const StoreDescription& description) {
  json sites = json::array();
  for (const SiteId& site : description.sites) sites.push_back(site.value);
  return {{"sites", std::move(sites)}, {"shown", json::parse(metrics::ToJson(description.shown))}};
}

json EventsJson(const std::vector<wire::RunEvent>& events) {
  json out = json::array();
  for (const wire::RunEvent& event : events) {
    out.push_back({{"sequence", event.sequence},
                   {"time", ToRfc3339(event.time)},
                   {"time_us", ToMicros(event.time)},
                   {"kind", static_cast<int>(event.kind)},
                   {"name", wire::Name(event.kind)},
                   {"round", event.round},
                   {"attempt", event.attempt},
                   {"site", event.site.value},
                   {"text", event.text},
                   {"values", event.values}});
  }
  return out;
}

constexpr char kRunColumns[] =
    "r.run, r.plan_name, r.plan, r.phase, r.submitted, r.started, r.ended, r.outcome, r.failed, "
    "r.published, r.round, r.best, r.best_round, r.best_auroc, r.researcher";

json RunHeadJson(const Statement& row) {
  return {{"run", row.Text(0)},
          {"plan", row.Text(1)},
          {"state", PhaseName(static_cast<Phase>(row.Int(3)), row.Int(5) != 0)},
          {"submitted", TimeOrNull(row, 4)},
          {"started", TimeOrNull(row, 5)},
          {"ended", TimeOrNull(row, 6)},
          {"seconds", SecondsBetween(row, 5, 6)},
          {"outcome", row.IsNull(6) ? json() : json(row.Text(7))},
          {"failed", row.Int(8) != 0},
          {"published", TextOrNull(row, 9)},
          {"round", row.Int(10)},
          {"best", row.IsNull(11) ? json()
                                  : json{{"model", row.Text(11)},
                                         {"round", row.Int(12)},
                                         {"validation_auroc", row.Real(13)}}},
          {"researcher", row.Text(14)}};
}

// Text that came from outside may not be UTF-8: it is shown with a replacement character.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::string> Ledger::RunJson(const RunId& run) {
  storage::Database& db = impl_->db;
  ASSIGN_OR_RETURN(Statement row, db.Prepare(StrCat("SELECT ", kRunColumns,
                                                    ", p.toml, p.at_specificity FROM runs r JOIN "
                                                    "plans p ON p.hash = r.plan WHERE r.run = ?")));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found)
    return absl::NotFoundError(StrCat("there is no run \"", run.value.substr(0, 80), "\""));
  json out = RunHeadJson(row);
  out["plan"] = {{"name", row.Text(1)}, {"hash", row.Text(2)}, {"toml", row.Text(15)}};
  RunEvaluations evaluations;
  evaluations.at_specificity = row.Real(16);
  ASSIGN_OR_RETURN(evaluations.by_site, Evaluations(run));
  ASSIGN_OR_RETURN(evaluations.pooled, PooledEvaluations(run));
  ASSIGN_OR_RETURN(const auto events, Events(run, 0, std::numeric_limits<std::size_t>::max()));
  ASSIGN_OR_RETURN(const auto transcripts, TranscriptsJson(db, run));
  ASSIGN_OR_RETURN(out["participants"], ParticipantsJson(db, run));
  ASSIGN_OR_RETURN(out["rounds"],
                   RoundsJson(db, run, evaluations, SecureJson(events, transcripts)));
  out["final"] = FinalJson(evaluations);
  ASSIGN_OR_RETURN(const auto description, DescriptionOf(run));
  if (description) out["description"] = DescriptionJson(*description);
  out["events"] = EventsJson(events);
  return Dump(out);
}

absl::StatusOr<std::string> Ledger::RunsJson() {
  ASSIGN_OR_RETURN(Statement row, impl_->db.Prepare(StrCat(
                                      "SELECT ", kRunColumns,
                                      " FROM runs r ORDER BY r.submitted DESC, r.rowid DESC")));
  json runs = json::array();
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return Dump(runs);
    runs.push_back(RunHeadJson(row));
  }
}

absl::StatusOr<std::string> Ledger::ModelsJson() {
  ASSIGN_OR_RETURN(const std::vector<ModelEntry> entries, ListModels());
  json models = json::array();
  for (const ModelEntry& model : entries) {
    models.push_back(
        {{"model", model.id.Hex()},
         {"stage", Name(model.stage)},
         {"run", model.run.value},
         {"round", model.round},
         {"parent", model.parent ? json(model.parent->Hex()) : json()},
         {"file_size", model.file_size},
         {"parameters", model.parameters},
         {"created", ToRfc3339(model.created)},
         {"record",
          model.record_json.empty() ? json() : json::parse(model.record_json, nullptr, false)}});
  }
  return Dump(models);
}

}  // namespace consilium::coordinator
