// Sessions of secure aggregation: an attempt's masked updates and the masked sums of an evaluation.

#include <algorithm>

#include "common/base/fixed_point.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/quantizer.h"
#include "coordinator/round_engine.h"

namespace consilium::coordinator {
namespace {

using secagg::CoordinatorSession;
using Step = CoordinatorSession::Step;
using wire::RunEventKind;
using wire::SecureNotice;

constexpr Duration kForMoreSigners = std::chrono::seconds(5);
constexpr std::uint32_t kSessionsOfAnEvaluation = 3;

std::string_view StepName(Step step) {
  switch (step) {
    case Step::kAdvertising:
      return "advertise";
    case Step::kSharing:
      return "share";
    case Step::kUploading:
      return "upload";
    case Step::kAgreeing:
      return "agree";
    case Step::kUnmasking:
    case Step::kOpened:
      break;
  }
  return "unmask";
}

std::size_t AnsweredMembers(const CoordinatorSession& session) {
  return session.Members().size() - session.Awaited().size();
}

// As UploadProof::sha256 counts them.
Digest HashOfSums(const std::vector<std::uint64_t>& sums) {
  Bytes bytes(sums.size() * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < sums.size(); ++i) {
    StoreLe64(bytes.data() + i * sizeof(std::uint64_t), sums[i]);
  }
  return crypto::Sha256(bytes);
}

SecureNotice NoticeFor(const CoordinatorSession& session, const SiteId& site) {
  const secagg::SessionKey& key = session.config().key;
  switch (session.step()) {
    case Step::kSharing:
      return {key, SecureNotice::Members{session.members()}};
    case Step::kUploading:
      return {key, SecureNotice::Shares{session.SharesFor(site)}};
    case Step::kAgreeing:
      return {key, SecureNotice::Survivors{session.survivors()}};
    default:
      return {key, SecureNotice::Signatures{session.survivor_signatures()}};
  }
}

}  // namespace

// ---- who takes part

std::set<SiteId> RoundEngine::Enlisted() const {
  std::set<SiteId> sites;
  for (const bool connected : {true, false}) {
    for (const SiteId& site : Eligible()) {
      if (Connected(site) != connected) continue;
      if (const auto until = AbsentUntil(site); until && now_ >= *until) continue;
      if (Masked() && sites.size() == secagg::kMostSites) break;
      sites.insert(site);
    }
  }
  return sites;
}

std::uint32_t RoundEngine::ThresholdOf(std::size_t cohort) const {
  return std::max(plan_.secure_aggregation.threshold,
                  secagg::Threshold(static_cast<std::uint32_t>(cohort)));
}

// Of `cohort` sites, that must deliver.
std::size_t RoundEngine::Needed(std::size_t cohort, std::size_t minimum) const {
  if (!Masked()) return minimum;
  return std::max<std::size_t>({minimum, secagg::kFewestSites, ThresholdOf(cohort)});
}

std::size_t RoundEngine::MinimumSites() const { return Needed(0, plan_.cohort.minimum_sites); }

// ---- a session begins

secagg::SessionConfig RoundEngine::TrainingConfig() const {
  secagg::SessionConfig config;
  config.federation = roster_.federation;
  config.key = {work_->key, secagg::Purpose::kTraining};
  config.model = *state_.base;
  config.roster = roster_.hash;
  config.cohort_size = static_cast<std::uint32_t>(work_->tasks.size());
  config.threshold = ThresholdOf(work_->tasks.size());
  config.values = state_.parameters - state_.frozen;
  config.sums = wire::kUpdateSums;
  config.layout = state_.layout;
  config.clip_norm = plan_.secure_aggregation.clip_norm;
  for (const auto& [site, task] : work_->tasks) config.total_weight += task.weight;
  config.weight_rule = plan::Name(plan_.aggregation.weight);
  return config;
}

secagg::SessionConfig RoundEngine::EvaluationConfig() const {
  secagg::SessionConfig config;
  config.federation = roster_.federation;
  const bool test = Split() == wire::EvaluationSplit::kTest;
  config.key = {{state_.run, work_->key.round, state_.evaluation_attempt},
                Describing()  ? secagg::Purpose::kDescription
                : Preparing() ? secagg::Purpose::kPreparation
                : test        ? secagg::Purpose::kTest
                              : secagg::Purpose::kValidation};
  config.model = *state_.candidate;
  config.roster = roster_.hash;
  config.cohort_size = static_cast<std::uint32_t>(work_->tasks.size());
  config.threshold = ThresholdOf(work_->tasks.size());
  config.sums =
      Describing() ? static_cast<std::uint32_t>(metrics::DescriptionSums())
      : Preparing()
          ? static_cast<std::uint32_t>(metrics::PreparationRingSize(plan_.table.Numbers()))
          : metrics::EvaluationRingSize(plan_.target.Shape());
  return config;
}

void RoundEngine::BeginSession(secagg::SessionConfig config) {
  std::map<SiteId, crypto::Ed25519PublicKey> keys;
  for (const auto& [site, task] : work_->tasks) keys.emplace(site, roster_.sites.at(site));
  work_->secure.emplace(Secure{CoordinatorSession(std::move(config), std::move(keys))});
  BeginStep();
}

bool RoundEngine::SettleSecureEvaluation() {
  if (work_->secure) return SettleSecure();
  if (!work_->scales.empty()) return false;  // the model is being made
  const std::set<SiteId> enlisted = Enlisted();
  const std::size_t needed = Needed(enlisted.size(), EvaluationMinimum());
  if (work_->failure.empty() && now_ < work_->deadline && EligibleAndConnected() >= needed) {
    OpenEvaluationSession();
    return true;
  }
  const bool stopping = state_.phase == Phase::kEvaluating && !state_.stop_reason.empty();
  const bool never =
      Accepted().size() < Needed(0, EvaluationMinimum()) || (stopping && enlisted.size() < needed);
  if (work_->failure.empty() && (never || now_ >= work_->deadline)) {
    work_->failure = StrCat("only ", EligibleAndConnected(), " of the ", needed,
                            Describing()  ? " sites that are needed could describe their images"
                            : Preparing() ? " sites that are needed could prepare their tables"
                                          : " sites that are needed could evaluate the candidate");
  }
  if (work_->failure.empty()) return false;
  FinishEvaluation();
  return true;
}

void RoundEngine::OpenEvaluationSession() {
  ++state_.evaluation_attempt;
  ++work_->sessions;
  work_->tasks.clear();
  for (const SiteId& site : Enlisted()) work_->tasks[site];
  work_->needed = Needed(work_->tasks.size(), EvaluationMinimum());
  BeginSession(EvaluationConfig());
  KeepOpened();
  for (auto& [site, task] : work_->tasks) SendTask(site, task);
}

// ---- its steps

bool RoundEngine::Opening() const {
  return work_ && work_->secure && work_->secure->session.step() >= Step::kAgreeing;
}

Time RoundEngine::StepDeadline() const {
  if (!Opening()) return work_->deadline;
  return std::max(work_->deadline, work_->secure->begun + FromSeconds(plan_.cohort.silence_s));
}

void RoundEngine::BeginStep() {
  Secure& secure = *work_->secure;
  if (Opening()) {
    for (const SiteId& site : secure.silent) secure.session.Lose(site);
  }
  const std::set<SiteId> members = secure.session.Members();
  secure.asked = members.size();
  secure.begun = now_;
  secure.enough_since.reset();
  for (const SiteId& site : members) SendNotice(site);
}

// To advertise the task itself says everything.
void RoundEngine::SendNotice(const SiteId& site) {
  if (!Connected(site)) return;
  SignOfLife(site);  // from now on it has its time
  const CoordinatorSession& session = work_->secure->session;
  if (session.step() != Step::kAdvertising) SendTo(site, NoticeFor(session, site));
}

// What a site that has connected again may not have heard.
void RoundEngine::ResumeSession(const SiteId& site) {
  const auto found = work_->tasks.find(site);
  if (found == work_->tasks.end() || found->second.state == TaskState::kLost) return;
  const CoordinatorSession& session = work_->secure->session;
  if (!session.Members().contains(site)) return;
  const bool answered = session.Answered(site);
  if (found->second.state == TaskState::kOpen || !answered) SendTask(site, found->second);
  if (!answered) SendNotice(site);
}

bool RoundEngine::SettleSecure() {
  LoseAbsent();
  LeaveLate();
  Secure& secure = *work_->secure;
  const CoordinatorSession& session = secure.session;
  const std::size_t usable = Count(TaskState::kDone) + Count(TaskState::kOpen);
  if (usable < work_->needed) {
    FailSession(StrCat(usable, " of ", work_->tasks.size(), " sites can still deliver, and ",
                       work_->needed, " are needed"));
    return true;
  }
  const std::uint32_t threshold = session.config().threshold;
  if (session.step() == Step::kAgreeing) {
    if (session.Members().size() < threshold) {
      FailSession(StrCat("only ", session.Members().size(),
                         " sites can still agree on who "
                         "delivered, and ",
                         threshold, " are needed"));
      return true;
    }
    if (AnsweredMembers(session) < threshold) {
      secure.enough_since.reset();  // one that had signed is out
    } else if (!secure.enough_since) {
      secure.enough_since = now_;
    }
  }
  if (!EnoughToCloseStep()) return false;
  CloseStep();
  return true;
}

bool RoundEngine::EnoughToCloseStep() const {
  const Secure& secure = *work_->secure;
  const std::set<SiteId> awaited = secure.session.Awaited();
  if (awaited.empty()) return true;
  if (secure.session.step() == Step::kUnmasking) {
    return secure.session.EnoughAnswers() && AnsweredMembers(secure.session) > secure.opened_with;
  }
  if (secure.session.step() != Step::kAgreeing || !secure.enough_since) return false;
  // Only who signs can be asked to unmask, and there nobody may fail: the more the better.
  return now_ >= *secure.enough_since + kForMoreSigners ||
         std::none_of(awaited.begin(), awaited.end(),
                      [this](const SiteId& site) { return Connected(site); });
}

void RoundEngine::LeaveLate() {
  if (!Opening() || now_ < StepDeadline()) return;
  const CoordinatorSession& session = work_->secure->session;
  for (const SiteId& site : session.Awaited()) {
    Leave(site, Connected(site) ? StrCat("it did not answer the step \"", StepName(session.step()),
                                         "\" by the deadline")
                                : "its connection was lost and did not come back in time");
  }
}

// When a session's step may be closed, or the next session begun, without anything happening.
std::optional<Time> RoundEngine::SessionWake() const {
  std::optional<Time> next;
  const auto at = [&](std::optional<Time> time) {
    if (time && *time > now_ && (!next || *time < *next)) next = time;
  };
  if (work_ && work_->secure) {
    const Secure& secure = *work_->secure;
    for (const SiteId& site : secure.session.Awaited()) at(GivenUpAt(site));
    if (secure.enough_since) at(*secure.enough_since + kForMoreSigners);
    at(StepDeadline());
  } else if (Masked() && (Evaluating() || (state_.phase == Phase::kTraining && !work_))) {
    // The cohort that is waited for gets smaller with each site that stays away.
    for (const SiteId& site : Accepted()) at(AbsentUntil(site));
  }
  return next;
}

void RoundEngine::CloseStep() {
  CoordinatorSession& session = work_->secure->session;
  if (session.step() == Step::kUnmasking) {
    OpenSums();
    return;
  }
  const Step step = session.step();
  const std::size_t answered = AnsweredMembers(session);
  if (const absl::Status closed = session.CloseStep(); !closed.ok()) {
    FailSession(std::string(closed.message()));
    return;
  }
  Keep(WorkStepClosed{static_cast<std::uint32_t>(step)});
  NoteStep(StepName(step), answered, {});
  if (session.step() == Step::kUnmasking) state_.opening = true;
  BeginStep();
}

void RoundEngine::NoteStep(std::string_view step, std::size_t answered,
                           std::map<std::string, double> values) {
  const Secure& secure = *work_->secure;
  values["sites"] = static_cast<double>(answered);
  values["asked"] = static_cast<double>(secure.asked);
  values["threshold"] = secure.session.config().threshold;
  values["seconds"] = Seconds(now_ - secure.begun);
  values["evaluation"] = Evaluating() ? 1 : 0;
  if (Describing()) values["description"] = 1;
  if (Preparing()) values["preparation"] = 1;
  Note(RunEventKind::kSecureStep, std::string(step), std::move(values));
}

void RoundEngine::FailSession(const std::string& reason) {
  if (!Evaluating()) {
    FailAttempt(reason);
    return;
  }
  Note(RunEventKind::kRoundFailed,
       StrCat(Describing() ? "the description: " : "the evaluation: ", reason));
  const bool again =
      !state_.opening && work_->sessions < kSessionsOfAnEvaluation && now_ < work_->deadline;
  if (!again) work_->failure = StrCat("the sites' results could not be added up: ", reason);
  work_->secure.reset();
  work_->tasks.clear();
  if (again) KeepOpened();
}

// ---- what the sites answer

void RoundEngine::Handle(const SecureAnswered& event) {
  if (!work_ || !work_->secure) return;
  if (event.answer.session != work_->secure->session.config().key) return;
  const auto found = work_->tasks.find(event.site);
  if (found == work_->tasks.end() || !found->second.sent) return;
  if (found->second.state == TaskState::kLost || work_->secure->silent.contains(event.site)) return;
  SignOfLife(event.site);
  const CoordinatorSession& session = work_->secure->session;
  const bool had_answered = session.Answered(event.site);
  const absl::Status taken = TakeAnswer(event.site, event.answer);
  if (!had_answered && session.Answered(event.site)) {
    Keep(WorkAnswered{event.site, event.answer});
  }
  // Too early or too late is no fault of the site's.
  if (taken.ok() || absl::IsFailedPrecondition(taken)) return;
  const std::string reason = StrCat("its answer was refused: ", ToStd(taken.message()));
  Leave(event.site, reason);
  LeaveOut(event.site, reason);
}

absl::Status RoundEngine::TakeAnswer(const SiteId& site, const wire::SecureAnswer& answer) {
  CoordinatorSession& session = work_->secure->session;
  if (const auto* own = std::get_if<secagg::Advertisement>(&answer.answer)) {
    if (own->site != site) {
      return absl::InvalidArgumentError(
          StrCat("it sent an advertisement of site \"", own->site.value, "\""));
    }
    return session.Take(*own);
  }
  if (const auto* shares = std::get_if<std::vector<secagg::SealedShare>>(&answer.answer)) {
    return session.Take(site, *shares);
  }
  if (const auto* sums = std::get_if<wire::MaskedSums>(&answer.answer)) {
    return TakeSums(site, *sums);
  }
  if (const auto* signature = std::get_if<crypto::Signature>(&answer.answer)) {
    return session.Take(site, *signature);
  }
  return session.Take(site, std::get<secagg::UnmaskAnswer>(answer.answer));
}

absl::Status RoundEngine::TakeSums(const SiteId& site, const wire::MaskedSums& sums) {
  Secure& secure = *work_->secure;
  if (!Evaluating()) return absl::InvalidArgumentError("an update is not sent as sums");
  if (sums.sums.size() != secure.session.config().sums) {
    return absl::InvalidArgumentError(StrCat("it sent ", sums.sums.size(), " sums, and ",
                                             secure.session.config().sums, " were asked for"));
  }
  const secagg::UploadProof proof{HashOfSums(sums.sums), sums.signature};
  RETURN_IF_ERROR(secure.session.Take(site, proof));
  secure.masked_sums.try_emplace(site, sums.sums);
  work_->tasks.at(site).state = TaskState::kDone;
  return absl::OkStatus();
}

absl::Status RoundEngine::TakeUpload(const ContributionComplete& event) {
  Secure& secure = *work_->secure;
  if (event.masked_sums.size() != secure.session.config().sums) {
    return absl::InvalidArgumentError(StrCat("it came with ", event.masked_sums.size(),
                                             " masked sums instead of ",
                                             secure.session.config().sums));
  }
  RETURN_IF_ERROR(secure.session.Take(event.site, event.proof));
  secure.masked_sums[event.site] = event.masked_sums;
  return absl::OkStatus();
}

// ---- the sum is opened

absl::Status RoundEngine::OpenSession() {
  ASSIGN_OR_RETURN(std::vector<secagg::Mask> masks, work_->secure->session.Open());
  ASSIGN_OR_RETURN(work_->sum, TakeMasksOut(std::move(masks)));
  return absl::OkStatus();
}

void RoundEngine::OpenSums() {
  Secure& secure = *work_->secure;
  const CoordinatorSession& session = secure.session;
  const std::size_t answered = AnsweredMembers(session);
  if (const absl::Status opened = OpenSession(); !opened.ok()) {
    if (absl::IsDataLoss(opened) && !session.Awaited().empty()) {
      secure.opened_with = answered;  // some shares are wrong: more of them may help
      return;
    }
    for (const SiteId& site : session.Suspects()) {
      left_out_.try_emplace(site, "the shares that it gave were wrong");
    }
    FailSession(std::string(opened.message()));
    return;
  }
  const std::size_t survivors = session.survivors().size();
  NoteStep(StepName(Step::kUnmasking), answered,
           {{"survivors", survivors},
            {"recovered", session.sharers().size() - survivors},
            {"wrong_shares", session.Suspects().size()}});
  work_->secure.reset();
  if (Describing()) {
    TakePooledDescription();
  } else if (Preparing()) {
    TakePooledPreparation();
  } else if (Evaluating()) {
    TakePooledEvaluation();
  } else {
    CloseAttempt();
  }
}

absl::StatusOr<RoundEngine::OpenedSum> RoundEngine::TakeMasksOut(
    std::vector<secagg::Mask> masks) const {
  const Secure& secure = *work_->secure;
  const secagg::SessionConfig& config = secure.session.config();
  OpenedSum opened{secure.session.sharers(),
                   secure.session.survivors(),
                   secure.session.transcript(),
                   config.threshold,
                   std::vector<std::uint64_t>(config.sums),
                   nullptr};
  double weight = 0;
  for (const SiteId& site : opened.survivors) {
    secagg::Add(opened.sums, secure.masked_sums.at(site));
    weight += work_->tasks.at(site).weight;
  }
  ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(masks, config.values));
  RETURN_IF_ERROR(masker.AddToSums(0, opened.sums));
  if (config.key.purpose == secagg::Purpose::kTraining) {
    ASSIGN_OR_RETURN(const Quantizer quantizer,
                     Quantizer::Create(config.clip_norm, config.cohort_size, 1));
    const double share = std::min(1.0, weight / config.total_weight);
    opened.unmasking =
        std::make_shared<const Unmasking>(Unmasking{std::move(masks), quantizer.scale(), share});
  }
  return opened;
}

// Of the survivors together; nothing is known of one.
std::map<std::string, double> RoundEngine::MeansOfSums() const {
  if (!work_->sum) return {};
  const OpenedSum& opened = *work_->sum;
  // Each site gave its numbers times its share of the cohort's weight.
  const double share = opened.unmasking->survivors_share;
  return {{"loss", FromFixedPoint(opened.sums[0]) / share},
          {"train_seconds", FromFixedPoint(opened.sums[1]) / share}};
}

void RoundEngine::TakePooledEvaluation() {
  const OpenedSum& opened = *work_->sum;
  absl::StatusOr<metrics::EvaluationSums> sums =
      metrics::FromRing(opened.sums, plan_.target.Shape(), opened.survivors.size());
  if (sums.ok()) {
    actions_.push_back(StorePooledEvaluation{
        state_.run, {work_->key.round, *state_.candidate, Split(), opened.survivors, *sums}});
    work_->pooled = *std::move(sums);
  } else {
    work_->failure = StrCat("what the sites' results add up to is impossible, so one of them sent ",
                            "nonsense: ", ToStd(sums.status().message()));
  }
  FinishEvaluation();
}

// Only what may be shown goes on from here.
void RoundEngine::TakePooledDescription() {
  OpenedSum& opened = *work_->sum;
  const std::string& target = plan_.target.name;
  const auto description = metrics::DescriptionFromRing(opened.sums, !target.empty());
  opened.sums.clear();
  if (description.ok()) {
    work_->described = metrics::Suppress(*description, target, plan_.describe->smallest_count);
    actions_.push_back(StoreDescription{state_.run, opened.survivors, *work_->described});
  } else {
    work_->failure = StrCat("what the sites' counts add up to is impossible, so one of them sent ",
                            "nonsense: ", ToStd(description.status().message()));
  }
  FinishEvaluation();
}

}  // namespace consilium::coordinator
