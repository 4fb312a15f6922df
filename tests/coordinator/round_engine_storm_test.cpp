// Thousands of runs in a random world: sites come and go, answer, refuse, fail, repeat themselves
// and are late; the coordinator is killed. Whatever happens, the rules hold. A failure prints its
// seed.

#include <deque>
#include <sstream>
#include <stdexcept>

#include "common/base/random.h"
#include "coordinator/round_engine.h"
#include "tests/catch.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {
namespace {

using Kind = wire::RunEventKind;

struct RuleBroken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
void Must(bool holds, const char* rule) {
  if (!holds) throw RuleBroken(rule);
}

// Shared by all runs: histograms are large.
const metrics::BinarySums& Sums(std::uint64_t which) {
  static const std::vector<metrics::BinarySums> kSums = {
      SumsWithAuroc(0.9, 9), SumsWithAuroc(0.6, 9), SumsWithAuroc(0.7, 9), metrics::BinarySums{}};
  return kSums[which % kSums.size()];
}

class Storm {
 public:
  explicit Storm(std::uint64_t seed) : random_(seed, "storm"), plan_(RandomPlan()) {
    const std::uint64_t sites =
        plan_.cohort.minimum_sites + random_.Below(7 - plan_.cohort.minimum_sites);
    for (std::uint64_t i = 0; i < sites; ++i)
      sites_.emplace_back(std::string(1, static_cast<char>('a' + i)));
    RunState state;
    state.run = RunId("storm-0001");
    engine_.emplace(plan_, state, LastPublished{});
  }

  void Run() {
    Begin();
    for (int step = 0; step < 40 && !engine_->ended(); ++step) Step();
    if (random_.Chance(0.5)) {
      BecomeCalm();
      Must(engine_->ended(), "a run whose sites are all there and answer ends");
    } else {
      FallSilent();
      Must(engine_->ended() || explained_, "a run that stands still says what it waits for");
    }
    Must(!engine_->ended() || ends_ == 1, "a run ends once");
  }

  int rounds_counted() const { return rounds_counted_; }
  int published() const { return published_; }

 private:
  plan::Plan RandomPlan() {
    plan::Plan plan = ShortPlan();
    plan.cohort.minimum_sites = 2 + static_cast<std::uint32_t>(random_.Below(2));
    plan.cohort.round_deadline_s = 300;
    plan.gate.minimum = 0.65;
    plan.stop.rounds = 1 + static_cast<std::uint32_t>(random_.Below(2));
    if (random_.Chance(0.2)) plan.stop.patience = 1;
    if (random_.Chance(0.2)) plan.stop.target = 0.85;
    if (random_.Chance(0.2)) plan.stop.wall_time_s = 400;
    if (random_.Chance(0.2)) plan.model.initial = ModelNumber(200);
    return plan;
  }

  void Begin() {
    std::set<SiteId> enrolled(sites_.begin(), sites_.end());
    connected_.clear();
    for (const SiteId& site : sites_) {
      if (random_.Chance(0.6)) connected_.insert(site);
    }
    open_.reset();
    aggregating_ = false;
    wake_.reset();
    for (const SiteId& site : connected_) outbox_[site].clear();
    CarryOut(engine_->Start(RosterOf(enrolled), connected_, now_));
  }

  // ---- the world

  void Step() {
    const SiteId site = sites_[random_.Below(sites_.size())];
    switch (random_.Below(14)) {
      case 0:
        return Connect(site);
      case 1:
        return random_.Chance(0.5) ? Disconnect(site) : Connect(site);
      case 2:
        return Sleep(random_.Uniform(0, 100));
      case 3:
        return SendForeign(site);
      case 4:
        if (random_.Chance(0.03)) return Deliver(StopRequested{"anna"});
        if (random_.Chance(0.1)) return Restart();
        return Deliver(TimeCame{});
      case 5:  // a message again that was delivered before
        if (!delivered_.empty()) Deliver(delivered_[random_.Below(delivered_.size())]);
        return;
      default:
        return SpeakUp(site);
    }
  }
  void Connect(const SiteId& site) {
    connected_.insert(site);
    Deliver(SiteConnected{site});
  }
  void Disconnect(const SiteId& site) {
    connected_.erase(site);
    outbox_[site].clear();
    Deliver(SiteDisconnected{site});
  }
  void Sleep(double seconds) {
    const Time until = now_ + FromSeconds(seconds);
    while (wake_ && *wake_ <= until && !engine_->ended()) {
      now_ = *wake_;
      wake_.reset();
      Deliver(TimeCame{});
    }
    now_ = std::max(now_, until);
  }
  void Restart() {
    RunState state = engine_->state();
    state.work = journal_.records();
    engine_.emplace(plan_, std::move(state), LastPublished{});
    ours_.clear();
    Begin();
  }
  void SendForeign(const SiteId& site) {
    AttemptKey key{RunId("storm-0001"), static_cast<std::uint32_t>(random_.Below(3)),
                   static_cast<std::uint32_t>(random_.Below(3))};
    if (random_.Chance(0.3)) key.run = RunId("other-0001");
    const SiteId from = random_.Chance(0.5) ? SiteId("stranger") : site;
    switch (random_.Below(4)) {
      case 0:
        return Deliver(AggregateReady{key, ModelNumber(250), 1});
      case 1:
        return Deliver(SiteTaskFailed{SiteId("stranger"), key, "?"});
      case 2:
        return Deliver(ContributionComplete{SiteId("stranger"), key, 10, 0, 0, 0, 1});
      default: {
        const wire::EvaluationReport report{
            key.run, key.round, ModelNumber(250), wire::EvaluationSplit::kTest, Sums(0), 1};
        return Deliver(EvaluationArrived{from, report});
      }
    }
  }
  // A site, or the coordinator's aggregation, delivers the oldest thing it has.
  void SpeakUp(const SiteId& site) {
    if (!ours_.empty() && random_.Chance(0.4)) {
      const Event event = ours_.front();
      ours_.pop_front();
      return Deliver(event);
    }
    auto& box = outbox_[site];
    if (box.empty() || !connected_.contains(site)) return;
    const Event event = std::move(box.front());
    box.pop_front();
    if (random_.Chance(0.1)) delivered_.push_back(event);
    Deliver(event);
  }

  void BecomeCalm() {
    calm_ = true;
    for (const SiteId& site : sites_) {
      outbox_[site].clear();
      Connect(site);
    }
    for (int step = 0; step < 400 && !engine_->ended(); ++step) {
      bool spoke = !ours_.empty();
      while (!ours_.empty()) {
        const Event event = ours_.front();
        ours_.pop_front();
        Deliver(event);
      }
      for (const SiteId& site : sites_) {
        auto& box = outbox_[site];
        spoke = spoke || !box.empty();
        for (auto events = std::exchange(box, {}); !events.empty(); events.pop_front()) {
          Deliver(events.front());
        }
      }
      if (!spoke) Sleep(30);
    }
  }
  void FallSilent() {
    for (int i = 0; i < 200 && !engine_->ended(); ++i) {
      for (; !ours_.empty(); ours_.pop_front()) Deliver(ours_.front());
      if (!wake_) break;
      Sleep(400);
    }
  }

  void Deliver(const Event& event) {
    if (const auto* complete = std::get_if<ContributionComplete>(&event)) {
      if (open_ && complete->key == open_->key) completed_.insert(complete->site);
    }
    const bool answered = std::holds_alternative<AggregateReady>(event);
    const AttemptKey key = answered ? std::get<AggregateReady>(event).key : AttemptKey{};
    const bool ours = answered && aggregating_ && open_ && key == open_->key;
    const auto before = engine_->state().candidate;
    CarryOut(engine_->On(event, now_));
    if (answered && !ours) {
      Must(
          engine_->state().candidate == before || engine_->state().phase == Phase::kFinalEvaluation,
          "only the answer to the open aggregate makes a candidate");
    }
  }

  // ---- what the engine wants done, and what it may want

  void CarryOut(const std::vector<Action>& actions) {
    journal_.Keep(actions);
    for (const Action& action : actions) {
      Must(ends_ == 0 || std::holds_alternative<Send>(action), "nothing happens after the end");
      std::visit([this](const auto& a) { Do(a); }, action);
    }
    const std::string& waiting = engine_->waiting();
    Must(engine_->ended() || !ours_.empty() || !waiting.empty() || !engine_->AtWork().empty(),
         "a run that does not move says what it waits for");
    Must(waiting.empty() || waiting.find("until ") != std::string::npos ||
             waiting.find("next try at ") != std::string::npos,
         "a wait says until when");
  }
  void Do(const Send& send) {
    Must(connected_.contains(send.site), "messages go to connected sites");
    auto& box = outbox_[send.site];
    const bool good = calm_ || random_.Chance(0.85);
    const SiteId& site = send.site;
    if (std::holds_alternative<wire::Invite>(send.message)) {
      wire::InviteAnswer answer{RunId("storm-0001"), calm_ || random_.Chance(0.97), "no", 5, 10, 0};
      box.push_back(InviteAnswered{site, answer});
    } else if (const auto* make = std::get_if<wire::MakeInitialModel>(&send.message)) {
      if (good) {
        box.push_back(InitialModelReady{make->key, ModelNumber(100), 10});
      } else {
        box.push_back(SiteTaskFailed{site, make->key, "cannot"});
      }
    } else if (const auto* train = std::get_if<wire::TrainRequest>(&send.message)) {
      Must(open_ && open_->key == train->key, "sites are sent the open attempt");
      asked_.insert(site);
      Train(box, site, train->key, good);
    } else if (const auto* evaluate = std::get_if<wire::EvaluateRequest>(&send.message)) {
      if (good) {
        const wire::EvaluationReport report{evaluate->run,          evaluate->round,
                                            evaluate->model,        evaluate->split,
                                            Sums(random_.Below(4)), 1};
        box.push_back(EvaluationArrived{site, report});
      } else if (random_.Chance(0.5)) {
        const AttemptKey key{evaluate->run, evaluate->round, 0};
        box.push_back(SiteTaskFailed{site, key, "cannot"});
      }
    } else if (const auto* closed = std::get_if<wire::AttemptClosed>(&send.message)) {
      const auto [told, first] = told_.try_emplace({site, closed->key}, closed->counted);
      Must(first || told->second == closed->counted, "a site is told one thing about an update");
      Must(!closed->counted || closed->key.round == 0 || counted_.contains({site, closed->key}),
           "only who was counted is told so");
    }
  }
  void Train(std::deque<Event>& box, const SiteId& site, const AttemptKey& key, bool good) {
    const double weight = good || random_.Chance(0.7) ? 10 : 900;
    box.push_back(ContributionStarted{site, key, weight});
    if (good) {
      box.push_back(ContributionComplete{site, key, weight, 0.3, 1, 1, 40});
      if (!calm_ && random_.Chance(0.1)) box.push_back(box.back());
    } else if (random_.Chance(0.4)) {
      box.push_back(ContributionRefused{site, key, "NaN"});
    } else if (random_.Chance(0.5)) {
      box.push_back(SiteTaskFailed{site, key, "cannot"});
    }
  }
  void Do(const OpenAttempt& open) {
    Must(!open_.has_value(), "one attempt is open at a time");
    Must(open.initial_model || open.sites.size() >= plan_.cohort.minimum_sites,
         "an attempt is opened with the minimum of sites");
    if (open.again) {
      Must(open.key == last_key_, "what is opened again was open");
      for (const SiteId& site : open.held) {
        Must(completed_.contains(site), "what is held had arrived");
      }
      completed_ = open.held;
      open_ = open;
      aggregating_ = false;
      return;
    }
    Must(open.key > last_key_, "an attempt has a key of its own");
    Must(open.weight_unit > 0, "weights are scaled by a positive unit");
    last_key_ = open.key;
    open_ = open;
    asked_.clear();
    completed_.clear();
    dropped_.clear();
    aggregating_ = false;
  }
  void Do(const DropContribution& drop) {
    Must(open_ && open_->key == drop.key && open_->sites.contains(drop.site),
         "what is dropped belongs to the open attempt");
    Must(!aggregating_, "nothing is dropped once the attempt is closed");
    dropped_.insert(drop.site);
  }
  void Do(const Aggregate& aggregate) {
    Must(open_ && open_->key == aggregate.key, "what is aggregated is the open attempt");
    Must(aggregate.counted.size() >= plan_.cohort.minimum_sites, "a round counts on the minimum");
    for (const SiteId& site : aggregate.counted) {
      Must(open_->sites.contains(site) && asked_.contains(site), "who is counted was asked");
      Must(completed_.contains(site) && !dropped_.contains(site), "who is counted delivered");
      const bool first = counted_.insert({site, aggregate.key}).second;
      Must(first || aggregating_ || open_->again, "nobody is counted twice");
    }
    aggregating_ = true;
    if (!calm_ && random_.Chance(0.1)) {
      ours_.push_back(AggregateFailed{aggregate.key, "the disk is full"});
    } else {
      ours_.push_back(AggregateReady{aggregate.key, ModelNumber(++models_), 0.1});
    }
  }
  void Do(const Prepare&) { Must(false, "a plan without a table prepares nothing"); }
  void Do(const AbandonAttempt& abandon) {
    Must(open_ && open_->key == abandon.key, "what is given up is the open attempt");
    for (const SiteId& site : sites_) counted_.erase({site, abandon.key});
    open_.reset();
    aggregating_ = false;
  }
  void Do(const Record& record) {
    const wire::RunEvent& event = record.event;
    Must(event.time == now_, "an event carries its time");
    if (event.kind == Kind::kWaiting) {
      Must(event.text.find("until ") != std::string::npos ||
               event.text.find("next try at ") != std::string::npos,
           "a wait says until when");
    }
    if (event.kind == Kind::kAggregated) {
      if (event.round > 0) {
        ++rounds_counted_;
        Must(event.values.at("contributions") >= plan_.cohort.minimum_sites,
             "a round counts on the minimum");
      }
      open_.reset();
      aggregating_ = false;
    }
    gate_passed_ =
        event.kind == Kind::kGatePassed || (gate_passed_ && event.kind != Kind::kGateFailed);
    const bool progress = event.kind == Kind::kRoundOpened || event.kind == Kind::kAggregated ||
                          event.kind == Kind::kRoundEvaluated;
    explained_ = event.kind == Kind::kWaiting || (explained_ && !progress);
  }
  void Do(const StoreEvaluation& store) {
    Must(engine_->state().participants.at(store.site).invite == InviteState::kAccepted ||
             engine_->ended(),
         "who evaluates takes part");
  }
  void Do(const Publish& publish) {
    Must(gate_passed_, "only what passed the gate is published");
    Must(publish.model == engine_->state().best, "the best is what is published");
    Must(++published_ == 1, "a run publishes once");
  }
  void Do(const WakeAt& wake) {
    Must(wake.time > now_, "the engine is woken in the future");
    wake_ = wake.time;
  }
  void Do(const EndRun&) { ++ends_; }
  void Do(const StorePooledEvaluation&) { Must(false, "a sealed run has each site's results"); }
  void Do(const StoreDescription&) { Must(false, "nobody asked for a description"); }
  void Do(const KeepWork&) {}
  void Do(const Audit& audit) { Must(!audit.subject.empty(), "what is logged names its subject"); }

  SeededRandom random_;
  plan::Plan plan_;
  std::vector<SiteId> sites_;
  std::optional<RoundEngine> engine_;
  Time now_{std::chrono::seconds(1'800'000'000)};
  std::set<SiteId> connected_;
  std::map<SiteId, std::deque<Event>> outbox_;
  std::deque<Event> ours_;  // what the coordinator's aggregation will say
  std::vector<Event> delivered_;
  std::optional<Time> wake_;
  std::optional<OpenAttempt> open_;
  WorkJournal journal_;
  AttemptKey last_key_{RunId("storm-0001"), 0, 0};
  std::set<SiteId> asked_, completed_, dropped_;
  std::set<std::pair<SiteId, AttemptKey>> counted_;
  std::map<std::pair<SiteId, AttemptKey>, bool> told_;
  bool aggregating_ = false, gate_passed_ = false, explained_ = false, calm_ = false;
  int ends_ = 0, published_ = 0, rounds_counted_ = 0;
  std::uint8_t models_ = 0;
};

TEST_CASE("the rules of a run hold in twenty thousand random storms") {
  int published = 0, rounds = 0;
  for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
    Storm storm(seed);
    try {
      storm.Run();
    } catch (const RuleBroken& broken) {
      FAIL("seed " << seed << ": this does not hold: " << broken.what());
    }
    published += storm.published();
    rounds += storm.rounds_counted();
  }
  // The storms are not so wild that nothing is ever done in them.
  CHECK(published > 1000);
  CHECK(rounds > 5'000);
}

}  // namespace
}  // namespace consilium::coordinator
