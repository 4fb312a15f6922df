#pragma once

// A federation in one process for masked runs: real site sessions that answer the engine's
// messages, and an aggregator that adds up masked updates of a few parameters. Nothing happens by
// itself: messages lie in inboxes until they are delivered, and may be lost on the way.

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/secagg/site_session.h"
#include "coordinator/round_engine.h"
#include "tests/coordinator/work_journal.h"

namespace consilium::coordinator {

inline constexpr std::uint64_t kParameters = 5;
inline constexpr double kSiteLoss = 0.5;  // that every site reports

// A hospital with its keys. Its updates and results depend on its name and the round only.
class MaskedSite {
 public:
  MaskedSite(SiteId id, std::uint64_t seed);

  const SiteId& id() const { return id_; }
  const crypto::Ed25519PublicKey& public_key() const { return signing_key_.public_key; }
  // What it answers. A repeated message is answered with the same bytes.
  std::vector<Event> On(const wire::ToSite& message, const RosterView& roster);
  void Forget();  // restarts without what it was doing; what it must never forget stays

  static std::vector<std::uint32_t> UpdateOf(const SiteId& site, std::uint32_t round);
  const std::vector<std::uint32_t>& MaskedUpdate(const AttemptKey& key) const;
  const std::vector<std::string>& refusals() const { return refusals_; }

  std::uint64_t examples = 100;
  double weight_cap = 0;
  metrics::EvaluationSums results;
  metrics::Description description;
  metrics::PreparationSums preparation;
  std::string declines;  // why; empty: it accepts

 private:
  struct Session {
    secagg::SiteSession session;
    std::optional<Event> unmasked;
  };
  Session* Find(const secagg::SessionKey& key);
  std::vector<Event> Begin(const secagg::SessionConfig& config, const RosterView& roster);
  std::vector<Event> Step(Session& session, const wire::SecureNotice& notice);
  absl::StatusOr<std::vector<Event>> Deliver(Session& session,
                                             const std::vector<secagg::SealedShare>& shares);
  absl::StatusOr<Event> Unmask(Session& session,
                               const std::map<SiteId, crypto::Signature>& signatures);
  std::vector<Event> Refuse(const secagg::SessionKey& key, const absl::Status& why);
  Event Answer(const Session& session, decltype(wire::SecureAnswer::answer) answer) const;
  double Weight() const;

  SiteId id_;
  SeededRandom random_;
  crypto::Ed25519KeyPair signing_key_;
  std::map<secagg::SessionKey, Session> sessions_;
  std::map<AttemptKey, std::vector<std::uint32_t>> masked_;
  // With whom it opened a quantity: purpose, round and model.
  std::map<std::tuple<secagg::Purpose, std::uint32_t, ModelId>, std::set<SiteId>> released_;
  std::vector<std::string> refusals_;
};

class MaskedFederation {
 public:
  MaskedFederation(plan::Plan plan, std::size_t sites, std::uint64_t seed = 1,
                   LastPublished published = {});

  SiteId Name(std::size_t index) const;  // "a", "b" ...
  MaskedSite& site(const SiteId& id) { return sites_.at(id); }
  std::set<SiteId> sites() const;
  RosterView roster;  // in force: the engine hears of a change by RosterChanged

  void Start();  // all are connected
  void Start(const std::set<SiteId>& connected);
  // The coordinator is killed and comes back with what the ledger holds.
  void Restart(const std::set<SiteId>& connected);
  void Connect(const SiteId& site);
  void Disconnect(const SiteId& site);
  void Do(const Event& event);
  void Sleep(double seconds);  // with the wake-ups on the way
  void Wait(double seconds);   // with the wake-ups on the way and what they set going

  // Delivers everything, and what comes of it, until nothing is under way. No time passes.
  void Run();
  // One message of `site`'s inbox, or (empty name) one of the aggregator's answers. False: none.
  bool DeliverOne(const SiteId& site);
  bool Idle() const;

  // Every event of a site goes through here first. False: it is lost.
  std::function<bool(const SiteId&, const Event&)> pass;
  // Every message to a site that is put into its inbox. False: it is lost.
  std::function<bool(const SiteId&, const wire::ToSite&)> hears;
  bool disk_is_full = false;
  // Why no model can be made with the scales; empty: it can.
  std::string takes_no_scales;
  // Answers and uploads alone are committed only with the next step that tells anybody something: a
  // restart loses them.
  bool lazy_commits = false;
  // What a restart finds instead of the records that were kept.
  std::function<void(std::vector<WorkRecord>&)> damage;

  const RunState& state() const { return engine_->state(); }
  const RoundEngine& engine() const { return *engine_; }
  const plan::Plan& plan() const { return plan_; }
  AttemptKey Key() const { return {state().run, state().round, state().attempt}; }
  Time now() const { return now_; }
  std::size_t restarts() const { return restarts_; }
  const std::set<SiteId>& connected() const { return connected_; }
  const std::vector<Event>& heard() const { return heard_; }  // all events, for repeating them
  // What must never happen and did.
  const std::vector<std::string>& violations() const { return violations_; }

  template <class T>
  std::vector<T> All() const {
    std::vector<T> found;
    for (const Action& action : actions_) {
      if (const T* match = std::get_if<T>(&action)) found.push_back(*match);
    }
    return found;
  }
  template <class T>
  std::vector<T> SentTo(const SiteId& site) const {
    std::vector<T> found;
    for (const Send& send : All<Send>()) {
      const T* message = std::get_if<T>(&send.message);
      if (send.site == site && message != nullptr) found.push_back(*message);
    }
    return found;
  }
  std::vector<wire::RunEvent> Events(wire::RunEventKind kind) const;
  std::string LastText(wire::RunEventKind kind) const;
  // "advertise", "share" ... in order; of attempts or of evaluations.
  std::vector<std::string> Steps(bool evaluation) const;
  void ForgetActions() { actions_.clear(); }

 private:
  void CarryOut(std::vector<Action> actions);
  void Commit(const std::vector<Action>& actions);
  void Note(const Action& action);
  void Check(const OpenAttempt& open);
  void Check(const Aggregate& aggregate);
  void Check(const Prepare& prepare);
  void Check(const StorePooledEvaluation& store);
  void Check(const wire::RunEvent& event);
  void Must(bool holds, const std::string& rule);

  plan::Plan plan_;
  LastPublished published_;
  std::map<SiteId, MaskedSite> sites_;
  std::optional<RoundEngine> engine_;
  Time now_{std::chrono::seconds(1'800'000'000)};
  std::optional<Time> wake_;
  std::set<SiteId> connected_;
  std::map<SiteId, std::deque<wire::ToSite>> inbox_;
  std::deque<Event> ours_;
  std::vector<Event> heard_;
  std::vector<Action> actions_;
  std::vector<std::string> violations_;
  // The ledger
  RunState committed_;
  WorkJournal journal_;
  std::vector<Action> uncommitted_;

  std::optional<OpenAttempt> open_;
  AttemptKey last_key_;
  std::set<SiteId> completed_, dropped_;
  bool aggregated_ = false;
  std::map<AttemptKey, std::set<SiteId>> counted_;
  std::map<std::uint32_t, std::set<SiteId>> opened_rounds_;
  std::set<secagg::SessionKey> evaluations_;
  std::map<AttemptKey, std::uint8_t> models_;
  std::size_t restarts_ = 0;
};

}  // namespace consilium::coordinator
