#pragma once

// Where a run stands: what must survive a restart. It is in the ledger's tables (ledger_tables.h)
// and comes back through Ledger::LoadRunState.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/metrics/task_sums.h"
#include "common/wire/protocol.h"
#include "coordinator/round_events.h"

namespace consilium::coordinator {

enum class Phase {
  kInviting,
  kInitialModel,
  kTraining,
  kAggregating,
  kEvaluating,
  kFinalEvaluation,
  kEnded,
  kDescribing,
  kPreparing  // the numbers are stored: append only
};

enum class InviteState { kNotInvited, kInvited, kAccepted, kDeclined };

struct Participant {
  InviteState invite = InviteState::kNotInvited;
  std::string decline_reason;
  std::uint64_t train_patients = 0, train_examples = 0, refused_files = 0;
  std::map<std::string, std::uint64_t> refusals;  // files by reason
};

// What became of a site's last contributions, oldest first: a site that was away may have heard of
// none of them.
class Closings {
 public:
  void Add(const SiteId& site, wire::AttemptClosed closed) {
    std::vector<wire::AttemptClosed>& of_site = closings_[site];
    std::erase_if(of_site, [&](const auto& other) { return other.key == closed.key; });
    of_site.push_back(std::move(closed));
    if (of_site.size() > kKept) of_site.erase(of_site.begin());
  }
  const std::vector<wire::AttemptClosed>& Of(const SiteId& site) const {
    static const std::vector<wire::AttemptClosed> kNone;
    const auto found = closings_.find(site);
    return found == closings_.end() ? kNone : found->second;
  }

 private:
  static constexpr std::size_t kKept = 8;
  std::map<SiteId, std::vector<wire::AttemptClosed>> closings_;
};

struct RunState {
  RunId run;
  Phase phase = Phase::kInviting;
  Time started{};                        // of the run; zero before its first Start
  std::uint32_t round = 0, attempt = 0;  // the current ones
  std::uint32_t failed_attempts =
      0;  // of this round, below the minimum (not those that a restart cut off)
  // Attempts at evaluations of this run, masked ones only: every session has a number of its own.
  std::uint32_t evaluation_attempt = 0;
  // The shares that open this attempt's sum have been asked for.
  bool opening = false;
  std::uint64_t parameters = 0;  // of the model; 0: not known yet
  // Of them, those that do not travel (common/model/travelling.h). As `layout`, which then is that
  // of what travels.
  std::uint64_t frozen = 0;
  Digest layout;  // SHA-256 of its safetensors header. Not in the ledger: the conductor takes it
                  // from the base's file
  std::optional<ModelId> base;       // what the current round trains from
  std::optional<ModelId> candidate;  // what is being evaluated; what is asked, of a description
  std::map<SiteId, Participant> participants;
  std::map<SiteId, metrics::TaskSums> evaluations;  // of `candidate`, in this phase; sealed only
  std::optional<ModelId> best;
  std::uint32_t best_round = 0;
  double best_headline = 0;  // pooled, validation (base/task.h)
  std::string stop_reason;   // set once the run is on its way to the final evaluation
  // Of the work under way, as the ledger holds them: only what LoadRunState gives to a new engine.
  std::vector<WorkRecord> work;
  Closings closings;  // likewise
};

// The release gate's inputs from the last published model of the same plan name, if there is one.
struct LastPublished {
  std::optional<ModelId> model;             // sites compare themselves with it (masked)
  std::map<SiteId, double> site_headlines;  // test; of runs with sealed updates only
};

}  // namespace consilium::coordinator
