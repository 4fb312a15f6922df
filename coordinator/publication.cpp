#include "coordinator/publication.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/model_record.h"
#include "common/metrics/task_sums.h"
#include "common/secagg/messages.h"
#include "coordinator/log_pieces.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;
using wire::RunEventKind;

// The run's events: those that are committed, and those of the step that is being made.
absl::StatusOr<std::vector<wire::RunEvent>> AllEvents(Ledger& ledger, const RunId& run,
                                                      std::span<const Action> actions) {
  std::vector<wire::RunEvent> all;
  for (;;) {
    ASSIGN_OR_RETURN(auto more, ledger.Events(run, all.empty() ? 0 : all.back().sequence));
    if (more.empty()) break;
    all.insert(all.end(), more.begin(), more.end());
  }
  for (const Action& action : actions) {
    if (const auto* record = std::get_if<Record>(&action)) all.push_back(record->event);
  }
  return all;
}

// [{"round": 1, "sites": ["north", "south"]}, ...] for the rounds that led to the model.
json Contributions(const std::vector<wire::RunEvent>& events, std::uint32_t up_to_round) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::set<std::string>> received;
  json rounds = json::array();
  for (const wire::RunEvent& event : events) {
    if (event.round == 0 || event.round > up_to_round) continue;
    auto& sites = received[{event.round, event.attempt}];
    if (event.kind == RunEventKind::kUpdateReceived) sites.insert(event.site.value);
    if (event.kind == RunEventKind::kContributionLost) sites.erase(event.site.value);
    if (event.kind == RunEventKind::kAggregated) {
      rounds.push_back({{"round", event.round}, {"sites", sites}});
    }
  }
  return rounds;
}

// A reason as it may stand in a signed record: short, and printable ASCII.
std::string Short(std::string_view reason) {
  constexpr std::size_t kLongest = 120;
  std::string text(reason.substr(0, kLongest));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return reason.size() > kLongest ? text + "..." : text;
}

// Who evaluated each round's candidate on its validation patients.
absl::StatusOr<std::map<std::uint32_t, std::set<std::string>>> EvaluatedBy(Ledger& ledger,
                                                                           const RunId& run) {
  std::map<std::uint32_t, std::set<std::string>> by;
  ASSIGN_OR_RETURN(const std::vector<Evaluation> sealed, ledger.Evaluations(run));
  for (const auto& [site, report] : sealed) {
    if (report.split == wire::EvaluationSplit::kValidation) by[report.round].insert(site.value);
  }
  ASSIGN_OR_RETURN(const std::vector<PooledEvaluation> masked, ledger.PooledEvaluations(run));
  for (const PooledEvaluation& pooled : masked) {
    if (pooled.split != wire::EvaluationSplit::kValidation) continue;
    for (const SiteId& site : pooled.sites) by[pooled.round].insert(site.value);
  }
  return by;
}

// Of the attempt that was counted in each of these rounds: [{"round": 1, "attempt": 1, "minimum":
// 3, "cohort": [...], "counted": [...], "lost": {"west": "why"}, "evaluated": [...]}, ...].
json Participation(const std::vector<wire::RunEvent>& events, std::uint32_t up_to_round,
                   std::uint32_t minimum,
                   const std::map<std::uint32_t, std::set<std::string>>& evaluated_by) {
  struct Attempt {
    std::set<std::string> cohort, received;
    std::map<std::string, std::string> lost;
  };
  std::map<std::pair<std::uint32_t, std::uint32_t>, Attempt> attempts;
  json rounds = json::array();
  for (const wire::RunEvent& event : events) {
    if (event.round == 0 || event.round > up_to_round || event.attempt == 0) continue;
    Attempt& attempt = attempts[{event.round, event.attempt}];
    const std::string& site = event.site.value;
    switch (event.kind) {
      case RunEventKind::kTaskSent:
        attempt.cohort.insert(site);
        break;
      case RunEventKind::kUpdateReceived:
        attempt.cohort.insert(site);
        attempt.received.insert(site);
        break;
      case RunEventKind::kContributionLost:
        attempt.cohort.insert(site);
        attempt.received.erase(site);
        attempt.lost[site] = Short(event.text);
        break;
      case RunEventKind::kAggregated: {
        const auto evaluated = evaluated_by.find(event.round);
        rounds.push_back({{"round", event.round},
                          {"attempt", event.attempt},
                          {"minimum", minimum},
                          {"cohort", attempt.cohort},
                          {"counted", attempt.received},
                          {"lost", attempt.lost},
                          {"evaluated", evaluated == evaluated_by.end() ? std::set<std::string>()
                                                                        : evaluated->second}});
        break;
      }
      default:
        break;
    }
  }
  return rounds;
}

std::set<std::string> AllSites(const json& rounds) {
  std::set<std::string> sites;
  for (const json& round : rounds) {
    for (const json& site : round["sites"]) sites.insert(site.get<std::string>());
  }
  return sites;
}

// The model's evaluations on the sites' test sets, committed or of the step that is being made.
struct TestEvaluations {
  std::map<SiteId, metrics::TaskSums> by_site;
  std::optional<PooledEvaluation> pooled;
};

absl::StatusOr<TestEvaluations> TestsOf(Ledger& ledger, const RunId& run, const ModelId& model,
                                        std::span<const Action> actions) {
  TestEvaluations tests;
  const auto is_test = [&](const auto& evaluation) {
    return evaluation.model == model && evaluation.split == wire::EvaluationSplit::kTest;
  };
  ASSIGN_OR_RETURN(const std::vector<Evaluation> sealed, ledger.Evaluations(run));
  for (const auto& [site, report] : sealed) {
    if (is_test(report)) tests.by_site[site] = report.sums;
  }
  ASSIGN_OR_RETURN(const std::vector<PooledEvaluation> masked, ledger.PooledEvaluations(run));
  for (const PooledEvaluation& pooled : masked) {
    if (is_test(pooled)) tests.pooled = pooled;
  }
  for (const Action& action : actions) {
    if (const auto* store = std::get_if<StoreEvaluation>(&action)) {
      if (is_test(store->report)) tests.by_site[store->site] = store->report.sums;
    } else if (const auto* store = std::get_if<StorePooledEvaluation>(&action)) {
      if (is_test(store->evaluation)) tests.pooled = store->evaluation;
    }
  }
  return tests;
}

json PooledTest(const TestEvaluations& tests, double at_specificity) {
  const bool secure = tests.pooled.has_value();
  json pooled = json::parse(secure ? metrics::SiteJson(tests.pooled->sums.sums, at_specificity)
                                   : metrics::PooledJson(tests.by_site, at_specificity));
  pooled["sites"] = secure ? tests.pooled->sites.size() : tests.by_site.size();
  pooled.erase("roc");
  return pooled;
}

// What the survivors of `session` have signed.
absl::StatusOr<Bytes> SurvivorsText(const json& session) {
  ASSIGN_OR_RETURN(const Digest transcript, Digest::FromHex(session.value("transcript", "")));
  const auto sites = [&](const char* field) {
    std::set<SiteId> names;
    for (const json& name : session[field]) names.emplace(name.get<std::string>());
    return names;
  };
  return secagg::SurvivorsText(transcript, sites("sharers"), sites("survivors"));
}

// The session of secure aggregation that the model came out of, as the log's entry with `action` has
// it: {transcript, threshold, sharers, survivors, signatures}, and `more` of its fields. Null when
// there is none. The record's roster does not know a site that was revoked since: its signature is
// left out, and those of the others must be enough.
absl::StatusOr<json> SecureSession(Ledger& ledger, const RunId& run, std::string_view model,
                                   std::string_view action, std::vector<std::string> more = {}) {
  ASSIGN_OR_RETURN(const auto entries, ledger.LogEntriesAbout(std::string(model)));
  ASSIGN_OR_RETURN(const std::vector<Member> members, ledger.Members());
  more.insert(more.end(), {"transcript", "threshold", "sharers", "survivors"});
  json session;
  for (const wire::LogEntry& entry : entries) {
    const json details = json::parse(entry.details, nullptr, /*allow_exceptions=*/false);
    if (entry.action != action || !details.is_object() || !details.contains("transcript") ||
        details.value("run", "") != run.value) {
      continue;
    }
    session = json::object();
    for (const std::string& field : more) session[field] = details.value(field, json());
    const AttemptKey key{run, details.value("round", 0u), details.value("attempt", 0u)};
    ASSIGN_OR_RETURN(const auto signatures, ledger.SurvivorSignatures(key));
    ASSIGN_OR_RETURN(const Bytes text, SurvivorsText(session));
    session["signatures"] = json::object();
    for (const auto& [site, signature] : signatures) {
      if (!SignedByMember(members, site, text, signature)) continue;
      session["signatures"][site.value] = ToHex(signature);
    }
  }
  return session;
}

// Of the model with the federation's scales, with which round one began: {model, base, ...}. Null
// when the run prepared nothing.
absl::StatusOr<json> Preparation(Ledger& ledger, const RunId& run,
                                 const std::vector<wire::RunEvent>& events) {
  const auto prepared = std::ranges::find(events, RunEventKind::kPrepared, &wire::RunEvent::kind);
  if (prepared == events.end()) return json();
  ASSIGN_OR_RETURN(json session, SecureSession(ledger, run, prepared->text, "prepare", {"base"}));
  if (!session.is_null()) session["model"] = prepared->text;
  return session;
}

// The head of the log before the publication, and what the sites have signed of it.
absl::StatusOr<json> LogJson(Ledger& ledger) {
  ASSIGN_OR_RETURN(const Ledger::LogHead head, ledger.Head());
  ASSIGN_OR_RETURN(const std::vector<Countersignature> signatures,
                   VerifiableCountersignatures(ledger, head.number));
  json countersignatures = json::array();
  for (const auto& [site, signature] : signatures) {
    countersignatures.push_back({{"site", site.value},
                                 {"number", signature.number},
                                 {"head", signature.head.Hex()},
                                 {"signature", ToHex(signature.signature)}});
  }
  return json{{"number", head.number},
              {"head", head.head.Hex()},
              {"countersignatures", std::move(countersignatures)}};
}

}  // namespace

absl::StatusOr<Publication> MakePublication(Ledger& ledger, const RunState& state,
                                            std::span<const Action> actions, const Publish& publish,
                                            const crypto::Ed25519KeyPair& signing_key, Time now) {
  ASSIGN_OR_RETURN(const SubmittedPlan submitted, ledger.PlanOf(state.run));
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::ParsePlan(submitted.toml));
  ASSIGN_OR_RETURN(const std::string federation, ledger.FederationName());
  ASSIGN_OR_RETURN(const ModelEntry model, ledger.FindModel(publish.model.Hex()));
  ASSIGN_OR_RETURN(const auto events, AllEvents(ledger, state.run, actions));
  ASSIGN_OR_RETURN(const TestEvaluations tests, TestsOf(ledger, state.run, publish.model, actions));
  ASSIGN_OR_RETURN(const auto evaluated_by, EvaluatedBy(ledger, state.run));
  ASSIGN_OR_RETURN(json secure,
                   SecureSession(ledger, state.run, publish.model.Hex(), "aggregate"));
  ASSIGN_OR_RETURN(json preparation, Preparation(ledger, state.run, events));
  ASSIGN_OR_RETURN(json log, LogJson(ledger));
  ASSIGN_OR_RETURN(std::string roster, ledger.RosterFile());
  json gate = json::array();
  for (const wire::RunEvent& event : events) {
    if (event.kind == RunEventKind::kGatePassed) gate.push_back(event.text);
  }
  const json rounds = Contributions(events, publish.round);
  json record = {
      {"format", "consilium model record v1"},
      {"model", publish.model.Hex()},
      {"parent", model.parent ? json(model.parent->Hex()) : json(nullptr)},
      {"parameters", model.parameters},
      {"federation", federation},
      {"run", state.run.value},
      {"round", publish.round},
      {"plan", submitted.name},
      {"plan_sha256", submitted.hash.Hex()},
      {"task", std::string(Name(plan.target.task))},
      {"researcher",
       {{"name", submitted.researcher},
        {"nonce", ToHex(submitted.nonce)},
        {"signature", ToHex(submitted.signature)}}},
      {"sites", AllSites(rounds)},
      {"rounds", rounds},
      {"participation",
       Participation(events, publish.round, plan.cohort.minimum_sites, evaluated_by)},
      {"test", PooledTest(tests, plan.evaluation.at_specificity)},
      {"gate", std::move(gate)},
      {"privacy", "none"},
      {"log", std::move(log)},
      {"roster", std::move(roster)},
      {"coordinator_version", kVersion},
      {"created", ToRfc3339(now)},
      {"signing_key", ToHex(signing_key.public_key)},
  };
  if (!secure.is_null()) record["secure"] = std::move(secure);
  if (!preparation.is_null()) record["preparation"] = std::move(preparation);
  ASSIGN_OR_RETURN(std::string file, crypto::SignModelRecord(signing_key, record.dump()));
  return Publication{publish.model, std::move(file)};
}

}  // namespace consilium::coordinator
