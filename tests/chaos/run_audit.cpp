#include "tests/chaos/run_audit.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/keystream.h"
#include "common/crypto/sha256.h"
#include "common/model/quantizer.h"
#include "common/model/safetensors.h"
#include "common/plan/plan.h"
#include "coordinator/exact_sum.h"
#include "site_agent/site_state.h"
#include "tests/chaos/chaos_learning.h"

namespace consilium::chaos {
namespace {

using nlohmann::json;
using site_agent::TaskState;

// The registry's name of a model: the SHA-256 of its file.
ModelId IdOf(const Layout& layout, std::span<const float> values) {
  const std::string header = WriteSafetensorsHeader(layout);
  Bytes file(header.begin(), header.end());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  file.insert(file.end(), bytes, bytes + values.size_bytes());
  return crypto::Sha256(file);
}

std::vector<float> UpdateOf(std::span<const float> base, std::uint64_t seed) {
  std::vector<float> update = Trained(base, seed);
  for (std::size_t i = 0; i < update.size(); ++i) update[i] -= base[i];
  return update;
}

struct CohortOfRound {
  std::map<std::string, double> weights;  // of all that were asked
  std::set<std::string> counted;
  double CountedWeight() const {
    double sum = 0;
    for (const std::string& site : counted) sum += weights.at(site);
    return sum;
  }
};

// The mean of sealed updates, as coordinator/exact_sum.h says.
std::vector<double> ExactMean(std::span<const float> base, const CohortOfRound& cohort,
                              const plan::Plan& plan, std::uint32_t round, absl::Status& status) {
  double unit = 0, total = 0;
  for (const auto& [site, weight] : cohort.weights) unit = std::max(unit, weight);
  coordinator::ExactSum sum(base.size());
  for (const std::string& site : cohort.counted) {
    const double scaled = cohort.weights.at(site) / unit;
    status.Update(sum.Add(0, UpdateOf(base, SeedAt(plan.seed, round, site)), scaled));
    total += scaled;
  }
  std::vector<double> mean(base.size());
  sum.Mean(0, total, mean);
  return mean;
}

// The mean of masked updates: common/model/quantizer.h, rounded as site_agent/masked_update.h says.
absl::StatusOr<std::vector<double>> QuantizedMean(std::span<const float> base,
                                                  const CohortOfRound& cohort,
                                                  const plan::Plan& plan, std::uint32_t round) {
  double total = 0;
  for (const auto& [site, weight] : cohort.weights) total += weight;
  std::vector<std::uint32_t> sum(base.size()), rounded(base.size());
  double scale = 0;
  for (const std::string& site : cohort.counted) {
    const std::uint64_t seed = SeedAt(plan.seed, round, site);
    const std::vector<float> update = UpdateOf(base, seed);
    ASSIGN_OR_RETURN(const Quantizer quantizer,
                     Quantizer::Create(plan.secure_aggregation.clip_norm,
                                       static_cast<std::uint32_t>(cohort.weights.size()),
                                       cohort.weights.at(site) / total));
    ASSIGN_OR_RETURN(const double factor, quantizer.ClipFactor(update));
    const Digest key = crypto::Sha256(FieldWriter("consilium rounding v1").Number(seed).bytes());
    ASSIGN_OR_RETURN(crypto::Keystream stream,
                     crypto::Keystream::Create(crypto::Secret::CopyOf(key.bytes)));
    Bytes random(2 * update.size());
    RETURN_IF_ERROR(stream.Generate(0, random));
    quantizer.Quantize(update, factor, random, rounded);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += rounded[i];
    scale = quantizer.scale();
  }
  std::vector<double> mean(base.size());
  Dequantize(sum, scale, std::min(1.0, cohort.CountedWeight() / total), mean);
  return mean;
}

class Auditor {
 public:
  Auditor(coordinator::Ledger& ledger, const AuditOrder& order) : ledger_(ledger), order_(order) {}

  absl::StatusOr<RunFindings> Run() {
    ASSIGN_OR_RETURN(const coordinator::SubmittedPlan submitted, ledger_.PlanOf(order_.run));
    ASSIGN_OR_RETURN(plan_, plan::ParsePlan(submitted.toml));
    ASSIGN_OR_RETURN(const std::string text, ledger_.RunJson(order_.run));
    run_ = json::parse(text);
    RETURN_IF_ERROR(ReadSites());
    CheckOutcome();
    for (const json& round : run_.at("rounds")) RETURN_IF_ERROR(CheckRound(round));
    if (findings_.rounds != static_cast<int>(plan_.stop.rounds)) {
      Violate(StrCat("it ended after ", findings_.rounds, " of ", plan_.stop.rounds,
                     " rounds: ", findings_.outcome));
    }
    if (order_.parameters > 0) {
      RETURN_IF_ERROR(CheckModels());
      for (const auto& [site, traces] : order_.sites) RETURN_IF_ERROR(CheckTrainings(site, traces));
    }
    CheckSitesCounted();
    return findings_;
  }

 private:
  using Key = std::tuple<std::uint32_t, std::uint32_t, std::string>;  // round, attempt, site

  void Violate(const std::string& what) {
    findings_.violations.push_back(StrCat(order_.run.value, ": ", what));
  }

  absl::Status ReadSites() {
    for (const auto& [site, traces] : order_.sites) {
      ASSIGN_OR_RETURN(const auto state, site_agent::SiteState::Open(
                                             traces.state, site_agent::SiteState::Access::kLook));
      ASSIGN_OR_RETURN(const auto tasks, state->Tasks());
      for (const site_agent::TaskRecord& task : tasks) {
        if (task.header.key.run != order_.run ||
            task.header.kind == wire::ContributionKind::kInitialModel) {
          continue;
        }
        tasks_[{task.header.key.round, task.header.key.attempt, site}] = task;
      }
    }
    return absl::OkStatus();
  }

  void CheckOutcome() {
    if (run_.at("outcome").is_string()) findings_.outcome = run_.at("outcome");
    for (const json& event : run_.at("events")) {
      const int kind = event.at("kind");
      if (kind == static_cast<int>(wire::RunEventKind::kPublished)) {
        if (!findings_.published.empty()) Violate("published twice");
        findings_.published = event.value("text", "");
      }
      if (kind == static_cast<int>(wire::RunEventKind::kAggregated) &&
          !aggregated_.insert(event.value("round", 0)).second) {
        ++findings_.doubled;
        Violate(StrCat("round ", event.value("round", 0), " was aggregated twice"));
      }
      if (kind == static_cast<int>(wire::RunEventKind::kContributionLost)) {
        reasons_[{event.value("round", 0u), event.value("attempt", 0u), event.value("site", "")}] =
            event.value("text", "");
      }
    }
    if (findings_.published.empty()) {
      Violate(StrCat("nothing was published: ", findings_.outcome));
    }
    for (const json& participant : run_.at("participants")) {
      enlisted_[participant.at("site")] = participant.at("train_examples");
    }
  }

  absl::Status CheckRound(const json& round) {
    const std::uint32_t number = round.at("round");
    const json& attempts = round.at("attempts");
    findings_.attempts_lost += static_cast<int>(attempts.size()) - 1;
    if (order_.nobody_was_away && attempts.size() != 1) {
      Violate(StrCat("round ", number, " took ", attempts.size(), " attempts: ",
                     attempts.front()["failure"].is_string()
                         ? attempts.front()["failure"].get<std::string>()
                         : std::string("no reason is given")));
    }
    if (number == 0) return absl::OkStatus();  // made the first model, at one site
    ++findings_.rounds;
    if (round.at("candidate").is_null()) {
      Violate(StrCat("round ", number, " made no model"));
      return absl::OkStatus();
    }
    const json& last = attempts.back();
    const std::uint32_t attempt = last.at("attempt");
    CohortOfRound cohort;
    for (const json& contribution : last.at("contributions")) {
      const std::string site = contribution.at("site");
      cohort.weights[site] = enlisted_.at(site);
      const Key key{number, attempt, site};
      if (contribution.at("counted")) {
        cohort.counted.insert(site);
        counted_.insert(key);
        ++findings_.counted;
        if (!contribution.at("weight").is_null() &&
            contribution.at("weight").get<double>() != enlisted_.at(site)) {
          Violate(StrCat("round ", number, " counts ", site, " with the weight ",
                         contribution.at("weight").dump(), ", it enlisted with ",
                         enlisted_.at(site)));
        }
        continue;
      }
      ++findings_.left_out;
      const auto task = tasks_.find(key);
      const bool acknowledged =
          contribution.at("state") == "received" ||
          (task != tasks_.end() && task->second.state == TaskState::kAcknowledged);
      findings_.lost += acknowledged;
      if (acknowledged || order_.nobody_was_away) {
        Violate(StrCat("round ", number, " does not count ", site, " (",
                       contribution.at("state").get<std::string>(), "; ",
                       contribution.at("reason").get<std::string>(), ")"));
      }
    }
    // A site that was killed before it had answered the invitation joins the next round.
    for (const auto& [site, weight] : cohort.weights) asked_.insert(site);
    if (order_.nobody_was_away && cohort.weights.size() != asked_.size()) {
      Violate(StrCat("round ", number, " asked ", cohort.weights.size(), " sites, of ",
                     asked_.size(), " that the rounds before asked"));
    }
    if (cohort.counted.size() < plan_.cohort.minimum_sites) {
      Violate(StrCat("round ", number, " counts ", cohort.counted.size(), " sites, the plan needs ",
                     plan_.cohort.minimum_sites));
    }
    cohorts_[number] = std::move(cohort);
    return absl::OkStatus();
  }

  // Each round's model is the last one's plus the mean of exactly the counted contributions.
  absl::Status CheckModels() {
    ASSIGN_OR_RETURN(const ModelState first, FirstModel(order_.parameters));
    std::vector<float> values(first.values().begin(), first.values().end());
    ModelId id = IdOf(first.layout(), values);
    for (const json& round : run_.at("rounds")) {
      const std::uint32_t number = round.at("round");
      if (!cohorts_.contains(number)) continue;
      const CohortOfRound& cohort = cohorts_.at(number);
      const std::string candidate = round.at("candidate");
      ASSIGN_OR_RETURN(const coordinator::ModelEntry entry, ledger_.FindModel(candidate));
      if (entry.parent != id) {
        Violate(StrCat("round ", number, " was trained from ",
                       entry.parent ? entry.parent->Short() : "nothing", ", not from ",
                       id.Short()));
        return absl::OkStatus();
      }
      absl::Status status;
      std::vector<double> mean;
      if (plan_.aggregation.updates == plan::Updates::kMasked) {
        ASSIGN_OR_RETURN(mean, QuantizedMean(values, cohort, plan_, number));
      } else {
        mean = ExactMean(values, cohort, plan_, number, status);
      }
      RETURN_IF_ERROR(status);
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(static_cast<double>(values[i]) +
                                       plan_.aggregation.server_learning_rate * mean[i]);
      }
      id = IdOf(first.layout(), values);
      ++findings_.models_checked;
      if (id.Hex() != candidate) {
        ++findings_.doubled;
        Violate(StrCat("the model of round ", number,
                       " is not the weighted mean of the contributions it counts: ",
                       candidate.substr(0, 12), ", expected ", id.Short()));
        return absl::OkStatus();
      }
    }
    if (!findings_.published.empty() && findings_.published != id.Hex()) {
      Violate(StrCat("not the last round's model was published: ",
                     findings_.published.substr(0, 12), ", expected ", id.Short()));
    }
    return absl::OkStatus();
  }

  // What the sites know of their contributions is what the ledger says.
  void CheckSitesCounted() {
    for (const Key& key : counted_) {
      const auto& [round, attempt, site] = key;
      const auto task = tasks_.find(key);
      if (task == tasks_.end()) {
        Violate(StrCat("the ledger counts ", site, " in round ", round,
                       ", whose site.db knows nothing of it"));
      } else if (task->second.state != TaskState::kCounted) {
        ++findings_.misinformed;
        Violate(StrCat("the ledger counts ", site, " in round ", round, ", site.db says \"",
                       std::string(Name(task->second.state)), "\" (", task->second.reason, ")"));
      }
    }
    std::map<std::pair<std::uint32_t, std::string>, int> times;
    for (const auto& [key, task] : tasks_) {
      const auto& [round, attempt, site] = key;
      if (task.state != TaskState::kCounted) continue;
      if (!counted_.contains(key)) {
        Violate(StrCat(site, " was told that attempt ", attempt, " of round ", round,
                       " counts it; the ledger does not"));
      }
      if (++times[{round, site}] > 1) {
        ++findings_.doubled;
        Violate(StrCat("round ", round, " counted ", site, " in two attempts"));
      }
    }
  }

  absl::Status CheckTrainings(const std::string& site, const SiteTraces& traces) {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(traces.trainings));
    std::map<std::uint64_t, std::uint32_t> rounds;
    for (std::uint32_t round = 1; round <= findings_.rounds + 1u; ++round) {
      rounds[SeedAt(plan_.seed, round, site)] = round;
    }
    std::map<std::uint32_t, int> ended;
    std::istringstream lines(text);
    std::string what, before;
    std::uint64_t seed = 0;
    while (lines >> what >> seed) {
      if (what == "began") lines >> before;
      const auto found = rounds.find(seed);
      if (found == rounds.end()) continue;  // of another run
      const std::uint32_t round = found->second;
      if (what == "began" && before != "-") {
        ++findings_.trained_again;
        Violate(
            StrCat(site, " trained again in round ", round, ", its site.db said \"", before, "\""));
      }
      if (what == "ended" && ++ended[round] > 1) ++findings_.trained_unkept;
    }
    for (const auto& [round, cohort] : cohorts_) {
      if (cohort.counted.contains(site) && ended[round] == 0) {
        Violate(StrCat("round ", round, " counts ", site, ", which never trained for it"));
      }
    }
    return absl::OkStatus();
  }

  coordinator::Ledger& ledger_;
  const AuditOrder& order_;
  plan::Plan plan_;
  json run_;
  RunFindings findings_;
  std::map<std::string, double> enlisted_;  // weights
  std::map<Key, site_agent::TaskRecord> tasks_;
  std::map<Key, std::string> reasons_;
  std::set<Key> counted_;
  std::set<int> aggregated_;
  std::set<std::string> asked_;  // in any round so far
  std::map<std::uint32_t, CohortOfRound> cohorts_;
};

}  // namespace

absl::StatusOr<RunFindings> Audit(coordinator::Ledger& ledger, const AuditOrder& order) {
  return Auditor(ledger, order).Run();
}

}  // namespace consilium::chaos
