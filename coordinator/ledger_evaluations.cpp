// What models scored: by site where the sites' own sums were seen, pooled where they were not; and
// what the sites of a secure session signed.

#include <nlohmann/json.hpp>

#include "common/metrics/task_sums.h"
#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

absl::StatusOr<std::set<SiteId>> SitesFromJson(std::string_view text) {
  const json in = json::parse(text, nullptr, false);
  if (!in.is_array()) return absl::DataLossError("the ledger holds an evaluation that is damaged");
  std::set<SiteId> sites;
  for (const json& site : in) {
    if (site.is_string()) sites.emplace(site.get<std::string>());
  }
  return sites;
}

std::string SitesJson(const std::set<SiteId>& sites) {
  json out = json::array();
  for (const SiteId& site : sites) out.push_back(site.value);
  return out.dump();
}

}  // namespace

absl::Status Ledger::Impl::SaveEvaluation(const Evaluation& evaluation) {
  const wire::EvaluationReport& report = evaluation.report;
  return db.Execute(
      "INSERT OR REPLACE INTO evaluations (run, round, model, split, site, sums, "
      "seconds) VALUES (?, ?, ?, ?, ?, ?, ?)",
      report.run.value, report.round, report.model.Hex(), report.split, evaluation.site.value,
      metrics::ToJson(report.sums), report.seconds);
}

absl::Status Ledger::Impl::SavePooledEvaluation(const RunId& run, const PooledEvaluation& pooled) {
  return db.Execute(
      "INSERT OR REPLACE INTO pooled_evaluations (run, round, model, split, sites, sums, compared, "
      "worse) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      run.value, pooled.round, pooled.model.Hex(), pooled.split, SitesJson(pooled.sites),
      metrics::ToJson(pooled.sums.sums), pooled.sums.compared, pooled.sums.worse);
}

absl::Status Ledger::Impl::SaveDescription(const StoreDescription& description) {
  return db.Execute("INSERT OR REPLACE INTO descriptions (run, sites, shown) VALUES (?, ?, ?)",
                    description.run.value, SitesJson(description.sites),
                    metrics::ToJson(description.shown));
}

absl::StatusOr<std::optional<StoreDescription>> Ledger::DescriptionOf(const RunId& run) {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT sites, shown FROM descriptions WHERE run = ?"));
  row.Bind(run.value);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::optional<StoreDescription>();
  StoreDescription description{run, {}, {}};
  ASSIGN_OR_RETURN(description.sites, SitesFromJson(row.Text(0)));
  auto shown = metrics::ShownDescriptionFromJson(row.Text(1));
  if (!shown.ok()) return absl::DataLossError("the ledger holds a description that is damaged");
  description.shown = *std::move(shown);
  return std::optional<StoreDescription>(std::move(description));
}

absl::StatusOr<std::vector<Evaluation>> Ledger::Evaluations(const RunId& run) {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT site, round, model, split, sums, seconds FROM "
                                     "evaluations WHERE run = ? ORDER BY rowid"));
  row.Bind(run.value);
  std::vector<Evaluation> evaluations;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return evaluations;
    Evaluation evaluation;
    evaluation.site = SiteId(row.Text(0));
    evaluation.report.run = run;
    evaluation.report.round = static_cast<std::uint32_t>(row.Int(1));
    ASSIGN_OR_RETURN(evaluation.report.model, DigestAt(row, 2));
    evaluation.report.split = static_cast<wire::EvaluationSplit>(row.Int(3));
    ASSIGN_OR_RETURN(evaluation.report.sums, metrics::TaskSumsFromJson(row.Text(4)));
    evaluation.report.seconds = row.Real(5);
    evaluations.push_back(std::move(evaluation));
  }
}

absl::StatusOr<std::vector<PooledEvaluation>> Ledger::PooledEvaluations(const RunId& run) {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT round, model, split, sites, sums, compared, worse "
                                     "FROM pooled_evaluations WHERE run = ? ORDER BY rowid"));
  row.Bind(run.value);
  std::vector<PooledEvaluation> evaluations;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return evaluations;
    PooledEvaluation pooled;
    pooled.round = static_cast<std::uint32_t>(row.Int(0));
    ASSIGN_OR_RETURN(pooled.model, DigestAt(row, 1));
    pooled.split = static_cast<wire::EvaluationSplit>(row.Int(2));
    ASSIGN_OR_RETURN(pooled.sites, SitesFromJson(row.Text(3)));
    ASSIGN_OR_RETURN(pooled.sums.sums, metrics::TaskSumsFromJson(row.Text(4)));
    pooled.sums.compared = static_cast<std::uint64_t>(row.Int(5));
    pooled.sums.worse = static_cast<std::uint64_t>(row.Int(6));
    evaluations.push_back(std::move(pooled));
  }
}

// Each site of a session is sent the same: one of them is enough.
absl::Status Ledger::Impl::KeepSurvivorSignatures(std::span<const Action> actions) {
  for (const Action& action : actions) {
    const auto* send = std::get_if<Send>(&action);
    const auto* notice = send ? std::get_if<wire::SecureNotice>(&send->message) : nullptr;
    if (notice == nullptr) continue;
    const bool preparation = notice->session.purpose == secagg::Purpose::kPreparation;
    if (!preparation && notice->session.purpose != secagg::Purpose::kTraining) continue;
    const auto* signatures = std::get_if<wire::SecureNotice::Signatures>(&notice->notice);
    if (signatures == nullptr) continue;
    const AttemptKey& key = notice->session.attempt;
    for (const auto& [site, signature] : signatures->signatures) {
      RETURN_IF_ERROR(
          db.Execute("INSERT OR REPLACE INTO survivor_signatures (run, round, attempt, site, "
                     "signature) VALUES (?, ?, ?, ?, ?)",
                     key.run.value, preparation ? 0 : key.round, key.attempt, site.value,
                     ToHex(signature)));
    }
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<SiteId, crypto::Signature>> Ledger::SurvivorSignatures(
    const AttemptKey& key) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT site, signature FROM survivor_signatures "
                                               "WHERE run = ? AND round = ? AND attempt = ?"));
  row.Bind(key.run.value, key.round, key.attempt);
  std::map<SiteId, crypto::Signature> signatures;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return signatures;
    ASSIGN_OR_RETURN(signatures[SiteId(row.Text(0))], ArrayAt<64>(row, 1));
  }
}

absl::StatusOr<LastPublished> Ledger::LastPublishedOf(std::string_view plan_name) {
  LastPublished last;
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT r.run, r.published FROM runs r JOIN models m ON "
                                     "m.model = r.published WHERE r.plan_name = ? AND m.stage = ? "
                                     "ORDER BY r.ended DESC, r.number DESC LIMIT 1"));
  row.Bind(plan_name, ModelStage::kPublished);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return last;
  ASSIGN_OR_RETURN(last.model, DigestAt(row, 1));
  ASSIGN_OR_RETURN(const std::vector<Evaluation> evaluations, Evaluations(RunId(row.Text(0))));
  for (const auto& [site, report] : evaluations) {
    if (report.split != wire::EvaluationSplit::kTest || report.model != last.model) continue;
    constexpr double kAnySpecificity = 0.9;  // no headline depends on it
    const auto metrics = metrics::Compute(report.sums, kAnySpecificity);
    if (metrics.ok() && metrics::LargeEnoughToShow(report.sums)) {
      last.site_headlines[site] = metrics->headline;
    }
  }
  return last;
}

}  // namespace consilium::coordinator
