#pragma once

// What must hold whatever goes wrong. Watches a simulation from outside: what machines say to each
// other, what the coordinator has committed, what lies in the sites' databases. Computes by itself
// what the federation must have come to.
//
//  model        every candidate is base + the weighted mean of exactly the counted contributions,
//               each of which was delivered; a round is aggregated once
//  evaluation   what the ledger says of a model is what the sites named there make of it
//  preparation  round one of a table begins from the first model with the scales of exactly the
//               counted sites' rows, each of which was delivered and opened by enough; once
//  description  what a run describes is the suppressed sum of exactly its sites' own, likewise
//  consent      what a site is asked for after its operator refused the run, it does not answer
//  gate         what is published was evaluated by enough sites, passed the gate, and is there
//  proof        its record and the log prove it from the root's key, of a table with its
//  preparation trained      nobody trains again what it said it had on its disk masks        keys
//  of a session are advertised once, and mask one vector shares       a site gives shares of a
//  session once, of one kind for each site, after enough
//               signatures, and opens a quantity with one set of survivors; no sum is opened by
//               fewer than the threshold
//  told         the coordinator does not contradict itself: requests, survivors, counted, outcome;
//               a candidate is there for whoever downloads it until the next one is
//  durable      what was committed or acknowledged is there after every restart: events, uploads,
//               the attempt under way, the audit log and every head that a site signed
//  honest       what a site delivered, undamaged on its way, is not refused, and what the sites
//               delivered does not add up to nonsense
//  agreement    what the ledger counted is what each site's database says was counted
//  alive        no honest member has to give up; a run ends or says what it waits for

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "common/wire/protocol.h"
#include "coordinator/ledger.h"
#include "tests/simulation/world.h"

namespace consilium::simulation {

class Invariants {
 public:
  explicit Invariants(World& world) : world_(world) {}

  bool violated() const { return !violations_.empty(); }
  const std::vector<std::string>& violations() const { return violations_; }
  void Violate(std::string_view invariant, const std::string& what);

  // ---- the sites
  void OnSent(const SiteId& site, const wire::FromSite& message);
  void OnHeard(const SiteId& site, const wire::ToSite& message);
  void OnTrained(const SiteId& site, std::span<const float> base, std::uint64_t seed);
  void OnSiteBegins(SiteMachine& site);
  void OnRefused(const SiteId& site, const RunId& run) { refused_.emplace(site, run); }
  void OnSiteGivesUp(const SiteMachine& site, const absl::Status& why);
  // The disk gave errors: it may have lost what was said to be on it.
  void OnDiskErrors(const std::string& machine) { harmed_.insert(machine); }

  // ---- the coordinator
  void OnTold(const SiteId& site, const wire::ToSite& message);
  void OnUpload(const SiteId& site, const wire::UploadHeader& header);
  void OnSegmentCorrupted(const SiteId& site, const AttemptKey& key);
  void OnPieceCorrupted(const SiteId& site) { pieces_corrupted_.insert(site); }  // of a model
  void OnSegmentSent(const SiteId& site, const AttemptKey& key) { sent_.emplace(site, key); }
  void OnSegmentTaken(const SiteId& site, const wire::UploadHeader& header);
  void OnReceipt(const SiteId& site, const AttemptKey& key);
  void OnSubmitted(const RunId& run, const std::string& toml);
  void OnStep(CoordinatorMachine& coordinator);
  // A site wanted to download it.
  void OnModelNotThere(CoordinatorMachine& coordinator, const SiteId& site, const ModelId& model);
  void OnCoordinatorBegins(CoordinatorMachine& coordinator);
  void OnCoordinatorGone() {}
  void OnCannotBegin(const std::string& machine, const absl::Status& why);

  void AtEnd(CoordinatorMachine& coordinator);

  struct Run {
    plan::Plan plan;
    std::vector<wire::RunEvent> events;
    bool ended = false, failed = false;
    std::optional<ModelId> candidate;  // the last one
    std::optional<ModelId> published;
    std::optional<AttemptKey> under_way;  // opened, and not yet aggregated or failed
    std::uint32_t rounds = 0, attempts = 0;
    // What it waits for, by its last word on that.
    std::string waiting;
    Time last_event{};  // when it was seen
  };
  const std::map<RunId, Run>& runs() const { return runs_; }
  const std::map<AttemptKey, std::set<SiteId>>& counted() const { return counted_; }

 private:
  using Values = std::vector<float>;
  struct Asked {  // of an attempt
    ModelId base;
    std::uint64_t seed = 0;
    std::optional<secagg::SessionConfig> secure;
  };
  struct Session {
    std::optional<secagg::SessionConfig> config;
    std::map<SiteId, Digest> advertised, vectors;
    std::map<SiteId, std::size_t> signatures_heard;
    std::map<SiteId, wire::SecureAnswer> unmasked;
    std::optional<std::set<SiteId>> survivors;
  };

  void Advertised(const SiteId& site, Session& session, const secagg::Advertisement& sent);
  void Masked(const SiteId& site, Session& session, const Digest& vector);
  void Unmasked(const SiteId& site, Session& session, const wire::SecureAnswer& sent);
  void CheckOneShotRecord(const SiteId& site, const wire::SecureAnswer& sent,
                          const std::set<SiteId>& survivors, const ModelId& model);
  void CheckConsent(const SiteId& site, const secagg::SessionKey& asked);
  // The sums of these sites, and of no other, were opened in the session, by enough of them.
  void CheckOpened(const secagg::SessionKey& key, const std::set<SiteId>& sites,
                   const std::string& what);
  void CheckNothingForgotten(const Run& run, const wire::RunEvent& opened);
  void CheckLoss(const wire::RunEvent& event);
  void ReadEvents(coordinator::Ledger& ledger, const RunId& run, Run& known);
  void TakeEvent(Run& run, const wire::RunEvent& event);
  void TakeEntry(CoordinatorMachine& coordinator, const wire::LogEntry& entry);
  void CheckAggregate(CoordinatorMachine& coordinator, const wire::LogEntry& entry);
  void CheckEvaluations(coordinator::Ledger& ledger, const RunId& run);
  void CheckPreparation(CoordinatorMachine& coordinator, const wire::LogEntry& entry);
  void CheckDescription(CoordinatorMachine& coordinator, const wire::LogEntry& entry);
  void CheckProof(coordinator::Ledger& ledger, const Run& run, const ModelId& model,
                  const std::string& record);
  void CheckPublication(CoordinatorMachine& coordinator, const wire::LogEntry& entry);
  void CheckSites(const RunId& run);
  std::optional<Values> ExpectedModel(const AttemptKey& key, const Asked& asked,
                                      const std::set<SiteId>& counted, const Values& base);
  Values UpdateOf(const SiteId& site, const Asked& asked, const Values& base) const;
  double WeightOf(const SiteId& site, const plan::Plan& plan) const;
  const Values* ModelNamed(CoordinatorMachine& coordinator, const ModelId& model);
  Run* RunOf(const RunId& run);

  World& world_;
  std::vector<std::string> violations_;
  std::map<RunId, Run> runs_;
  std::map<AttemptKey, Asked> asked_;
  std::map<secagg::SessionKey, Session> sessions_;
  std::map<ModelId, Values> models_;
  std::map<AttemptKey, std::set<SiteId>> counted_;
  std::set<std::pair<SiteId, AttemptKey>> sent_, receipts_, corrupted_;
  std::map<std::pair<SiteId, AttemptKey>, bool> closed_;
  std::map<RunId, std::optional<ModelId>> ended_told_;
  std::map<RunId, ModelId> prepared_;  // what round one begins from, of plans with a table
  std::set<std::pair<SiteId, RunId>> refused_;
  // Whether a site had refused the run when it was first asked for this.
  std::map<std::pair<SiteId, secagg::SessionKey>, bool> asked_refused_;
  // Trainings that a site said were on its disk: by the base's values and the site's seed.
  std::set<std::tuple<SiteId, std::uint64_t, std::uint64_t>> kept_;
  // With whom a site opened a quantity: run, round, purpose, model. All descriptions are one.
  std::map<std::tuple<SiteId, RunId, std::uint32_t, secagg::Purpose, ModelId>, std::set<SiteId>>
      opened_;
  std::set<SiteId> pieces_corrupted_;
  std::set<std::string> harmed_;
  std::uint64_t log_read_ = 0;
  Digest log_head_;
  std::map<std::uint64_t, Digest> heads_;  // that sites signed
  std::uint64_t syncs_seen_ = 0;
};

}  // namespace consilium::simulation
