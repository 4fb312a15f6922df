// What the federation must have come to, computed from what was counted alone.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/keystream.h"
#include "common/crypto/sha256.h"
#include "common/metrics/evaluation_sums.h"
#include "common/model/prepared_model.h"
#include "common/model/quantizer.h"
#include "common/model/safetensors.h"
#include "coordinator/log_pieces.h"
#include "coordinator/researcher/verify_model.h"
#include "tests/simulation/coordinator_machine.h"
#include "tests/simulation/fake_hospital.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/site_machine.h"

namespace consilium::simulation {
namespace {

// Of a parameter: floats of about 1, added in another order.
constexpr double kRounding = 1e-6;
constexpr double kMomentRounding = 1e-5;

std::set<SiteId> SitesIn(const nlohmann::json& names) {
  std::set<SiteId> sites;
  for (const auto& name : names) sites.emplace(name.get<std::string>());
  return sites;
}

bool SameSums(const metrics::TaskSums& x, const metrics::TaskSums& y) {
  if (x.task() != Task::kBinary || y.task() != Task::kBinary) return x == y;  // counts
  const metrics::BinarySums &a = x.binary(), &b = y.binary();
  return a.positives == b.positives && a.negatives == b.negatives && a.patients == b.patients &&
         a.calibration_count == b.calibration_count &&
         std::abs(a.squared_error - b.squared_error) < kMomentRounding &&
         std::abs(a.log_loss - b.log_loss) < kMomentRounding;
}

// As a researcher has it.
absl::StatusOr<std::string> WholeLog(coordinator::Ledger& ledger) {
  nlohmann::json log;
  coordinator::LogPieces pieces(1);
  while (!pieces.done()) {
    ASSIGN_OR_RETURN(const std::string text, pieces.Next(ledger));
    nlohmann::json piece = nlohmann::json::parse(text);
    if (!log.is_null()) {
      piece["entries"].insert(piece["entries"].begin(), log["entries"].begin(),
                              log["entries"].end());
    }
    log = std::move(piece);
  }
  return log.dump(2) + "\n";
}

}  // namespace

double Invariants::WeightOf(const SiteId& site, const plan::Plan& plan) const {
  const FakeData& data = world_.site(site).data();
  double weight = 1;
  if (plan.aggregation.weight == plan::WeightRule::kExamples) {
    weight = static_cast<double>(data.examples());
  } else if (plan.aggregation.weight == plan::WeightRule::kPatients) {
    weight = static_cast<double>(data.patients());
  }
  const auto cap = world_.weight_caps.find(site);
  return cap == world_.weight_caps.end() ? weight : std::min(weight, cap->second);
}

Invariants::Values Invariants::UpdateOf(const SiteId& site, const Asked& asked,
                                        const Values& base) const {
  Values update = Trained(base, SeedOf(asked.seed, site));
  // As the site has it: the difference of two floats.
  for (std::size_t i = 0; i < base.size(); ++i) {
    const float trained = update[i] + base[i];
    update[i] = trained - base[i];
  }
  return update;
}

std::optional<Invariants::Values> Invariants::ExpectedModel(const AttemptKey& key,
                                                            const Asked& asked,
                                                            const std::set<SiteId>& counted,
                                                            const Values& base) {
  const plan::Plan& plan = RunOf(key.run)->plan;
  std::vector<double> mean(base.size());
  double total = 0;
  if (!asked.secure) {
    for (const SiteId& site : counted) {
      const Values update = UpdateOf(site, asked, base);
      const double weight = WeightOf(site, plan);
      for (std::size_t i = 0; i < base.size(); ++i) mean[i] += weight * update[i];
      total += weight;
    }
    for (double& value : mean) value /= total;
  } else {
    const secagg::SessionConfig& config = *asked.secure;
    std::vector<std::uint32_t> sum(base.size()), q(base.size());
    double scale = 0;
    for (const SiteId& site : counted) {
      const double share = WeightOf(site, plan) / config.total_weight;
      const auto quantizer = Quantizer::Create(config.clip_norm, config.cohort_size, share);
      if (!quantizer.ok()) return std::nullopt;
      const Values update = UpdateOf(site, asked, base);
      const Digest rounding = crypto::Sha256(
          FieldWriter("consilium rounding v1").Number(SeedOf(asked.seed, site)).bytes());
      Bytes random(2 * base.size());
      auto keystream = crypto::Keystream::Create(crypto::Secret::CopyOf(rounding.bytes));
      CONSILIUM_CHECK(keystream.ok() && keystream->Generate(0, random).ok());
      quantizer->Quantize(update, quantizer->ClipFactor(update).value(), random, q);
      for (std::size_t i = 0; i < q.size(); ++i) sum[i] += q[i];
      scale = quantizer->scale();
      total += share;
    }
    Dequantize(sum, scale, total, mean);
  }
  Values model(base.size());
  for (std::size_t i = 0; i < base.size(); ++i) {
    model[i] = static_cast<float>(base[i] + plan.aggregation.server_learning_rate * mean[i]);
  }
  return model;
}

const Invariants::Values* Invariants::ModelNamed(CoordinatorMachine& coordinator,
                                                 const ModelId& model) {
  const auto known = models_.find(model);
  if (known != models_.end()) return &known->second;
  // It is we who read, and a disk that fails at this moment is no reason not to check.
  const DiskFaults faults = world_.disk.SetFaults(kCoordinatorMachine, {});
  const auto loaded = LoadSafetensors(coordinator.models().PathOf(model));
  world_.disk.SetFaults(kCoordinatorMachine, faults);
  if (!loaded.ok()) return nullptr;
  Values values(loaded->values().begin(), loaded->values().end());
  return &models_.emplace(model, std::move(values)).first->second;
}

void Invariants::CheckOpened(const secagg::SessionKey& key, const std::set<SiteId>& sites,
                             const std::string& what) {
  const Session& session = sessions_[key];
  for (const SiteId& site : sites) {
    if (!session.vectors.contains(site)) {
      Violate("shares", StrCat(what, " counts site ", site.value, ", which delivered nothing"));
    }
  }
  if (session.survivors != sites) {
    Violate("told", StrCat(what, " counts others than the sites were told that survived"));
  }
  if (!session.config || session.unmasked.size() < session.config->threshold) {
    Violate("shares",
            StrCat(what, " was opened by ", session.unmasked.size(), " sites; the threshold is ",
                   session.config ? session.config->threshold : 0));
  }
}

void Invariants::CheckAggregate(CoordinatorMachine& coordinator, const wire::LogEntry& entry) {
  const auto details = nlohmann::json::parse(entry.details);
  const AttemptKey key{RunId(details["run"].get<std::string>()),
                       details["round"].get<std::uint32_t>(),
                       details["attempt"].get<std::uint32_t>()};
  const std::string what = StrCat("the candidate of ", key.ToString());
  const Run* run = RunOf(key.run);
  const auto asked = asked_.find(key);
  if (run == nullptr || asked == asked_.end()) {
    Violate("model", StrCat(what, " was made, and no site was asked for it"));
    return;
  }
  const std::set<SiteId> counted = SitesIn(details["survivors"]);
  for (const auto& [other, sites] : counted_) {
    if (other.run == key.run && other.round == key.round) {
      Violate("model",
              StrCat("round ", other.ToString(), " is aggregated again as ", key.ToString()));
    }
  }
  const bool first = std::none_of(counted_.begin(), counted_.end(),
                                  [&](const auto& entry) { return entry.first.run == key.run; });
  if (first && NumbersOf(run->plan) > 0) {
    const auto prepared = prepared_.find(key.run);
    if (prepared == prepared_.end() || asked->second.base != prepared->second) {
      Violate("preparation", StrCat(what, " was not trained from the prepared model"));
    }
  }
  counted_[key] = counted;
  if (counted.size() < run->plan.cohort.minimum_sites) {
    Violate("model", StrCat(what, " counts ", counted.size(), " sites; the plan asks for ",
                            run->plan.cohort.minimum_sites));
  }
  for (const SiteId& site : counted) {
    if (!sent_.contains({site, key})) {
      Violate("model", StrCat(what, " counts site ", site.value, ", which delivered nothing"));
    }
  }
  if (asked->second.secure) {
    CheckOpened({key, secagg::Purpose::kTraining}, counted, what);
  }
  const Values* base =
      ModelNamed(coordinator, Digest::FromHex(details["base"].get<std::string>()).value());
  const Values* candidate =
      ModelNamed(coordinator, Digest::FromHex(details["candidate"].get<std::string>()).value());
  if (coordinator.Alive() && (base == nullptr || candidate == nullptr)) {
    if (!harmed_.contains(kCoordinatorMachine)) {
      Violate("durable", StrCat(what, " or its base is not there"));
    }
    return;
  }
  if (base == nullptr || candidate == nullptr) return;
  const auto expected = ExpectedModel(key, asked->second, counted, *base);
  double worst = 0;
  for (std::size_t i = 0; expected && i < expected->size(); ++i) {
    worst = std::max(worst, std::abs(double{(*expected)[i]} - double{(*candidate)[i]}));
  }
  if (!expected || expected->size() != candidate->size() || !(worst <= kRounding)) {
    Violate("model", StrCat(what, " is not its base and the weighted mean of the ", counted.size(),
                            " counted contributions: off by ", worst));
  }
}

void Invariants::CheckEvaluations(coordinator::Ledger& ledger, const RunId& run) {
  const auto pooled = ledger.PooledEvaluations(run);
  const auto single = ledger.Evaluations(run);
  const Run* known = RunOf(run);
  if (!pooled.ok() || !single.ok() || known == nullptr) return;
  const plan::Target& target = known->plan.target;
  for (const coordinator::PooledEvaluation& evaluation : *pooled) {
    const auto model = models_.find(evaluation.model);
    if (model == models_.end()) {
      Violate("evaluation", "a model was evaluated that was never aggregated");
      continue;
    }
    metrics::TaskSums sums(target.Shape());
    for (const SiteId& site : evaluation.sites) {
      sums += Evaluated(site, model->second, evaluation.split, target.task);
    }
    if (!SameSums(sums, evaluation.sums.sums)) {
      Violate("evaluation", StrCat("the sums of round ", evaluation.round, " of ", run.value,
                                   " are not those of the ", evaluation.sites.size(), " sites"));
    }
  }
  for (const coordinator::Evaluation& evaluation : *single) {
    const auto model = models_.find(evaluation.report.model);
    if (model == models_.end() ||
        !SameSums(Evaluated(evaluation.site, model->second, evaluation.report.split, target.task),
                  evaluation.report.sums)) {
      Violate("evaluation", StrCat("the ledger has not what site ", evaluation.site.value,
                                   " made of round ", evaluation.report.round, " of ", run.value));
    }
  }
}

// It is the first model with the scales of exactly the counted sites' rows, of the plan's minimum
// at least.
void Invariants::CheckPreparation(CoordinatorMachine& coordinator, const wire::LogEntry& entry) {
  const auto details = nlohmann::json::parse(entry.details);
  const RunId run(details["run"].get<std::string>());
  const ModelId model = Digest::FromHex(entry.subject).value();
  const std::string what = StrCat("what ", run.value, " begins round one from");
  const Run* known = RunOf(run);
  const std::size_t numbers = known == nullptr ? 0 : NumbersOf(known->plan);
  if (numbers == 0 || !prepared_.emplace(run, model).second) {
    Violate("preparation", StrCat(run.value, " prepares what is no table, or twice"));
    return;
  }
  const std::set<SiteId> counted = SitesIn(details["survivors"]);
  if (counted.size() < known->plan.cohort.minimum_sites) {
    Violate("preparation", StrCat(what, " has the scales of ", counted.size(), " sites; the plan ",
                                  "asks for ", known->plan.cohort.minimum_sites));
  }
  const AttemptKey attempt{run, 1, details["attempt"].get<std::uint32_t>()};
  CheckOpened({attempt, secagg::Purpose::kPreparation}, counted, what);
  std::vector<std::uint64_t> ring(metrics::PreparationRingSize(numbers));
  for (const SiteId& site : counted) {
    secagg::Add(ring,
                metrics::ToRing(Prepared(site, world_.site(site).data().patients(), numbers)));
  }
  const auto sums = metrics::PreparationFromRing(ring, numbers);
  std::vector<metrics::Range> ranges;
  for (const plan::Column& column : known->plan.table.columns) {
    if (column.kind == plan::ColumnKind::kNumber)
      ranges.push_back({column.minimum, column.maximum});
  }
  std::vector<double> means, deviations;
  if (sums.ok()) {
    for (const metrics::Scale& scale : metrics::Scales(*sums, ranges)) {
      means.push_back(scale.mean);
      deviations.push_back(scale.deviation);
    }
  }
  const auto expected =
      WithPreparation(FirstModel(known->plan, world_.parameters), means, deviations);
  const Values* values = ModelNamed(coordinator, model);
  if (values == nullptr) {
    if (coordinator.Alive() && !harmed_.contains(kCoordinatorMachine)) {
      Violate("durable", StrCat(what, " is not there"));
    }
    return;
  }
  if (!expected.ok() || !std::equal(values->begin(), values->end(), expected->values().begin(),
                                    expected->values().end())) {
    Violate("preparation",
            StrCat(what, " has not the scales of the ", counted.size(), " counted sites' rows"));
  }
}

// It is the sum of its sites' own, suppressed, and of the plan's minimum at least.
void Invariants::CheckDescription(CoordinatorMachine& coordinator, const wire::LogEntry& entry) {
  const RunId run(entry.subject);
  const Run* known = RunOf(run);
  const auto stored = coordinator.ledger().With(
      [&](coordinator::Ledger& ledger) { return ledger.DescriptionOf(run); });
  if (!stored.ok()) return;  // disk errors
  if (known == nullptr || !known->plan.describe || !stored->has_value()) {
    Violate("description", StrCat("the log says that ", run.value, " described, the ledger not"));
    return;
  }
  const plan::Plan& plan = known->plan;
  const auto details = nlohmann::json::parse(entry.details);
  const AttemptKey attempt{run, 1, details["attempt"].get<std::uint32_t>()};
  CheckOpened({attempt, secagg::Purpose::kDescription}, SitesIn(details["sites"]),
              StrCat("what ", run.value, " describes"));
  if ((*stored)->sites != SitesIn(details["sites"])) {
    Violate("description", StrCat("the log and the ledger name other sites for ", run.value));
  }
  std::vector<std::uint64_t> sum(metrics::DescriptionSums());
  for (const SiteId& site : (*stored)->sites) {
    secagg::Add(sum, metrics::ToRing(Described(world_.site(site).data().patients(),
                                               !plan.target.name.empty())));
  }
  const auto description = metrics::DescriptionFromRing(sum, !plan.target.name.empty());
  if ((*stored)->sites.size() < plan.cohort.minimum_sites || !description.ok() ||
      (*stored)->shown !=
          metrics::Suppress(*description, plan.target.name, plan.describe->smallest_count)) {
    Violate("description", StrCat("what ", run.value, " describes is not what its sites have"));
  }
}

// As `consilium model verify` does.
void Invariants::CheckProof(coordinator::Ledger& ledger, const Run& run, const ModelId& model,
                            const std::string& record) {
  const auto log = WholeLog(ledger);
  if (!log.ok()) return;  // disk errors
  const auto proof = researcher::VerifyModel(FederationKeys::Get().root(), model, record, *log);
  // Those that signed and are revoked by now cannot be verified with the newest roster, and without
  // them there may be fewer than the threshold.
  const bool revoked =
      std::ranges::any_of(world_.sites(), [](const auto& site) { return site->revoked; });
  const bool too_few = proof.Broken().find("sites signed who contributed") != std::string::npos;
  if (!proof.ok() && !(revoked && too_few)) Violate("proof", proof.Broken());
  const bool prepared = std::ranges::any_of(
      proof.checks, [](const researcher::Check& check) { return check.link == "preparation"; });
  if (prepared != (NumbersOf(run.plan) > 0)) {
    Violate("proof", StrCat("the record of ", model.Short(),
                            prepared ? " proves a preparation that was not asked for"
                                     : " says nothing of the preparation"));
  }
}

void Invariants::CheckPublication(CoordinatorMachine& coordinator, const wire::LogEntry& entry) {
  const auto details = nlohmann::json::parse(entry.details);
  const RunId run(details["run"].get<std::string>());
  const std::string what = StrCat("what ", run.value, " publishes");
  Run* known = RunOf(run);
  if (known == nullptr) {
    Violate("gate", StrCat(what, " is of no run that was submitted"));
    return;
  }
  const ModelId model = Digest::FromHex(entry.subject).value();
  known->published = model;
  const auto says = [&](wire::RunEventKind kind) {
    return std::any_of(known->events.begin(), known->events.end(),
                       [&](const wire::RunEvent& event) { return event.kind == kind; });
  };
  if (!says(wire::RunEventKind::kGatePassed) || !says(wire::RunEventKind::kFinalEvaluation)) {
    Violate("gate", StrCat(what, " did not pass the gate"));
  }
  coordinator.ledger().With([&](coordinator::Ledger& ledger) {
    CheckEvaluations(ledger, run);
    std::set<SiteId> evaluated_by;
    for (const auto& evaluation :
         ledger.PooledEvaluations(run).value_or(std::vector<coordinator::PooledEvaluation>())) {
      if (evaluation.model == model && evaluation.split == wire::EvaluationSplit::kTest) {
        evaluated_by = evaluation.sites;
      }
    }
    for (const auto& evaluation :
         ledger.Evaluations(run).value_or(std::vector<coordinator::Evaluation>())) {
      if (evaluation.report.model == model &&
          evaluation.report.split == wire::EvaluationSplit::kTest) {
        evaluated_by.insert(evaluation.site);
      }
    }
    if (evaluated_by.size() < known->plan.gate.minimum_sites) {
      Violate("gate", StrCat(what, " was evaluated by ", evaluated_by.size(), " sites, not ",
                             known->plan.gate.minimum_sites));
      return;
    }
    const Values* values = ModelNamed(coordinator, model);
    if (values == nullptr) {
      if (coordinator.Alive()) Violate("gate", StrCat(what, " is not there"));
      return;
    }
    const plan::Target& target = known->plan.target;
    metrics::TaskSums sums(target.Shape());
    for (const SiteId& site : evaluated_by) {
      sums += Evaluated(site, *values, wire::EvaluationSplit::kTest, target.task);
    }
    const auto found = metrics::Compute(sums, known->plan.evaluation.at_specificity);
    if (!found.ok() || found->headline < known->plan.gate.minimum) {
      Violate("gate", StrCat(what, " has ", HeadlineTitle(target.task), " ",
                             found.ok() ? found->headline : 0, " at the sites, below ",
                             known->plan.gate.minimum));
    }
    const auto registered = ledger.FindModel(entry.subject);
    if (registered.ok() && (registered->stage != coordinator::ModelStage::kPublished ||
                            registered->record_json.empty())) {
      Violate("gate", StrCat(what, " is not registered as published with its record"));
    } else if (registered.ok()) {
      CheckProof(ledger, *known, model, registered->record_json);
    }
  });
}

// ---- at the end, in fair weather

void Invariants::AtEnd(CoordinatorMachine& coordinator) {
  OnStep(coordinator);
  OnCoordinatorBegins(coordinator);
  coordinator.ledger().With([&](coordinator::Ledger& ledger) {
    const absl::Status chain = ledger.VerifyLog();
    if (!chain.ok()) Violate("durable", StrCat("the audit log: ", chain.ToString()));
    for (const auto& [number, head] : heads_) {
      const auto found = ledger.HeadAfter(number);
      if (!found.ok() || *found != head) {
        Violate("durable",
                StrCat("the audit log has not the head that sites signed after entry ", number));
        break;
      }
    }
  });
  for (const auto& [run, known] : runs_) {
    if (known.ended) CheckSites(run);
    if (!known.published) continue;
    const auto file = coordinator.models().OpenForReading(*known.published);
    const auto registered = coordinator.ledger().With(
        [&](coordinator::Ledger& ledger) { return ledger.FindModel(known.published->Hex()); });
    if (!file.ok() || !registered.ok() ||
        registered->stage != coordinator::ModelStage::kPublished) {
      Violate("durable", StrCat("the model that ", run.value, " published is gone"));
    }
  }
}

void Invariants::CheckSites(const RunId& run) {
  for (const auto& machine : world_.sites()) {
    if (machine->revoked || machine->state() == nullptr || harmed_.contains(machine->machine())) {
      continue;
    }
    const auto tasks = machine->state()->Tasks();
    if (!tasks.ok()) continue;
    std::map<AttemptKey, site_agent::TaskState> states;
    for (const site_agent::TaskRecord& task : *tasks) {
      if (task.header.key.run == run && task.header.base_model != ModelId{}) {
        states[task.header.key] = task.state;
      }
    }
    for (const auto& [key, state] : states) {
      const auto counted = counted_.find(key);
      const bool was = counted != counted_.end() && counted->second.contains(machine->name());
      if (state == site_agent::TaskState::kCounted && !was) {
        Violate("agreement", StrCat("site ", machine->machine(), " has it that ", key.ToString(),
                                    " was counted; the ledger has not"));
      }
      // One that was never told still says that the coordinator holds it.
      if (state != site_agent::TaskState::kCounted &&
          state != site_agent::TaskState::kAcknowledged && was) {
        Violate("agreement", StrCat("the ledger counted ", key.ToString(), " of site ",
                                    machine->machine(), "; there it is \"", Name(state), "\""));
      }
    }
    for (const auto& [key, sites] : counted_) {
      if (key.run == run && sites.contains(machine->name()) && !states.contains(key)) {
        Violate("agreement", StrCat("the ledger counted ", key.ToString(), " of site ",
                                    machine->machine(), ", which knows of no such task"));
      }
    }
  }
}

}  // namespace consilium::simulation
