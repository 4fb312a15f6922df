#include "coordinator/publication.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/model_record.h"
#include "common/metrics/json.h"

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

std::set<std::string> AllSites(const json& rounds) {
  std::set<std::string> sites;
  for (const json& round : rounds) {
    for (const json& site : round["sites"]) sites.insert(site.get<std::string>());
  }
  return sites;
}

absl::StatusOr<json> PooledTest(Ledger& ledger, const RunId& run, const ModelId& model,
                                std::span<const Action> actions, double at_specificity) {
  std::map<SiteId, metrics::BinarySums> by_site;
  const auto take = [&](const SiteId& site, const wire::EvaluationReport& report) {
    if (report.model == model && report.split == wire::EvaluationSplit::kTest) {
      by_site[site] = report.sums;
    }
  };
  ASSIGN_OR_RETURN(const std::vector<Evaluation> committed, ledger.Evaluations(run));
  for (const Evaluation& evaluation : committed) take(evaluation.site, evaluation.report);
  for (const Action& action : actions) {
    if (const auto* store = std::get_if<StoreEvaluation>(&action)) take(store->site, store->report);
  }
  json pooled = json::parse(metrics::PooledJson(by_site, at_specificity));
  pooled["sites"] = by_site.size();
  pooled.erase("roc");
  return pooled;
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
  ASSIGN_OR_RETURN(json test, PooledTest(ledger, state.run, publish.model, actions,
                                         plan.evaluation.at_specificity));
  json gate = json::array();
  for (const wire::RunEvent& event : events) {
    if (event.kind == RunEventKind::kGatePassed) gate.push_back(event.text);
  }
  const json rounds = Contributions(events, publish.round);
  const json record = {
      {"format", "consilium model record v1"},
      {"model", publish.model.Hex()},
      {"parent", model.parent ? json(model.parent->Hex()) : json(nullptr)},
      {"parameters", model.parameters},
      {"federation", federation},
      {"run", state.run.value},
      {"round", publish.round},
      {"plan", submitted.name},
      {"plan_sha256", submitted.hash.Hex()},
      {"sites", AllSites(rounds)},
      {"rounds", rounds},
      {"test", std::move(test)},
      {"gate", std::move(gate)},
      {"coordinator_version", kVersion},
      {"created", ToRfc3339(now)},
      {"signing_key", ToHex(signing_key.public_key)},
  };
  ASSIGN_OR_RETURN(std::string file, crypto::SignModelRecord(signing_key, record.dump()));
  return Publication{publish.model, std::move(file)};
}

}  // namespace consilium::coordinator
