#include "tests/site_agent/secure_round.h"

#include <stdexcept>

#include "common/crypto/sha256.h"
#include "common/metrics/evaluation_sums.h"
#include "common/model/quantizer.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

constexpr double kWeight = 40;  // FixedData's examples
constexpr double kClip = 1000;  // the plan's default

void Require(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

secagg::SessionConfig Common(Hospitals& hospitals) {
  secagg::SessionConfig config;
  config.federation = kFederation;
  config.roster = hospitals.federation.current().hash;
  config.cohort_size = static_cast<std::uint32_t>(hospitals.sites.size());
  config.threshold = secagg::Threshold(config.cohort_size);
  return config;
}

}  // namespace

Hospitals::Hospitals(const std::vector<std::string>& names, const std::string& plan, Driven driven)
    : federation(names) {
  for (const std::string& name : names) {
    auto& site = *sites.emplace_back(std::make_unique<TestSite>(federation, name));
    site.learner.step = 0.1f * static_cast<float>(sites.size());
    if (driven == Driven::kByThreads) {
      site.Start();
    } else {
      site.StartStepped();
    }
  }
  for (const auto& site : sites) {
    if (!site->Accept(kRun, plan).accepted) throw std::runtime_error("not accepted");
  }
}

TestSite& Hospitals::operator[](const SiteId& name) {
  for (const auto& site : sites) {
    if (site->site == name) return *site;
  }
  throw std::runtime_error("no such hospital");
}

ModelId Hospitals::AddModel(const ModelState& model) {
  ModelId id;
  for (const auto& site : sites) id = site->coordinator.AddModel(model);
  return id;
}

secagg::SessionConfig SecureRound::Training(Hospitals& hospitals, const AttemptKey& key,
                                            const ModelId& base) {
  secagg::SessionConfig config = Common(hospitals);
  const ModelState model = SmallModel(0);
  config.key = {key, secagg::Purpose::kTraining};
  config.model = base;
  config.values = model.values().size();
  config.sums = wire::kUpdateSums;
  config.layout = crypto::Sha256(WriteSafetensorsHeader(model.layout()));
  config.clip_norm = kClip;
  config.total_weight = kWeight * config.cohort_size;
  config.weight_rule = "examples";
  return config;
}

secagg::SessionConfig SecureRound::Evaluation(Hospitals& hospitals, const secagg::SessionKey& key,
                                              const ModelId& model) {
  secagg::SessionConfig config = Common(hospitals);
  config.key = key;
  config.model = model;
  config.sums = metrics::EvaluationRingSize({});
  return config;
}

secagg::SessionConfig SecureRound::Description(Hospitals& hospitals, const RunId& run,
                                               const plan::Plan& plan) {
  secagg::SessionConfig config = Common(hospitals);
  config.key = {{run, 1, 1}, secagg::Purpose::kDescription};
  config.model = wire::QuestionOf(plan);
  config.sums = static_cast<std::uint32_t>(metrics::DescriptionSums());
  return config;
}

secagg::SessionConfig SecureRound::Preparation(Hospitals& hospitals, const RunId& run,
                                               const plan::Plan& plan, std::uint32_t attempt) {
  secagg::SessionConfig config = Common(hospitals);
  config.key = {{run, 1, attempt}, secagg::Purpose::kPreparation};
  config.model = wire::QuestionOf(plan);
  config.sums = static_cast<std::uint32_t>(metrics::PreparationRingSize(plan.table.Numbers()));
  return config;
}

SecureRound::SecureRound(Hospitals& hospitals, secagg::SessionConfig config)
    : session(std::move(config), hospitals.federation.SiteKeys()), hospitals_(hospitals) {}

wire::ToSite SecureRound::Request() const {
  const secagg::SessionConfig& config = session.config();
  const AttemptKey& key = config.key.attempt;
  if (config.key.purpose == secagg::Purpose::kDescription ||
      config.key.purpose == secagg::Purpose::kPreparation) {
    return wire::DescribeRequest{key.run, key.round, 60, config};
  }
  if (Training()) return wire::TrainRequest{key, config.model, 7, 60, config};
  const auto split = config.key.purpose == secagg::Purpose::kTest
                         ? wire::EvaluationSplit::kTest
                         : wire::EvaluationSplit::kValidation;
  return wire::EvaluateRequest{key.run, key.round, config.model, split, 60, config, last_published};
}

void SecureRound::Close(const std::string& without) {
  if (!without.empty()) session.Lose(SiteId(without));
  Require(session.CloseStep());
}

void SecureRound::Advertise(const std::string& without) {
  for (const auto& site : hospitals_.sites) {
    if (site->site.value == without) continue;
    Ask(*site);
    Require(session.Take(AnswerOf<secagg::Advertisement>(*site)));
  }
  Close(without);
}

wire::SecureNotice SecureRound::MembersNotice() const {
  return {session.config().key, wire::SecureNotice::Members{session.members()}};
}
wire::SecureNotice SecureRound::SharesNotice(const SiteId& site) const {
  return {session.config().key, wire::SecureNotice::Shares{session.SharesFor(site)}};
}
wire::SecureNotice SecureRound::SurvivorsNotice() const {
  return {session.config().key, wire::SecureNotice::Survivors{session.survivors()}};
}
wire::SecureNotice SecureRound::SignaturesNotice() const {
  return {session.config().key, wire::SecureNotice::Signatures{session.survivor_signatures()}};
}

void SecureRound::Share(const std::string& without) {
  for (const SiteId& site : session.Members()) {
    if (site.value == without) continue;
    hospitals_[site].coordinator.Send(MembersNotice());
    Require(session.Take(site, AnswerOf<std::vector<secagg::SealedShare>>(hospitals_[site])));
  }
  Close(without);
}

void SecureRound::Upload(const std::string& without) {
  values_.assign(session.config().values, 0);
  for (const SiteId& name : session.Members()) {
    if (name.value == without) continue;
    TestSite& site = hospitals_[name];
    site.coordinator.Send(SharesNotice(name));
    if (Training()) {
      site.coordinator.AwaitContribution(session.config().key.attempt);
      const auto received = *site.coordinator.Contribution(session.config().key.attempt);
      secagg::Add(values_, received.masked);
      masked_sums_[name] = received.header.masked_sums;
      Require(session.Take(name, received.header.proof));
    } else {
      const auto masked = AnswerOf<wire::MaskedSums>(site);
      masked_sums_[name] = masked.sums;
      Require(session.Take(
          name, secagg::UploadProof{crypto::Sha256(ToBytes(masked.sums)), masked.signature}));
    }
  }
  Close(without);
}

void SecureRound::Agree(const std::string& without) {
  for (const SiteId& site : session.survivors()) {
    if (site.value == without) continue;
    hospitals_[site].coordinator.Send(SurvivorsNotice());
    Require(session.Take(site, AnswerOf<crypto::Signature>(hospitals_[site])));
  }
  Close(without);
}

void SecureRound::Unmask(const std::string& without) {
  for (const SiteId& site : session.survivors()) {
    if (site.value == without) continue;
    hospitals_[site].coordinator.Send(SignaturesNotice());
    Require(session.Take(site, AnswerOf<secagg::UnmaskAnswer>(hospitals_[site])));
  }
}

void SecureRound::Run() {
  Advertise();
  Share();
  Upload();
  Agree();
  Unmask();
}

void SecureRound::Open() {
  if (std::exchange(opened_, true)) return;
  auto masks = session.Open();
  Require(masks.status());
  auto masker = secagg::Masker::Create(*masks, session.config().values);
  Require(masker.status());
  sums_.assign(session.config().sums, 0);
  for (const SiteId& site : session.survivors()) secagg::Add(sums_, masked_sums_.at(site));
  Require(masker->AddToValues(0, values_));
  Require(masker->AddToSums(0, sums_));
}

std::vector<double> SecureRound::Mean() {
  Open();
  const double share =
      kWeight * static_cast<double>(session.survivors().size()) / session.config().total_weight;
  std::vector<double> mean(values_.size());
  const auto quantizer = Quantizer::Create(kClip, session.config().cohort_size, 1);
  Require(quantizer.status());
  Dequantize(values_, quantizer->scale(), share, mean);
  return mean;
}

const std::vector<std::uint64_t>& SecureRound::Sums() {
  Open();
  return sums_;
}

}  // namespace consilium::site_agent
