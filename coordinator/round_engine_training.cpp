// The first model and the training attempts.

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "coordinator/round_engine.h"

namespace consilium::coordinator {
namespace {

using wire::RunEventKind;

constexpr std::uint32_t kAttemptsOfARound = 3;
constexpr Duration kAggregateRetry = std::chrono::seconds(30);

std::uint64_t RoundSeed(std::uint64_t plan_seed, std::uint32_t round) {
  return SeededRandom(plan_seed, StrCat("round ", round))();
}

std::string_view UnitOf(plan::WeightRule rule) {
  switch (rule) {
    case plan::WeightRule::kExamples:
      return " examples it enlisted with";
    case plan::WeightRule::kPatients:
      return " patients it enlisted with";
    case plan::WeightRule::kEqual:
      return " that every site has under this plan";
  }
  return "";
}

}  // namespace

// ---- the first model

bool RoundEngine::SettleInitialModel() {
  if (!work_) {
    AskNextForInitialModel();
    return work_.has_value() || ended();
  }
  LoseAbsent();
  if (Count(TaskState::kOpen) > 0) return false;
  // A site that only went away may be asked again when it is back; one that failed may not.
  const auto& [site, task] = *work_->tasks.begin();
  if (Connected(site) || now_ >= work_->deadline) tried_.insert(site);
  Note(RunEventKind::kRoundFailed, StrCat("no first model from ", site.value, ": ", task.reason));
  actions_.push_back(coordinator::AbandonAttempt{work_->key});
  work_.reset();
  KeepOpened();
  return true;
}

void RoundEngine::AskNextForInitialModel() {
  const std::vector<SiteId> accepted = Accepted();
  const auto can_be_asked = [this](const SiteId& site) { return !tried_.contains(site); };
  if (std::none_of(accepted.begin(), accepted.end(), can_be_asked)) {
    End(true, "no site could make the first model: each that accepted the plan was asked");
    return;
  }
  const auto next = std::find_if(accepted.begin(), accepted.end(), [&](const SiteId& site) {
    return can_be_asked(site) && Connected(site);
  });
  if (next == accepted.end()) return;
  BeginWork({state_.run, 0, ++state_.attempt}, 1);
  Task& task = work_->tasks[*next];
  KeepOpened();
  actions_.push_back(coordinator::OpenAttempt{work_->key, ModelId{}, {*next}, 1, true});
  Note(RunEventKind::kRoundOpened, {}, {{"sites", 1}});
  SendTask(*next, task);
}

void RoundEngine::Handle(const InitialModelReady& event) {
  if (state_.phase != Phase::kInitialModel || !work_ || work_->key != event.key) return;
  auto& [site, task] = *work_->tasks.begin();
  task.state = TaskState::kDone;
  state_.base = event.model;
  state_.parameters = event.parameters;
  state_.layout = event.layout;
  CloseFor(site, true, {});
  Note(RunEventKind::kAggregated, event.model.Hex(),
       {{"contributions", 1}, {"seconds", Seconds(now_ - work_->opened)}});
  if (NeedsPreparation()) {
    BeginPreparation();
  } else {
    OpenRound(1);
  }
}

// ---- attempts

void RoundEngine::OpenRound(std::uint32_t round) {
  CONSILIUM_CHECK(state_.base.has_value());
  state_.phase = Phase::kTraining;
  state_.round = round;
  state_.attempt = 0;
  state_.failed_attempts = 0;
  state_.opening = false;
  work_.reset();
  left_out_.clear();
}

void RoundEngine::BeginNextRoundFromSameBase() {
  const std::uint32_t failed = state_.failed_attempts;
  auto left_out = std::exchange(left_out_, {});
  OpenRound(state_.round + 1);
  state_.failed_attempts = failed;
  left_out_ = std::move(left_out);
}

bool RoundEngine::SettleTraining() {
  if (!work_) {
    if (EndIfTooManyDeclined()) return true;
    if (EligibleAndConnected() < Needed(Enlisted().size(), plan_.cohort.minimum_sites))
      return false;
    OpenAttempt();
    return true;
  }
  if (work_->secure) return SettleSecure();
  LoseAbsent();
  const std::size_t done = Count(TaskState::kDone), open = Count(TaskState::kOpen);
  if (done + open < work_->needed) {
    FailAttempt(StrCat(done + open, " of ", work_->tasks.size(), " sites can still deliver, and ",
                       work_->needed, " are needed"));
    return true;
  }
  if (open > 0) return false;
  CloseAttempt();
  return true;
}

void RoundEngine::OpenAttempt() {
  if (Masked() && state_.parameters == 0) {
    End(true,
        StrCat("the size of model ", state_.base->Short(), ", which training begins from, is ",
               "not known: its file is missing or cannot be read"));
    return;
  }
  // A site that went away a moment ago is enlisted too, and asked when it is back in its grace.
  const std::set<SiteId> sites = Enlisted();
  BeginWork({state_.run, state_.round, ++state_.attempt},
            Needed(sites.size(), plan_.cohort.minimum_sites));
  state_.opening = false;
  double weight_unit = 0;
  for (const SiteId& site : sites) {
    const double weight = Weight(site, state_.participants.at(site));
    work_->tasks[site].weight = weight;
    weight_unit = std::max(weight_unit, weight);
  }
  CONSILIUM_CHECK(sites.size() >= work_->needed);
  std::map<std::string, double> values = {{"sites", sites.size()}};
  if (state_.parameters > 0) values["parameters"] = static_cast<double>(state_.parameters);
  if (state_.frozen > 0) {
    values["travelling"] = static_cast<double>(state_.parameters - state_.frozen);
  }
  actions_.push_back(
      coordinator::OpenAttempt{work_->key, *state_.base, sites, weight_unit, false, Masked()});
  Note(RunEventKind::kRoundOpened, {}, std::move(values));
  if (Masked()) BeginSession(TrainingConfig());
  KeepOpened();
  for (auto& [site, task] : work_->tasks) SendTask(site, task);
}

void RoundEngine::SendTask(const SiteId& site, Task& task) {
  if (!Connected(site)) return;
  SignOfLife(site);  // from now on it has its time
  const double seconds_left = std::max(0.0, Seconds(StepDeadline() - now_));
  const bool first_time = !std::exchange(task.sent, true);
  if (first_time) Note(RunEventKind::kTaskSent, {}, {}, site);
  std::optional<secagg::SessionConfig> secure;
  if (work_->secure) secure = work_->secure->session.config();
  if (state_.phase == Phase::kInitialModel) {
    SendTo(site, wire::MakeInitialModel{work_->key});
  } else if (state_.phase == Phase::kTraining) {
    SendTo(site, wire::TrainRequest{work_->key, *state_.base, RoundSeed(plan_.seed, state_.round),
                                    seconds_left, std::move(secure)});
  } else if (Describing() || Preparing()) {
    SendTo(site, wire::DescribeRequest{state_.run, work_->key.round, seconds_left, *secure});
  } else {
    std::optional<ModelId> last_published;
    if (secure && Split() == wire::EvaluationSplit::kTest && plan_.gate.maximum_site_drop) {
      last_published = last_published_.model;
    }
    SendTo(site, wire::EvaluateRequest{state_.run, work_->key.round, *state_.candidate, Split(),
                                       seconds_left, std::move(secure), last_published});
  }
}

bool RoundEngine::TakesWeight(const SiteId& site, Task& task, double weight) {
  if (weight == task.weight) return true;
  Lose(site, task,
       absl::StrFormat("weight %.15g differs from the %.15g", weight, task.weight)
           .append(UnitOf(plan_.aggregation.weight)));
  return false;
}

void RoundEngine::Handle(const ContributionStarted& event) {
  if (state_.phase != Phase::kTraining) return;
  Task* task = OpenTask(event.site, event.key);
  if (task == nullptr) return;
  SignOfLife(event.site);
  TakesWeight(event.site, *task, event.weight);
}

void RoundEngine::Handle(const SiteTrained& event) {
  if (state_.phase != Phase::kTraining) return;
  Task* task = OpenTask(event.site, event.trained.key);
  if (task == nullptr) return;
  SignOfLife(event.site);
  if (std::exchange(task->trained, true)) return;
  const wire::Trained& trained = event.trained;
  Note(RunEventKind::kTrained, {},
       {{"patients", static_cast<double>(trained.patients)},
        {"examples", static_cast<double>(trained.examples)},
        {"seconds", trained.seconds},
        {"before", trained.before ? 1 : 0}},
       event.site);
}

void RoundEngine::Handle(const ContributionComplete& event) {
  if (state_.phase != Phase::kTraining) return;
  Task* task = OpenTask(event.site, event.key);
  if (task == nullptr) return;
  SignOfLife(event.site);
  if (!TakesWeight(event.site, *task, event.weight)) return;
  if (work_->secure) {
    if (const absl::Status taken = TakeUpload(event); !taken.ok()) {
      Lose(event.site, *task, StrCat("its update was refused: ", ToStd(taken.message())));
      if (!absl::IsFailedPrecondition(taken)) LeaveOut(event.site, task->reason);
      return;
    }
  }
  task->state = TaskState::kDone;
  Keep(WorkUploaded{event});
  std::map<std::string, double> values = {{"upload_seconds", event.upload_seconds},
                                          {"bytes", static_cast<double>(event.bytes)},
                                          {"weight", event.weight}};
  if (!work_->secure) {
    values["train_seconds"] = event.train_seconds;
    if (std::isfinite(event.loss)) values["loss"] = event.loss;
  }
  Note(RunEventKind::kUpdateReceived, {}, std::move(values), event.site);
}

void RoundEngine::Handle(const ContributionRefused& event) {
  if (Evaluating()) return;
  Task* task = OpenTask(event.site, event.key);
  if (task == nullptr) return;
  Lose(event.site, *task, event.reason);
  if (state_.phase == Phase::kTraining) LeaveOut(event.site, event.reason);
}

void RoundEngine::CloseAttempt() {
  std::set<SiteId> counted;
  for (const auto& [site, task] : work_->tasks) {
    CONSILIUM_CHECK(task.state != TaskState::kOpen);
    if (task.state == TaskState::kDone) counted.insert(site);
  }
  CONSILIUM_CHECK(counted.size() >= plan_.cohort.minimum_sites);
  state_.phase = Phase::kAggregating;
  std::shared_ptr<const Unmasking> unmasking;
  if (work_->sum) unmasking = work_->sum->unmasking;
  actions_.push_back(Aggregate{work_->key, std::move(counted), std::move(unmasking)});
}

void RoundEngine::FailAttempt(const std::string& reason, bool counted) {
  const bool spent = state_.opening;
  AbandonAttempt(reason);
  Note(RunEventKind::kRoundFailed,
       spent ? StrCat(reason, "; the sites open one sum of a round, so the next round begins from ",
                      "the same model")
             : reason);
  if (counted) ++state_.failed_attempts;
  if (state_.failed_attempts >= kAttemptsOfARound) {
    End(true,
        spent ? StrCat(kAttemptsOfARound, " attempts failed one after another, the last in round ",
                       state_.round, " because ", reason)
              : StrCat("round ", state_.round, " failed ", kAttemptsOfARound,
                       " times, the last time because ", reason));
    return;
  }
  if (spent) BeginNextRoundFromSameBase();
  KeepOpened();
}

void RoundEngine::AbandonAttempt(const std::string& reason) {
  state_.opening = false;
  if (!work_) return;
  actions_.push_back(coordinator::AbandonAttempt{work_->key});
  for (auto& [site, task] : work_->tasks) {
    if (task.state != TaskState::kLost)
      CloseFor(site, false, StrCat("the attempt was given up: ", reason));
  }
  work_.reset();
  aggregate_again_.reset();
}

// Said at once, and again when the site comes back: until it hears this it keeps its update.
void RoundEngine::CloseFor(const SiteId& site, bool counted, const std::string& reason) {
  const wire::AttemptClosed closed{work_->key, counted, reason};
  closings_.Add(site, closed);
  SendTo(site, closed);
}

void RoundEngine::Handle(const AggregateReady& event) {
  if (state_.phase != Phase::kAggregating || work_->key != event.key || aggregate_again_) return;
  const std::size_t counted = Count(TaskState::kDone);
  for (const auto& [site, task] : work_->tasks) {
    if (task.state == TaskState::kDone) CloseFor(site, true, {});
  }
  std::map<std::string, double> values = MeansOfSums();
  values["contributions"] = static_cast<double>(counted);
  values["seconds"] = event.seconds;
  Note(RunEventKind::kAggregated, event.candidate.Hex(), std::move(values));
  AuditAggregate(event.candidate);
  state_.opening = false;
  state_.phase = Phase::kEvaluating;
  state_.candidate = event.candidate;
  state_.evaluations.clear();
  OpenEvaluation(state_.round, plan_.cohort.minimum_sites);
}

void RoundEngine::Handle(const ContributionsMissing& event) {
  const bool open = state_.phase == Phase::kTraining || state_.phase == Phase::kAggregating;
  if (!open || !work_ || work_->key != event.key) return;
  std::string sites;
  for (const SiteId& site : event.sites) StrAppend(&sites, sites.empty() ? "" : ", ", site.value);
  const std::string reason = StrCat("the coordinator's disk lost what it had received of ", sites);
  if (!state_.stop_reason.empty()) {
    AbandonAttempt(reason);
    BeginFinalEvaluation();
    return;
  }
  state_.phase = Phase::kTraining;
  FailAttempt(reason, false);
}

void RoundEngine::Handle(const AggregateFailed& event) {
  if (state_.phase != Phase::kAggregating || work_->key != event.key || aggregate_again_) return;
  if (!state_.stop_reason.empty()) {
    AbandonAttempt(event.reason);
    BeginFinalEvaluation();
    return;
  }
  if (event.permanent) {
    state_.phase = Phase::kTraining;
    FailAttempt(StrCat("the aggregate cannot be made: ", event.reason));
    return;
  }
  aggregate_failure_ = event.reason;
  aggregate_again_ = now_ + kAggregateRetry;
}

void RoundEngine::Handle(const PreparationFailed& event) {
  if (!Preparing() || !work_ || work_->key != event.key || work_->scales.empty()) return;
  if (aggregate_again_) return;
  if (event.permanent) {
    work_->failure = event.reason;
    FinishPreparation();
    return;
  }
  aggregate_failure_ = event.reason;
  aggregate_again_ = now_ + kAggregateRetry;
}

}  // namespace consilium::coordinator
