// What the audit log keeps of a run: compact JSON, so that each entry can be checked by itself.

#include <nlohmann/json.hpp>

#include "coordinator/round_engine.h"

namespace consilium::coordinator {
namespace {

using Json = nlohmann::ordered_json;

Json Names(const std::set<SiteId>& sites) {
  Json names = Json::array();
  for (const SiteId& site : sites) names.push_back(site.value);
  return names;
}

// What a site may have written into the text (why it declined) need not be UTF-8.
std::string Compact(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::set<SiteId> Without(const std::set<SiteId>& sites, const std::set<SiteId>& gone) {
  std::set<SiteId> rest;
  for (const SiteId& site : sites) {
    if (!gone.contains(site)) rest.insert(site);
  }
  return rest;
}

}  // namespace

void RoundEngine::AuditOpening() {
  const Json details = {{"plan", plan_.name},
                        {"updates", plan::Name(plan_.aggregation.updates)},
                        {"minimum_sites", MinimumSites()},
                        {"roster", roster_.hash.Hex()}};
  actions_.push_back(Audit{"open run", state_.run.value, Compact(details)});
}

void RoundEngine::AuditAggregate(const ModelId& candidate) {
  Json details = {
      {"run", state_.run.value},       {"round", work_->key.round},
      {"attempt", work_->key.attempt}, {"updates", plan::Name(plan_.aggregation.updates)},
      {"base", state_.base->Hex()},    {"candidate", candidate.Hex()}};
  if (work_->sum) {
    details["transcript"] = work_->sum->transcript.Hex();
    details["threshold"] = work_->sum->threshold;
    details["sharers"] = Names(work_->sum->sharers);
    details["survivors"] = Names(work_->sum->survivors);
    details["recovered"] = Names(Without(work_->sum->sharers, work_->sum->survivors));
  } else {
    std::set<SiteId> counted;
    for (const auto& [site, task] : work_->tasks) {
      if (task.state == TaskState::kDone) counted.insert(site);
    }
    details["survivors"] = Names(counted);
  }
  actions_.push_back(Audit{"aggregate", candidate.Hex(), Compact(details)});
}

void RoundEngine::AuditEvaluation() {
  Json details = {{"run", state_.run.value},
                  {"round", work_->key.round},
                  {"split", Split() == wire::EvaluationSplit::kTest ? "test" : "validation"}};
  if (work_->sum) {
    details["attempt"] = state_.evaluation_attempt;
    details["transcript"] = work_->sum->transcript.Hex();
    details["threshold"] = work_->sum->threshold;
    details["sites"] = Names(work_->sum->survivors);
  } else {
    std::set<SiteId> sites;
    for (const auto& [site, sums] : state_.evaluations) sites.insert(site);
    details["sites"] = Names(sites);
  }
  actions_.push_back(Audit{"evaluate", state_.candidate->Hex(), Compact(details)});
}

void RoundEngine::AuditPreparation(const ModelId& model) {
  const Json details = {{"run", state_.run.value},
                        {"attempt", state_.evaluation_attempt},
                        {"base", state_.base->Hex()},
                        {"transcript", work_->sum->transcript.Hex()},
                        {"threshold", work_->sum->threshold},
                        {"sharers", Names(work_->sum->sharers)},
                        {"survivors", Names(work_->sum->survivors)}};
  actions_.push_back(Audit{"prepare", model.Hex(), Compact(details)});
}

void RoundEngine::AuditDescription() {
  const Json details = {
      {"attempt", state_.evaluation_attempt}, {"transcript", work_->sum->transcript.Hex()},
      {"threshold", work_->sum->threshold},   {"sites", Names(work_->sum->survivors)},
      {"target", plan_.target.name},          {"smallest_count", plan_.describe->smallest_count}};
  actions_.push_back(Audit{"describe", state_.run.value, Compact(details)});
}

void RoundEngine::AuditPublication() {
  const Json details = {{"run", state_.run.value}, {"round", state_.best_round}};
  actions_.push_back(Audit{"publish", state_.best->Hex(), Compact(details)});
}

void RoundEngine::AuditEnd(bool failed, const std::string& outcome,
                           const std::optional<ModelId>& published) {
  Json details = {{"failed", failed}, {"outcome", outcome}};
  if (published) details["published"] = published->Hex();
  actions_.push_back(Audit{"end run", state_.run.value, Compact(details)});
}

}  // namespace consilium::coordinator
