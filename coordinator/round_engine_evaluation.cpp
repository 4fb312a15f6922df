// Evaluation of the candidates, the stop conditions, the gate and the end.

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/base/task.h"
#include "common/metrics/task_sums.h"
#include "coordinator/release_gate.h"
#include "coordinator/round_engine.h"

namespace consilium::coordinator {
namespace {

using wire::RunEventKind;

std::map<std::string, double> ValuesOf(const metrics::TaskMetrics& metrics, bool with_counts) {
  const auto values = metrics.Values(with_counts);
  return {values.begin(), values.end()};
}

}  // namespace

void RoundEngine::OpenEvaluation(std::uint32_t round, std::size_t needed) {
  BeginWork({state_.run, round, 0}, needed);
  left_out_.clear();
  KeepOpened();
  if (!Masked()) {
    AskForEvaluations();
  } else if (state_.opening) {
    work_->failure =
        "the coordinator was restarted while the sum was being opened, and what it kept is damaged";
  }  // else a session begins when enough sites are there
}

void RoundEngine::AskForEvaluations() {
  work_->tasks.clear();
  for (const SiteId& site : Accepted()) {
    Task& task = work_->tasks[site];
    if (state_.evaluations.contains(site)) {
      task.state = TaskState::kDone;  // from before a restart
      task.sent = true;
    } else {
      SendTask(site, task);
    }
  }
}

void RoundEngine::JoinEvaluation(const SiteId& site) {
  Task& task = work_->tasks[site];
  if (task.state == TaskState::kDone) return;
  task.state = TaskState::kOpen;
  SendTask(site, task);
}

void RoundEngine::Handle(const EvaluationArrived& event) {
  if (!Evaluating() || Masked()) return;
  const wire::EvaluationReport& report = event.report;
  const wire::EvaluationSplit split = Split();
  if (report.run != state_.run || report.round != work_->key.round ||
      report.model != *state_.candidate || report.split != split) {
    return;
  }
  const auto found = work_->tasks.find(event.site);
  if (found == work_->tasks.end() || !found->second.sent) return;
  if (found->second.state == TaskState::kDone) return;
  SignOfLife(event.site);
  if (state_.participants.at(event.site).invite != InviteState::kAccepted) return;  // it left
  if (const absl::Status right = metrics::Check(report.sums, plan_.target.Shape()); !right.ok()) {
    Lose(event.site, found->second, StrCat("its results were refused: ", ToStd(right.message())));
    return;
  }
  found->second.state = TaskState::kDone;
  state_.evaluations[event.site] = report.sums;
  actions_.push_back(StoreEvaluation{event.site, report});

  std::map<std::string, double> values;
  values["suppressed"] = 1;
  if (metrics::LargeEnoughToShow(report.sums)) {
    const auto metrics = metrics::Compute(report.sums, plan_.evaluation.at_specificity);
    if (metrics.ok()) values = ValuesOf(*metrics, true);
  }
  values["seconds"] = report.seconds;
  if (split == wire::EvaluationSplit::kTest) values["test"] = 1;
  Note(RunEventKind::kSiteEvaluated, {}, std::move(values), event.site);
}

wire::EvaluationSplit RoundEngine::Split() const {
  return state_.phase == Phase::kEvaluating ? wire::EvaluationSplit::kValidation
                                            : wire::EvaluationSplit::kTest;
}

std::size_t RoundEngine::EvaluationMinimum() const {
  return state_.phase == Phase::kEvaluating || Preparing() ? plan_.cohort.minimum_sites
                                                           : plan_.gate.minimum_sites;
}

std::size_t RoundEngine::Evaluated() const {
  if (!Masked()) return state_.evaluations.size();
  return work_->pooled ? work_->sum->survivors.size() : 0;
}

bool RoundEngine::SettleEvaluation() {
  if (Masked()) return SettleSecureEvaluation();
  LoseAbsent();
  if (Count(TaskState::kOpen) > 0) return false;
  FinishEvaluation();
  return true;
}

void RoundEngine::FinishEvaluation() {
  state_.opening = false;
  if (Describing()) {
    FinishDescription();
    return;
  }
  if (Preparing()) {
    FinishPreparation();
    return;
  }
  if (Evaluated() > 0) AuditEvaluation();
  if (state_.phase == Phase::kFinalEvaluation) {
    JudgeBest();
  } else {
    JudgeCandidate();
  }
}

// ---- what the sites' images are

void RoundEngine::BeginDescription() {
  state_.phase = Phase::kDescribing;
  state_.round = 1;
  state_.candidate = wire::QuestionOf(plan_);
  OpenEvaluation(1, plan_.cohort.minimum_sites);
}

void RoundEngine::FinishDescription() {
  if (!work_->described) {
    const std::string why = work_->failure;  // End forgets the work
    End(true, why);
    return;
  }
  AuditDescription();
  const metrics::ShownRow& total = work_->described->total;
  const std::size_t sites = work_->sum->survivors.size();
  std::map<std::string, double> values = {{"sites", sites}};
  if (!total.suppressed) {
    values["patients"] = static_cast<double>(total.counts.patients);
    values["images"] = static_cast<double>(total.counts.images);
  }
  Note(RunEventKind::kDescribed, {}, std::move(values));
  End(false, StrCat("described by ", sites, " sites together"));
}

// ---- what the sites' tables are on average

// A model that is taken over has its scales already.
bool RoundEngine::NeedsPreparation() const {
  return plan_.table.Numbers() > 0;
}

void RoundEngine::BeginPreparation() {
  state_.phase = Phase::kPreparing;
  state_.round = 1;
  state_.attempt = 0;
  state_.opening = false;
  state_.candidate = wire::QuestionOf(plan_);
  OpenEvaluation(1, plan_.cohort.minimum_sites);
}

// Of what was added up only the scales go on from here.
absl::Status RoundEngine::OpenScales() {
  OpenedSum& opened = *work_->sum;
  CONSILIUM_CHECK(opened.survivors.size() >= plan_.cohort.minimum_sites);
  const std::vector<std::uint64_t> ring = std::exchange(opened.sums, {});
  ASSIGN_OR_RETURN(const metrics::PreparationSums sums,
                   metrics::PreparationFromRing(ring, plan_.table.Numbers()));
  std::vector<metrics::Range> ranges;
  for (const plan::Column& column : plan_.table.columns) {
    if (column.kind != plan::ColumnKind::kNumber) continue;
    ranges.push_back({column.minimum, column.maximum});
  }
  work_->scales = metrics::Scales(sums, ranges);
  return absl::OkStatus();
}

void RoundEngine::TakePooledPreparation() {
  if (const absl::Status opened = OpenScales(); !opened.ok()) {
    work_->failure = StrCat("what the sites' tables add up to is impossible, so one of them sent ",
                            "nonsense: ", ToStd(opened.message()));
    FinishEvaluation();
    return;
  }
  Keep(WorkStepClosed{static_cast<std::uint32_t>(secagg::CoordinatorSession::Step::kUnmasking)});
  MakePrepared();
}

void RoundEngine::MakePrepared() {
  actions_.push_back(coordinator::Prepare{work_->key, *state_.base, work_->scales});
}

void RoundEngine::Handle(const ModelPrepared& event) {
  if (!Preparing() || !work_ || work_->key != event.key || work_->scales.empty()) return;
  AuditPreparation(event.model);
  state_.base = event.model;
  state_.candidate.reset();
  Note(RunEventKind::kPrepared, event.model.Hex(),
       {{"sites", work_->sum->survivors.size()},
        {"columns", work_->scales.size()},
        {"seconds", Seconds(now_ - work_->opened)}});
  OpenRound(1);
  KeepOpened();  // nothing stays of what the sum was opened with
}

void RoundEngine::FinishPreparation() {
  const std::string why = work_->failure;  // End forgets the work
  End(true, StrCat("the tables could not be prepared: ", why));
}

void RoundEngine::JudgeCandidate() {
  const double seconds = Seconds(now_ - work_->opened);
  double headline = 0;
  if (Evaluated() < work_->needed) {
    const std::string why = Masked() ? work_->failure
                                     : StrCat("only ", Evaluated(), " of the ", work_->needed,
                                              " sites that are needed evaluated the candidate");
    Note(RunEventKind::kRoundEvaluated, StrCat(why, ": it cannot be the best"),
         {{"seconds", seconds}, {"best", 0}});
  } else {
    std::string text;
    std::map<std::string, double> values;
    const std::optional<double> pooled = PooledValues(&text, &values);
    headline = pooled.value_or(0);
    const bool better = pooled && (!state_.best || headline > state_.best_headline);
    if (better) {
      state_.best = state_.candidate;
      state_.best_round = state_.round;
      state_.best_headline = headline;
    }
    values["best"] = better ? 1 : 0;
    values["seconds"] = seconds;
    Note(RunEventKind::kRoundEvaluated, std::move(text), std::move(values));
  }
  work_.reset();
  if (state_.stop_reason.empty()) {
    state_.stop_reason = StopCondition(headline);
    if (!state_.stop_reason.empty()) Note(RunEventKind::kStopping, state_.stop_reason);
  }
  if (!state_.stop_reason.empty()) {
    BeginFinalEvaluation();
    return;
  }
  state_.base = state_.candidate;
  OpenRound(state_.round + 1);
}

std::string RoundEngine::StopCondition(double headline) const {
  const plan::Stop& stop = plan_.stop;
  const std::string_view title = HeadlineTitle(plan_.target.task);
  if (stop.target && headline >= *stop.target) {
    return absl::StrFormat("the pooled %s reached %.3f, the target is %.3f", ForAbsl(title),
                           headline, *stop.target);
  }
  if (state_.round >= stop.rounds) return StrCat("all ", stop.rounds, " rounds are done");
  if (stop.patience && state_.round - state_.best_round >= *stop.patience) {
    return StrCat(*stop.patience, " rounds without a better pooled ", title);
  }
  return {};
}

// Training is cut short; a candidate that is being made or evaluated is still judged.
void RoundEngine::RequestStop(const std::string& reason) {
  if (!state_.stop_reason.empty()) return;
  state_.stop_reason = reason;
  Note(RunEventKind::kStopping, reason);
  if (plan_.describe) {
    End(!stop_was_requested_, StrCat(reason, "; nothing was described"));
    return;
  }
  if (Preparing()) {
    aggregate_again_.reset();
    End(!stop_was_requested_, StrCat(reason, "; no model was trained"));
    return;
  }
  const bool paused = state_.phase == Phase::kAggregating && aggregate_again_.has_value();
  if (state_.phase == Phase::kEvaluating || (state_.phase == Phase::kAggregating && !paused)) {
    return;
  }
  AbandonAttempt(reason);
  BeginFinalEvaluation();
}

void RoundEngine::BeginFinalEvaluation() {
  if (!state_.best) {
    End(!stop_was_requested_,
        StrCat(state_.stop_reason, "; no model was evaluated, so none is published"));
    return;
  }
  state_.phase = Phase::kFinalEvaluation;
  state_.candidate = state_.best;
  state_.evaluations.clear();
  Note(RunEventKind::kFinalEvaluation, state_.best->Hex());
  OpenEvaluation(state_.best_round, plan_.gate.minimum_sites);
}

// What all sites' evaluations of the candidate show together; the headline, if there is one.
std::optional<double> RoundEngine::PooledValues(std::string* text,
                                                std::map<std::string, double>* values) const {
  (*values)["suppressed"] = 1;
  if (!work_->failure.empty()) {
    *text = work_->failure;
    return std::nullopt;
  }
  metrics::TaskSums pooled(plan_.target.Shape());
  if (work_->pooled) pooled = work_->pooled->sums;
  for (const auto& [site, sums] : state_.evaluations) pooled += sums;
  const auto metrics = metrics::Compute(pooled, plan_.evaluation.at_specificity);
  if (!metrics.ok()) {
    *text = StrCat("the pooled ", HeadlineTitle(plan_.target.task),
                   " cannot be computed: ", metrics.status().message());
    return std::nullopt;
  }
  if (metrics::LargeEnoughToShow(pooled)) {
    *values = ValuesOf(*metrics, Masked() || metrics::PooledCountsCanBeShown(state_.evaluations));
  }
  return metrics->headline;
}

void RoundEngine::JudgeBest() {
  std::string pooled_text;
  std::map<std::string, double> pooled_values;
  PooledValues(&pooled_text, &pooled_values);
  pooled_values["test"] = 1;
  Note(RunEventKind::kRoundEvaluated, pooled_text, std::move(pooled_values));
  const double at_specificity = plan_.evaluation.at_specificity;
  const GateDecision decision =
      Masked()
          ? Decide(plan_.gate, at_specificity, Evaluated(),
                   work_->pooled.value_or(
                       metrics::EvaluationSums{metrics::TaskSums(plan_.target.Shape())}),
                   last_published_.model.has_value())
          : Decide(plan_.gate, at_specificity, state_.evaluations, last_published_.site_headlines);
  std::string text, unmet;
  for (const GateCondition& condition : decision.conditions) {
    StrAppend(&text, text.empty() ? "" : "; ", condition.text);
    if (!condition.met) StrAppend(&unmet, unmet.empty() ? "" : "; ", condition.text);
  }
  work_.reset();
  if (!decision.passed) {
    Note(RunEventKind::kGateFailed, text);
    End(false, StrCat("not published: ", unmet));
    return;
  }
  Note(RunEventKind::kGatePassed, text);
  actions_.push_back(Publish{*state_.best, state_.best_round});
  AuditPublication();
  Note(RunEventKind::kPublished, state_.best->Hex());
  End(false, StrCat("published the model of round ", state_.best_round), state_.best);
}

void RoundEngine::End(bool failed, const std::string& outcome, std::optional<ModelId> published) {
  work_.reset();
  AuditEnd(failed, outcome, published);
  Note(RunEventKind::kEnded, outcome,
       {{"published", published ? 1 : 0},
        {"failed", failed ? 1 : 0},
        {"seconds", Seconds(now_ - state_.started)}});
  state_.phase = Phase::kEnded;
  ended_message_ = wire::RunEnded{state_.run, outcome, published};
  for (const auto& [site, participant] : state_.participants) {
    if (participant.invite != InviteState::kNotInvited) SendTo(site, *ended_message_);
  }
  actions_.push_back(EndRun{failed, outcome});
}

// ---- what it waits for, and until when

std::optional<Time> RoundEngine::WallTimeEnd() const {
  if (!plan_.stop.wall_time_s || !state_.stop_reason.empty()) return std::nullopt;
  return state_.started + FromSeconds(*plan_.stop.wall_time_s);
}

std::optional<Time> RoundEngine::NextWake() const {
  std::optional<Time> next;
  const auto at = [&](std::optional<Time> time) {
    if (time && *time > now_ && (!next || *time < *next)) next = time;
  };
  at(WallTimeEnd());
  at(aggregate_again_);
  const Duration grace = FromSeconds(plan_.cohort.absence_grace_s);
  if (state_.phase == Phase::kInviting && enough_since_) at(*enough_since_ + grace);
  if (work_ && state_.phase != Phase::kAggregating) {
    at(work_->deadline);
    for (const auto& [site, task] : work_->tasks) {
      if (task.state == TaskState::kOpen && (!Connected(site) || Owes(site))) at(GivenUpAt(site));
    }
  }
  at(SessionWake());
  return next;
}

std::string RoundEngine::WaitingFor() const {
  const auto for_connected = [this](std::size_t minimum, std::optional<Time> deadline) {
    const std::size_t needed = Needed(Enlisted().size(), minimum);
    return WaitingForSites(StrCat("for ", needed, " sites that accepted to be connected",
                                  Masked() ? ", as secure aggregation needs (" : " (",
                                  EligibleAndConnected(), " are)"),
                           deadline);
  };
  switch (state_.phase) {
    case Phase::kInviting: {
      std::optional<Time> until;
      if (enough_since_) until = *enough_since_ + FromSeconds(plan_.cohort.absence_grace_s);
      return WaitingForSites(StrCat("for ", MinimumSites(), " sites to accept the plan",
                                    Masked() ? ", as secure aggregation needs (" : " (",
                                    EligibleAndConnected(), " did)"),
                             until);
    }
    case Phase::kInitialModel:
      if (!work_) return WaitingForSites("for a site that can make the first model");
      break;
    case Phase::kTraining:
      if (!work_) return for_connected(plan_.cohort.minimum_sites, std::nullopt);
      break;
    case Phase::kPreparing:
      if (Masked() && !work_->secure && work_->scales.empty()) {
        return for_connected(EvaluationMinimum(), work_->deadline);
      }
      if (aggregate_again_) {
        return StrCat("for the coordinator to be able to make the prepared model: ",
                      aggregate_failure_, "; next try at ", ToRfc3339(*aggregate_again_));
      }
      if (!work_->scales.empty()) return {};
      break;
    case Phase::kAggregating:
      if (!aggregate_again_) return {};
      return StrCat("for the coordinator to be able to make the aggregate: ", aggregate_failure_,
                    "; next try at ", ToRfc3339(*aggregate_again_));
    case Phase::kEvaluating:
    case Phase::kFinalEvaluation:
    case Phase::kDescribing:
      if (Masked() && !work_->secure) return for_connected(EvaluationMinimum(), work_->deadline);
      break;
    case Phase::kEnded:
      return {};
  }
  return WaitingForAbsent();
}

std::string RoundEngine::WaitingForAbsent() const {
  std::string text;
  const auto add = [&](const SiteId& site, Time until) {
    StrAppend(&text, text.empty() ? "on " : "; on ", site.value,
              Connected(site) ? ", which is connected but gives no sign of life, until "
                              : ", which is not connected, until ",
              ToRfc3339(until));
  };
  for (const auto& [site, task] : work_->tasks) {
    if (task.state != TaskState::kOpen || (Connected(site) && !Silent(site))) continue;
    const Time given_up = GivenUpAt(site);
    add(site, given_up > now_ ? given_up : work_->deadline);
  }
  if (Opening()) {
    for (const SiteId& site : work_->secure->session.Awaited()) {
      if (!Connected(site) || Silent(site)) add(site, StepDeadline());
    }
  }
  return text;
}

std::string RoundEngine::WaitingForSites(std::string_view what,
                                         std::optional<Time> deadline) const {
  std::string silent, absent, declined, left_out;
  const auto add = [](std::string& list, const SiteId& site) {
    StrAppend(&list, list.empty() ? "" : ", ", site.value);
  };
  for (const auto& [site, participant] : state_.participants) {
    if (participant.invite == InviteState::kDeclined) {
      add(declined, site);
    } else if (left_out_.contains(site)) {
      add(left_out, site);
    } else if (!Connected(site)) {
      add(absent, site);
    } else if (participant.invite == InviteState::kInvited) {
      add(silent, site);
    }
  }
  std::string text(what);
  if (!silent.empty()) StrAppend(&text, "; no answer yet from ", silent);
  if (!absent.empty()) StrAppend(&text, "; not connected: ", absent);
  if (!declined.empty()) StrAppend(&text, "; declined: ", declined);
  if (!left_out.empty()) StrAppend(&text, "; left out, because it sent garbage: ", left_out);
  if (deadline) {
    StrAppend(&text, "; until ", ToRfc3339(*deadline));
  } else if (const auto end = WallTimeEnd()) {
    StrAppend(&text, "; until ", ToRfc3339(*end), ", when the wall time is over");
  } else {
    StrAppend(&text, "; until a stop is requested");
  }
  return text;
}

}  // namespace consilium::coordinator
