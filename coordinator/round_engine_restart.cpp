// What survives a restart of the coordinator: the work under way, kept record by record and played
// back.

#include <algorithm>
#include <cmath>

#include "common/base/status.h"
#include "coordinator/round_engine.h"

namespace consilium::coordinator {
namespace {

using Step = secagg::CoordinatorSession::Step;

absl::Status DoesNotFit(std::string_view what) {
  return absl::DataLossError(StrCat("the record of the work under way does not fit: ", what));
}

}  // namespace

// ---- what is kept

void RoundEngine::KeepOpened() {
  WorkOpened opened;
  opened.key = {state_.run, state_.round, 0};
  if (work_) {
    opened.key = work_->key;
    opened.opened = work_->opened;
    opened.deadline = work_->deadline;
    opened.needed = static_cast<std::uint32_t>(work_->needed);
    opened.sessions = work_->sessions;
    for (const auto& [site, task] : work_->tasks) opened.weights[site] = task.weight;
    if (work_->secure) {
      opened.secure = work_->secure->session.config();
      for (const auto& [site, task] : work_->tasks) {
        opened.signing_keys[site] = roster_.sites.at(site);
      }
    }
  }
  Keep(std::move(opened));
  for (const auto& [site, reason] : left_out_) Keep(WorkLost{site, reason, true});
}

void RoundEngine::LeaveOut(const SiteId& site, const std::string& reason) {
  if (!left_out_.try_emplace(site, reason).second) return;
  Keep(WorkLost{site, reason, true});
}

// ---- a restart

AttemptKey RoundEngine::WorkKey() const {
  if (Evaluating()) {
    const bool final = state_.phase == Phase::kFinalEvaluation;
    return {state_.run, final ? state_.best_round : state_.round, 0};
  }
  return {state_.run, state_.round, state_.attempt};
}

// Before any site counts as connected, so that nothing is sent on the way.
void RoundEngine::GoOn(const std::vector<WorkRecord>& records) {
  const Closings closings = closings_;
  absl::Status restored = Restore(records);
  if (!restored.ok()) work_.reset();
  if (absl::IsDataLoss(restored)) {
    left_out_.clear();
    closings_ = closings;
  }
  if (restored.ok()) {
    // Time to come back, and no more than a new attempt has: the clock may have been set back.
    const Duration least = FromSeconds(plan_.cohort.absence_grace_s + plan_.cohort.silence_s);
    const Duration most = std::max(least, FromSeconds(plan_.cohort.round_deadline_s));
    work_->deadline = std::clamp(work_->deadline, now_ + least, now_ + most);
  }
  if (!Evaluating()) {
    GoOnWithAttempt(std::move(restored));
  } else if (restored.ok()) {
    if (!Masked()) AskForEvaluations();
    if (!work_->scales.empty()) MakePrepared();  // it comes out as before
  } else {
    const bool final = state_.phase == Phase::kFinalEvaluation;
    OpenEvaluation(WorkKey().round, final ? plan_.gate.minimum_sites : plan_.cohort.minimum_sites);
  }
}

void RoundEngine::GoOnWithAttempt(absl::Status restored) {
  const bool aggregating = state_.phase == Phase::kAggregating;
  if (aggregating) state_.phase = Phase::kTraining;
  if (restored.ok()) {
    std::set<SiteId> sites, held;
    double weight_unit = 0;
    for (const auto& [site, task] : work_->tasks) {
      sites.insert(site);
      if (task.state == TaskState::kDone) held.insert(site);
      weight_unit = std::max(weight_unit, task.weight);
    }
    const bool initial = state_.phase == Phase::kInitialModel;
    actions_.push_back(coordinator::OpenAttempt{work_->key, initial ? ModelId{} : *state_.base,
                                                sites, initial ? 1 : weight_unit, initial,
                                                !initial && Masked(), true, std::move(held)});
    for (const auto& [site, task] : work_->tasks) {
      if (task.state == TaskState::kLost) {
        actions_.push_back(DropContribution{site, work_->key});
      }
    }
    if (aggregating) AggregateAgain();
    return;
  }
  if (state_.phase == Phase::kTraining && state_.attempt > 0 && absl::IsDataLoss(restored)) {
    actions_.push_back(coordinator::AbandonAttempt{WorkKey()});
  }
  if (state_.phase == Phase::kTraining && state_.opening) {
    FailAttempt(
        "the coordinator was restarted while the sum was being opened, and what it kept is "
        "damaged",
        false);
  } else if (aggregating && !state_.stop_reason.empty()) {
    BeginFinalEvaluation();
  }
}

// The sum comes out as before: it is made of the same answers.
void RoundEngine::AggregateAgain() {
  if (work_->secure) {
    if (const absl::Status opened = OpenSession(); !opened.ok()) {
      FailAttempt(std::string(opened.message()), false);
      return;
    }
    work_->secure.reset();
  }
  CloseAttempt();
}

absl::Status RoundEngine::Restore(const std::vector<WorkRecord>& records) {
  const auto last_opened = std::find_if(records.rbegin(), records.rend(), [](const auto& record) {
    return std::holds_alternative<WorkOpened>(record);
  });
  if (last_opened == records.rend()) {
    if (records.empty()) return absl::NotFoundError("nothing was under way");
    return DoesNotFit("it has no beginning");
  }
  const WorkOpened& opened = std::get<WorkOpened>(*last_opened);
  const bool idle = opened.weights.empty() && !Evaluating();
  const AttemptKey key = WorkKey();
  if (opened.key.run != key.run || opened.key.round != key.round ||
      (!idle && opened.key.attempt != key.attempt)) {
    return absl::NotFoundError("nothing of this round was under way");
  }
  if (!idle) RETURN_IF_ERROR(Restore(opened));
  for (auto record = last_opened.base(); record != records.end(); ++record) {
    RETURN_IF_ERROR(std::visit([this](const auto& r) { return PlayBack(r); }, *record));
  }
  if (idle) return absl::NotFoundError("nothing was under way");
  return CheckRestored();
}

absl::Status RoundEngine::Restore(const WorkOpened& opened) {
  work_ = Work();
  work_->key = opened.key;
  work_->opened = opened.opened;
  work_->deadline = opened.deadline;
  work_->needed = opened.needed;
  work_->sessions = opened.sessions;
  for (const auto& [site, weight] : opened.weights) {
    if (!state_.participants.contains(site)) return DoesNotFit("it names a site of another run");
    if (!std::isfinite(weight) || weight < 0) return DoesNotFit("a weight is impossible");
    work_->tasks[site].weight = weight;
  }
  const bool attempt = !Evaluating();
  if (work_->needed < 1 || (attempt && work_->tasks.size() < work_->needed)) {
    return DoesNotFit("it has fewer sites than it needs");
  }
  if (state_.phase == Phase::kInitialModel) {
    return work_->tasks.size() == 1 && !opened.secure ? absl::OkStatus()
                                                      : DoesNotFit("one site makes the model");
  }
  if (!attempt && !state_.candidate) return DoesNotFit("there is no candidate");
  if (attempt && (!state_.base || work_->needed < plan_.cohort.minimum_sites)) {
    return DoesNotFit("it has no model, or needs too few sites");
  }
  if (opened.secure.has_value() != (Masked() && (attempt || !work_->tasks.empty()))) {
    return DoesNotFit("it is masked, and the plan is not, or the other way round");
  }
  if (!opened.secure) return absl::OkStatus();
  RETURN_IF_ERROR(CheckConfig(opened));
  work_->secure.emplace(Secure{secagg::CoordinatorSession(*opened.secure, opened.signing_keys)});
  BeginStep();
  return absl::OkStatus();
}

absl::Status RoundEngine::CheckConfig(const WorkOpened& opened) const {
  secagg::SessionConfig expected = Evaluating() ? EvaluationConfig() : TrainingConfig();
  expected.federation = opened.secure->federation;
  expected.roster = opened.secure->roster;
  if (expected != *opened.secure) return DoesNotFit("its session is another one");
  const bool same_sites = std::equal(
      opened.weights.begin(), opened.weights.end(), opened.signing_keys.begin(),
      opened.signing_keys.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (!same_sites || opened.weights.size() > secagg::kMostSites) {
    return DoesNotFit("its keys are not those of its sites");
  }
  return absl::OkStatus();
}

absl::Status RoundEngine::PlayBack(const WorkOpened&) {
  return DoesNotFit("it begins twice");  // the last one was looked for
}

absl::Status RoundEngine::PlayBack(const WorkAnswered& answered) {
  if (!work_ || !work_->secure) return DoesNotFit("an answer belongs to no session");
  const auto found = work_->tasks.find(answered.site);
  if (found == work_->tasks.end() || found->second.state == TaskState::kLost) {
    return DoesNotFit("an answer is of a site that is not in the session");
  }
  if (answered.answer.session != work_->secure->session.config().key) {
    return DoesNotFit("an answer is of another session");
  }
  found->second.sent = true;
  const absl::Status taken = TakeAnswer(answered.site, answered.answer);
  return taken.ok() ? absl::OkStatus() : DoesNotFit(ToStd(taken.message()));
}

absl::Status RoundEngine::PlayBack(const WorkUploaded& uploaded) {
  const ContributionComplete& contribution = uploaded.contribution;
  if (!work_ || Evaluating() || state_.phase == Phase::kInitialModel ||
      contribution.key != work_->key) {
    return DoesNotFit("an upload belongs to no attempt");
  }
  const auto found = work_->tasks.find(contribution.site);
  if (found == work_->tasks.end() || found->second.state != TaskState::kOpen ||
      found->second.weight != contribution.weight) {
    return DoesNotFit("an upload is of a site that is not in the attempt");
  }
  if (work_->secure) {
    const absl::Status taken = TakeUpload(contribution);
    if (!taken.ok()) return DoesNotFit(ToStd(taken.message()));
  }
  found->second.sent = true;
  found->second.state = TaskState::kDone;
  return absl::OkStatus();
}

absl::Status RoundEngine::PlayBack(const WorkLost& lost) {
  Task* task = nullptr;
  if (work_) {
    const auto found = work_->tasks.find(lost.site);
    if (found != work_->tasks.end()) task = &found->second;
  }
  if (lost.silent) {
    const bool first = task != nullptr && task->state == TaskState::kDone && work_->secure &&
                       work_->secure->silent.insert(lost.site).second;
    if (!first) {
      left_out_.try_emplace(lost.site, lost.reason);
    } else if (Opening()) {
      work_->secure->session.Lose(lost.site);
    }
    return absl::OkStatus();
  }
  // Who evaluates sealed results may have joined later, and is asked again anyway.
  if (work_ && Evaluating() && !work_->secure) return absl::OkStatus();
  if (task == nullptr || task->state == TaskState::kLost) {
    return DoesNotFit("a site is lost that is not there");
  }
  task->state = TaskState::kLost;
  task->reason = lost.reason;
  if (work_->secure) work_->secure->session.Lose(lost.site);
  if (!Evaluating()) CloseFor(lost.site, false, lost.reason);
  return absl::OkStatus();
}

absl::Status RoundEngine::PlayBack(const WorkStepClosed& closed) {
  if (!work_ || !work_->secure) return DoesNotFit("a step belongs to no session");
  secagg::CoordinatorSession& session = work_->secure->session;
  if (static_cast<std::uint32_t>(session.step()) != closed.step) {
    return DoesNotFit("a step is closed out of order");
  }
  if (Preparing() && session.step() == Step::kUnmasking) {
    absl::Status opened = OpenSession();
    if (opened.ok()) opened = OpenScales();
    if (!opened.ok()) return DoesNotFit(ToStd(opened.message()));
    work_->secure.reset();
    return absl::OkStatus();
  }
  if (const absl::Status status = session.CloseStep(); !status.ok()) {
    return DoesNotFit(ToStd(status.message()));
  }
  BeginStep();
  return absl::OkStatus();
}

absl::Status RoundEngine::CheckRestored() const {
  const bool unmasking = !work_->scales.empty() ||
                         (work_->secure && work_->secure->session.step() == Step::kUnmasking);
  if (unmasking != state_.opening) {
    return DoesNotFit("it does not say whether the sum is being opened");
  }
  if (state_.phase != Phase::kAggregating) return absl::OkStatus();
  const bool whole = Count(TaskState::kOpen) == 0 && Count(TaskState::kDone) >= work_->needed;
  if (!whole || (Masked() && !work_->secure->session.EnoughAnswers())) {
    return DoesNotFit("what was being aggregated is not whole");
  }
  return absl::OkStatus();
}

}  // namespace consilium::coordinator
