// The engine's frame: how it starts, takes events, and decides that a phase is over. What happens
// in a training attempt is in round_engine_training.cpp, evaluation and the end in
// round_engine_evaluation.cpp, sessions of secure aggregation in round_engine_secure.cpp.

#include "coordinator/round_engine.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace consilium::coordinator {

using wire::RunEventKind;

constexpr std::string_view kLeftRoster = "it is not in the federation's roster any more";

namespace {

// "burned-in annotation 3, not DICOM 1": of the files that a site refused, the most first.
std::string ReasonsOf(const std::map<std::string, std::uint64_t>& refusals) {
  std::vector<std::pair<std::string, std::uint64_t>> sorted(refusals.begin(), refusals.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [reason, files] : sorted) {
    if (files > 0) StrAppend(&text, text.empty() ? "" : ", ", reason, " ", files);
  }
  return text;
}

}  // namespace

RoundEngine::RoundEngine(plan::Plan plan, RunState state, LastPublished last_published)
    : plan_(std::move(plan)),
      state_(std::move(state)),
      last_published_(std::move(last_published)),
      closings_(std::exchange(state_.closings, {})) {}

std::vector<Action> RoundEngine::Start(RosterView roster, const std::set<SiteId>& connected,
                                       Time now) {
  roster_ = std::move(roster);
  now_ = now;
  if (ended()) return {};
  const bool restarted = state_.started != Time{};
  if (restarted) {
    Note(RunEventKind::kRestarted);
  } else {
    state_.started = now;
    AuditOpening();
  }
  for (const SiteId& site : plan_.cohort.sites) state_.participants.try_emplace(site);
  for (const SiteId& site : Accepted()) absent_since_[site] = now;
  const std::vector<WorkRecord> work = std::exchange(state_.work, {});
  if (state_.phase != Phase::kInviting) GoOn(work);
  for (const SiteId& site : connected) {
    if (!InCohort(site)) continue;
    connected_.insert(site);
    absent_since_.erase(site);
  }
  ApplyRoster();
  for (const SiteId& site : connected_) {
    InviteSite(site);
    Resume(site);
  }
  if (!ended()) CheckTimes();
  return Finish();
}

std::vector<Action> RoundEngine::On(const Event& event, Time now) {
  now_ = std::max(now_, now);  // a clock set back does not take the run with it
  if (ended()) {
    const auto* back = std::get_if<SiteConnected>(&event);
    if (back == nullptr || !ended_message_ || !state_.participants.contains(back->site)) return {};
    std::vector<Action> actions;
    for (const wire::AttemptClosed& closed : closings_.Of(back->site)) {
      actions.push_back(Send{back->site, closed});
    }
    actions.push_back(Send{back->site, *ended_message_});
    return actions;
  }
  // First the time, then the event: what comes after the deadline is late even when nobody woke us.
  CheckTimes();
  while (!ended() && Settle()) {
  }
  if (!ended()) std::visit([this](const auto& e) { Handle(e); }, event);
  return Finish();
}

std::vector<Action> RoundEngine::Finish() {
  while (!ended() && Settle()) {
  }
  if (!ended()) {
    const std::string waiting = WaitingFor();
    if (waiting != waiting_ && !waiting.empty()) Note(RunEventKind::kWaiting, waiting);
    waiting_ = waiting;
    // One that comes too early does no harm: each sign of life would move it.
    if (wake_ && *wake_ <= now_) wake_.reset();
    const std::optional<Time> wake = NextWake();
    if (wake && (!wake_ || *wake < *wake_)) {
      actions_.push_back(WakeAt{*wake});
      wake_ = wake;
    }
  }
  return std::exchange(actions_, {});
}

bool RoundEngine::Settle() {
  switch (state_.phase) {
    case Phase::kInviting:
      return SettleInviting();
    case Phase::kInitialModel:
      return SettleInitialModel();
    case Phase::kTraining:
      return SettleTraining();
    case Phase::kEvaluating:
    case Phase::kFinalEvaluation:
    case Phase::kDescribing:
    case Phase::kPreparing:
      return SettleEvaluation();
    case Phase::kAggregating:
    case Phase::kEnded:
      return false;
  }
  return false;
}

void RoundEngine::CheckTimes() {
  if (const auto end = WallTimeEnd(); end && now_ >= *end) {
    RequestStop(
        StrCat("the wall time of ", ToReadable(FromSeconds(*plan_.stop.wall_time_s)), " is over"));
  }
  if (ended()) return;
  if (aggregate_again_ && now_ >= *aggregate_again_) {
    aggregate_again_.reset();
    if (Preparing()) {
      MakePrepared();
    } else {
      CloseAttempt();
    }
  }
  const bool making = work_ && !work_->scales.empty();
  if (work_ && !making && state_.phase != Phase::kAggregating && now_ >= work_->deadline) {
    OnDeadline();
  }
}

// ---- sites come and go

void RoundEngine::Handle(const SiteConnected& event) {
  const SiteId& site = event.site;
  if (!InCohort(site)) return;
  const bool was_connected = !connected_.insert(site).second;
  absent_since_.erase(site);
  SignOfLife(site);
  if (!roster_.sites.contains(site)) return;  // invited when its roster is there
  const InviteState invite = state_.participants[site].invite;
  if (!was_connected) Note(RunEventKind::kSiteConnected, {}, {}, site);
  InviteSite(site);  // again when it has accepted: it may have come back without its memory
  if (invite == InviteState::kAccepted || invite == InviteState::kDeclined) Resume(site);
}

void RoundEngine::Resume(const SiteId& site) {
  const auto participant = state_.participants.find(site);
  if (participant == state_.participants.end()) return;
  // Also to one that has left the run since: what it delivered before may have counted.
  for (const wire::AttemptClosed& closed : closings_.Of(site)) SendTo(site, closed);
  if (!work_ || participant->second.invite != InviteState::kAccepted) return;
  if (work_->secure) {
    ResumeSession(site);
  } else if (Evaluating()) {
    if (!Masked()) JoinEvaluation(site);
  } else if (const auto task = work_->tasks.find(site);
             task != work_->tasks.end() && task->second.state == TaskState::kOpen) {
    SendTask(site, task->second);
  }
}

void RoundEngine::Handle(const SiteDisconnected& event) {
  if (connected_.erase(event.site) == 0) return;
  absent_since_[event.site] = now_;
  Note(RunEventKind::kSiteDisconnected, {}, {}, event.site);
}

void RoundEngine::InviteSite(const SiteId& site) {
  if (!roster_.sites.contains(site)) return;
  Participant& participant = state_.participants[site];
  if (participant.invite == InviteState::kDeclined) return;
  if (participant.invite == InviteState::kNotInvited) {
    participant.invite = InviteState::kInvited;
    Note(RunEventKind::kSiteInvited, {}, {}, site);
  }
  SendTo(site, wire::Invite{state_.run, {}});
}

void RoundEngine::Handle(const InviteAnswered& event) {
  const auto found = state_.participants.find(event.site);
  if (found == state_.participants.end() || event.answer.run != state_.run) return;
  Participant& participant = found->second;
  const bool had_accepted = participant.invite == InviteState::kAccepted;
  if (participant.invite != InviteState::kInvited && !had_accepted) return;

  Participant answered = participant;
  if (!plan_.describe) {  // else what a site has by itself is nobody's business
    answered.train_patients = event.answer.train_patients;
    answered.train_examples = event.answer.train_examples;
    answered.refused_files = event.answer.refused_files;
    answered.refusals = event.answer.refusals;
  }
  std::string reason = event.answer.reason;
  if (event.answer.accepted && Weight(event.site, answered) <= 0) {
    reason = "it accepted without anything to train on";
  } else if (event.answer.accepted) {
    answered.invite = InviteState::kAccepted;
    const bool news = !had_accepted || answered.train_examples != participant.train_examples ||
                      answered.train_patients != participant.train_patients ||
                      answered.refused_files != participant.refused_files ||
                      answered.refusals != participant.refusals;
    participant = answered;  // its new weight counts from the next attempt on
    if (news && plan_.describe) {
      Note(RunEventKind::kSiteAccepted, {}, {}, event.site);
    } else if (news) {
      Note(RunEventKind::kSiteAccepted, ReasonsOf(answered.refusals),
           {{"patients", answered.train_patients},
            {"examples", answered.train_examples},
            {"refused_files", answered.refused_files}},
           event.site);
    }
    if (!had_accepted && work_ && Evaluating() && !Masked()) JoinEvaluation(event.site);
    return;
  }
  participant.invite = InviteState::kDeclined;
  participant.decline_reason = reason;
  Note(RunEventKind::kSiteDeclined, reason, {}, event.site);
  if (had_accepted) Leave(event.site, StrCat("it left the run: ", reason));
}

void RoundEngine::Handle(const SiteTaskFailed& event) {
  if (!work_ || work_->key != event.key) return;
  const auto task = work_->tasks.find(event.site);
  if (task != work_->tasks.end() && task->second.sent) Leave(event.site, event.reason);
}

// A task that will not be gone on with. What the site has delivered stays.
void RoundEngine::Leave(const SiteId& site, const std::string& reason) {
  if (!work_) return;
  const auto found = work_->tasks.find(site);
  if (found == work_->tasks.end()) return;
  Task& task = found->second;
  if (task.state == TaskState::kOpen) {
    Lose(site, task, reason);
  } else if (task.state == TaskState::kDone && work_->secure &&
             work_->secure->silent.insert(site).second) {
    Keep(WorkLost{site, reason, true});
    // Losing it before the uploads are closed would take what it delivered out of the sum.
    if (Opening()) work_->secure->session.Lose(site);
    Note(RunEventKind::kContributionLost,
         StrCat("what it delivered stays, but it does not help to open the sum: ", reason), {},
         site);
    std::get<Record>(actions_.back()).event.attempt = 0;  // of the attempt nothing is lost
  }
}

// ---- the roster

void RoundEngine::Handle(const RosterChanged& event) {
  roster_ = event.roster;
  ApplyRoster();
  for (const SiteId& site : connected_) {
    const auto found = state_.participants.find(site);
    if (found == state_.participants.end()) continue;
    if (found->second.invite == InviteState::kNotInvited) InviteSite(site);
  }
}

void RoundEngine::ApplyRoster() {
  for (auto& [site, participant] : state_.participants) {
    const bool takes_part =
        participant.invite == InviteState::kInvited || participant.invite == InviteState::kAccepted;
    if (!roster_.sites.contains(site)) {
      if (!takes_part) continue;
      participant.invite = InviteState::kDeclined;
      participant.decline_reason = kLeftRoster;
      Note(RunEventKind::kSiteDeclined, participant.decline_reason, {}, site);
      Expel(site, participant.decline_reason);
    } else if (participant.invite == InviteState::kDeclined &&
               participant.decline_reason == kLeftRoster) {
      participant = Participant{};  // it is back
    }
  }
  for (const auto& [site, key] : roster_.sites) {
    if (InCohort(site)) state_.participants.try_emplace(site);
  }
}

// Of a site that is trusted no more, what it delivered is taken out as long as that can be done.
void RoundEngine::Expel(const SiteId& site, const std::string& reason) {
  if (!work_) return;
  const auto found = work_->tasks.find(site);
  if (found == work_->tasks.end()) return;
  const bool sum_is_open = (state_.phase == Phase::kTraining || work_->secure) && !Opening();
  if (found->second.state == TaskState::kDone && sum_is_open) {
    Lose(site, found->second, reason);
  } else {
    Leave(site, reason);
  }
}

void RoundEngine::Handle(const StopRequested& event) {
  stop_was_requested_ = true;
  RequestStop(StrCat("stop requested by ", event.by));
}

void RoundEngine::Handle(const SiteProgressed& event) {
  if (event.key.run == state_.run && Connected(event.site)) SignOfLife(event.site);
}

void RoundEngine::Handle(const TimeCame&) {
  wake_.reset();  // that timer is spent: the next one is armed anew
}

// Ends the run when so many sites declined that the minimum cannot be met any more.
bool RoundEngine::EndIfTooManyDeclined() {
  std::size_t possible = 0;
  std::string declined;
  for (const auto& [site, participant] : state_.participants) {
    if (participant.invite == InviteState::kDeclined) {
      StrAppend(&declined, declined.empty() ? "" : "; ", site.value, ": ",
                participant.decline_reason);
    } else {
      ++possible;
    }
  }
  if (declined.empty() || possible >= MinimumSites()) return false;
  End(true, StrCat("only ", possible, " of the ", state_.participants.size(),
                   " sites can take part, and the plan needs ", MinimumSites(),
                   "; declined: ", declined));
  return true;
}

bool RoundEngine::SettleInviting() {
  if (EndIfTooManyDeclined()) return true;
  const std::size_t minimum = MinimumSites();
  const auto unanswered = std::count_if(
      state_.participants.begin(), state_.participants.end(), [this](const auto& entry) {
        return entry.second.invite == InviteState::kInvited && Connected(entry.first);
      });
  if (EligibleAndConnected() < minimum) {
    enough_since_.reset();
    return false;
  }
  if (!enough_since_) enough_since_ = now_;
  // The others get a moment to answer, so that they need not wait for the second round.
  const Time patience_ends = *enough_since_ + FromSeconds(plan_.cohort.absence_grace_s);
  if (unanswered > 0 && now_ < patience_ends) return false;
  if (plan_.describe) {
    BeginDescription();
  } else if (plan_.model.initial) {
    state_.base = plan_.model.initial;
    OpenRound(1);
  } else {
    state_.phase = Phase::kInitialModel;
    state_.round = 0;
    state_.attempt = 0;
  }
  return true;
}

// ---- what the phases share

void RoundEngine::BeginWork(AttemptKey key, std::size_t needed) {
  work_ = Work();
  work_->key = std::move(key);
  work_->opened = now_;
  work_->deadline = now_ + FromSeconds(plan_.cohort.round_deadline_s);
  work_->needed = needed;
}

void RoundEngine::OnDeadline() {
  const std::string reason =
      StrCat("it did not deliver by the deadline, ", ToRfc3339(work_->deadline));
  for (auto& [site, task] : work_->tasks) {
    if (task.state == TaskState::kOpen) Lose(site, task, reason);
  }
}

RoundEngine::Task* RoundEngine::OpenTask(const SiteId& site, const AttemptKey& key) {
  if (!work_ || work_->key != key) return nullptr;
  const auto task = work_->tasks.find(site);
  if (task == work_->tasks.end()) return nullptr;
  return task->second.sent && task->second.state == TaskState::kOpen ? &task->second : nullptr;
}

// A site whose time is over is lost when the work can be done without it.
bool RoundEngine::LoseAbsent() {
  bool lost = false;
  for (auto& [site, task] : work_->tasks) {
    if (task.state != TaskState::kOpen) continue;
    if ((Connected(site) && !Owes(site)) || now_ < GivenUpAt(site)) continue;
    const bool others_suffice = Present() >= work_->needed ||
                                state_.phase == Phase::kInitialModel ||
                                (state_.phase == Phase::kEvaluating && !state_.stop_reason.empty());
    if (!others_suffice) continue;
    Lose(site, task,
         Connected(site) ? StrCat("it is connected and gave no sign of life for ",
                                  ToReadable(FromSeconds(plan_.cohort.silence_s)))
                         : StrCat("its connection was lost and did not come back within ",
                                  ToReadable(FromSeconds(plan_.cohort.absence_grace_s))));
    lost = true;
  }
  return lost;
}

void RoundEngine::Lose(const SiteId& site, Task& task, const std::string& reason) {
  CONSILIUM_CHECK(task.state != TaskState::kLost);
  task.state = TaskState::kLost;
  task.reason = reason;
  Keep(WorkLost{site, reason, false});
  if (work_->secure) work_->secure->session.Lose(site);
  if (Evaluating()) {
    if (task.sent) {
      const char* what = Describing()  ? "not in the description: "
                         : Preparing() ? "not in the preparation: "
                                       : "not in the evaluation: ";
      Note(RunEventKind::kContributionLost, StrCat(what, reason), {}, site);
    }
    return;
  }
  actions_.push_back(DropContribution{site, work_->key});
  Note(RunEventKind::kContributionLost, reason, {}, site);
  CloseFor(site, false, reason);
}

void RoundEngine::SendTo(const SiteId& site, wire::ToSite message) {
  if (Connected(site)) actions_.push_back(Send{site, std::move(message)});
}

void RoundEngine::Note(RunEventKind kind, std::string text, std::map<std::string, double> values,
                       const SiteId& site) {
  wire::RunEvent event;
  event.time = now_;
  event.kind = kind;
  event.round = state_.phase == Phase::kFinalEvaluation ? state_.best_round : state_.round;
  event.attempt = Evaluating() ? 0 : state_.attempt;
  event.site = site;
  event.text = std::move(text);
  event.values = std::move(values);
  actions_.push_back(Record{std::move(event)});
}

bool RoundEngine::InCohort(const SiteId& site) const {
  const auto& sites = plan_.cohort.sites;
  return sites.empty() || std::find(sites.begin(), sites.end(), site) != sites.end();
}

bool RoundEngine::Evaluating() const {
  return state_.phase == Phase::kEvaluating || state_.phase == Phase::kFinalEvaluation ||
         Describing() || Preparing();
}

std::optional<Time> RoundEngine::AbsentUntil(const SiteId& site) const {
  if (Connected(site)) return std::nullopt;
  const auto since = absent_since_.find(site);
  return (since == absent_since_.end() ? state_.started : since->second) +
         FromSeconds(plan_.cohort.absence_grace_s);
}

bool RoundEngine::Owes(const SiteId& site) const {
  if (!work_ || state_.phase == Phase::kAggregating) return false;
  if (work_->secure) return work_->secure->session.Awaits(site);
  const auto task = work_->tasks.find(site);
  return task != work_->tasks.end() && task->second.state == TaskState::kOpen;
}

Time RoundEngine::GivenUpAt(const SiteId& site) const {
  if (const auto until = AbsentUntil(site)) return *until;
  const auto sign = signs_.find(site);
  return (sign == signs_.end() ? work_->opened : sign->second) +
         FromSeconds(plan_.cohort.silence_s);
}

bool RoundEngine::Silent(const SiteId& site) const {
  return Connected(site) && Owes(site) && now_ >= GivenUpAt(site);
}

std::set<SiteId> RoundEngine::AtWork() const {
  std::set<SiteId> sites;
  for (const SiteId& site : connected_) {
    if (Owes(site) && now_ < GivenUpAt(site)) sites.insert(site);
  }
  return sites;
}

std::size_t RoundEngine::Count(TaskState state) const {
  return std::count_if(work_->tasks.begin(), work_->tasks.end(),
                       [state](const auto& task) { return task.second.state == state; });
}

std::size_t RoundEngine::Present() const {
  return std::count_if(work_->tasks.begin(), work_->tasks.end(), [this](const auto& entry) {
    const TaskState state = entry.second.state;
    return state == TaskState::kDone ||
           (state == TaskState::kOpen && Connected(entry.first) && !Silent(entry.first));
  });
}

std::vector<SiteId> RoundEngine::Accepted() const {
  std::vector<SiteId> sites;
  for (const auto& [site, participant] : state_.participants) {
    if (participant.invite == InviteState::kAccepted) sites.push_back(site);
  }
  return sites;
}

// Without the others a site that sent garbage is tried again: it may have been a bad disk.
std::vector<SiteId> RoundEngine::Eligible() const {
  std::vector<SiteId> sites = Accepted();
  if (left_out_.empty()) return sites;
  std::vector<SiteId> others;
  for (const SiteId& site : sites) {
    if (!left_out_.contains(site)) others.push_back(site);
  }
  const std::size_t minimum = Evaluating() ? EvaluationMinimum() : plan_.cohort.minimum_sites;
  return others.size() >= Needed(others.size(), minimum) ? others : sites;
}

std::size_t RoundEngine::EligibleAndConnected() const {
  const std::vector<SiteId> eligible = Eligible();
  return std::count_if(eligible.begin(), eligible.end(),
                       [this](const SiteId& site) { return Connected(site); });
}

double RoundEngine::Weight(const SiteId& site, const Participant& participant) const {
  if (plan_.describe) return 1;
  double weight = 0;
  switch (plan_.aggregation.weight) {
    case plan::WeightRule::kExamples:
      weight = static_cast<double>(participant.train_examples);
      break;
    case plan::WeightRule::kPatients:
      weight = static_cast<double>(participant.train_patients);
      break;
    case plan::WeightRule::kEqual:
      weight = participant.train_examples > 0 ? 1 : 0;
      break;
  }
  const auto cap = roster_.weight_caps.find(site);
  const bool capped = cap != roster_.weight_caps.end() && cap->second > 0;
  return capped ? std::min(weight, cap->second) : weight;
}

}  // namespace consilium::coordinator
