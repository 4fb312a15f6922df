#pragma once

// As MaskedFederation, for sealed updates: a conversation without cryptography.

#include <algorithm>
#include <deque>

#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {

class SealedFederation {
 public:
  SealedFederation(plan::Plan plan, std::size_t sites) : plan_(std::move(plan)) {
    for (std::size_t i = 0; i < sites; ++i) {
      sites_.emplace(std::string(1, static_cast<char>('a' + i)));
    }
    RunState state;
    state.run = RunId("sealed-0001");
    engine_.emplace(plan_, state, LastPublished{});
  }

  const std::set<SiteId>& sites() const { return sites_; }
  const std::set<SiteId>& connected() const { return connected_; }
  const RoundEngine& engine() const { return *engine_; }

  void Start() { Begin(sites_); }
  void Restart(const std::set<SiteId>& connected) {
    RunState state = engine_->state();
    state.work = journal_.records();
    engine_.emplace(plan_, std::move(state), LastPublished{});
    Begin(connected);
  }
  void Connect(const SiteId& site) {
    connected_.insert(site);
    Do(SiteConnected{site});
  }
  void Wait(double seconds) {
    const Time until = now_ + FromSeconds(seconds);
    while (wake_ && *wake_ <= until && !engine_->ended()) {
      now_ = std::max(now_, *wake_);
      wake_.reset();
      Do(TimeCame{});
    }
    now_ = std::max(now_, until);
  }
  void Run() {
    for (bool more = true; more;) {
      more = DeliverOne(SiteId());
      for (const SiteId& site : sites_) more = DeliverOne(site) || more;
    }
  }
  bool DeliverOne(const SiteId& site) {
    auto& box = inbox_[site];
    if (box.empty()) return false;
    const std::vector<Event> events = std::move(box.front());
    box.pop_front();
    for (const Event& event : events) Do(event);
    return true;
  }

  template <class T>
  std::vector<T> All() const {
    std::vector<T> found;
    for (const Action& action : actions_) {
      if (const T* match = std::get_if<T>(&action)) found.push_back(*match);
    }
    return found;
  }

 private:
  void Begin(const std::set<SiteId>& connected) {
    connected_ = connected;
    inbox_.clear();
    wake_.reset();
    CarryOut(engine_->Start(RosterOf(sites_), connected, now_));
  }
  void Do(const Event& event) { CarryOut(engine_->On(event, now_)); }
  void CarryOut(const std::vector<Action>& actions) {
    journal_.Keep(actions);
    actions_.insert(actions_.end(), actions.begin(), actions.end());
    for (const Action& action : actions) {
      if (const auto* send = std::get_if<Send>(&action)) {
        if (auto answer = Answer(send->site, send->message); !answer.empty()) {
          inbox_[send->site].push_back(std::move(answer));
        }
      } else if (const auto* aggregate = std::get_if<Aggregate>(&action)) {
        const auto model = models_.try_emplace(aggregate->key, models_.size() + 1).first->second;
        inbox_[SiteId()].push_back({AggregateReady{aggregate->key, ModelNumber(model), 0.1}});
      } else if (const auto* wake = std::get_if<WakeAt>(&action)) {
        wake_ = wake->time;
      }
    }
  }
  static std::vector<Event> Answer(const SiteId& site, const wire::ToSite& message) {
    if (const auto* invite = std::get_if<wire::Invite>(&message)) {
      return {InviteAnswered{site, {invite->run, true, {}, 50, 100, 0, {}}}};
    }
    if (const auto* make = std::get_if<wire::MakeInitialModel>(&message)) {
      return {InitialModelReady{make->key, ModelNumber(100), 1000, {}}};
    }
    if (const auto* train = std::get_if<wire::TrainRequest>(&message)) {
      return {SiteTrained{site, {train->key, 50, 100, 3, false}},
              ContributionStarted{site, train->key, 100},
              ContributionComplete{site, train->key, 100, 0.5, 3, 1, 4000, {}, {}}};
    }
    if (const auto* evaluate = std::get_if<wire::EvaluateRequest>(&message)) {
      static const metrics::BinarySums kSums = SumsWithAuroc(0.9, 20);
      return {EvaluationArrived{
          site, {evaluate->run, evaluate->round, evaluate->model, evaluate->split, kSums, 1}}};
    }
    return {};
  }

  plan::Plan plan_;
  std::set<SiteId> sites_, connected_;
  std::optional<RoundEngine> engine_;
  WorkJournal journal_;
  Time now_{std::chrono::seconds(1'800'000'000)};
  std::optional<Time> wake_;
  std::map<SiteId, std::deque<std::vector<Event>>> inbox_;  // the aggregator's without a name
  std::map<AttemptKey, std::uint8_t> models_;
  std::vector<Action> actions_;
};

}  // namespace consilium::coordinator
