#pragma once

// What the tests of masked runs share: a plan, the names of the sites and of a session's steps.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/coordinator/masked_federation.h"
#include "tests/coordinator/round_engine_scene.h"

namespace consilium::coordinator {

using Kind = wire::RunEventKind;
using Steps = std::vector<std::string>;

inline const SiteId kA{"a"}, kB{"b"}, kC{"c"}, kD{"d"};
inline const Steps kSteps = {"advertise", "share", "upload", "agree", "unmask"};

inline plan::Plan MaskedPlan(std::uint32_t rounds = 1) {
  plan::Plan plan = ShortPlan();
  plan.aggregation.updates = plan::Updates::kMasked;
  plan.cohort.minimum_sites = 3;
  plan.gate.minimum_sites = 3;
  plan.stop.rounds = rounds;
  plan.model.initial = ModelNumber(200);
  return plan;
}

// The step that an event of a site answers; empty for any other. `training`: of a session of
// updates, not of an evaluation.
inline std::string StepOf(const Event& event, bool training = true) {
  if (std::holds_alternative<ContributionComplete>(event)) return training ? "upload" : "";
  const auto* answered = std::get_if<SecureAnswered>(&event);
  if (answered == nullptr) return "";
  const bool of_training = answered->answer.session.purpose == secagg::Purpose::kTraining;
  if (of_training != training) return "";
  switch (answered->answer.answer.index()) {
    case 0:
      return "advertise";
    case 1:
      return "share";
    case 2:
      return "upload";
    case 3:
      return "agree";
    default:
      return "unmask";
  }
}

inline bool Published(const MaskedFederation& federation) {
  return federation.All<Publish>().size() == 1;
}

// Everybody has accepted and trains; the site's answer to `step` and all after it are lost.
inline void BeginWithoutAnswersFrom(MaskedFederation& federation, const std::set<SiteId>& silent,
                                    std::size_t step, bool training = true) {
  federation.pass = [silent, step, training](const SiteId& site, const Event& event) {
    const std::string of = StepOf(event, training);
    const auto at = std::find(kSteps.begin(), kSteps.end(), of) - kSteps.begin();
    return !silent.contains(site) || of.empty() || at < static_cast<std::ptrdiff_t>(step);
  };
  federation.Start();
  federation.Run();
}

// A run of one session whose sums the sites' data are: a description, or a preparation.
struct SumsFederation : MaskedFederation {
  using MaskedFederation::MaskedFederation;

  // The one answer of `silent` to `step` is lost, and all after it.
  void Silence(const SiteId& silent, std::size_t step) {
    pass = [silent, step](const SiteId& site, const Event& event) {
      const auto* answered = std::get_if<SecureAnswered>(&event);
      return site != silent || answered == nullptr || answered->answer.answer.index() < step;
    };
  }
  EndRun Ended() const {
    const auto ended = All<EndRun>();
    REQUIRE(ended.size() == 1);
    return ended[0];
  }
  // The one entry of the audit log with this action.
  Audit Audited(const std::string& action) const {
    std::vector<Audit> found;
    for (const Audit& audit : All<Audit>()) {
      if (audit.action == action) found.push_back(audit);
    }
    REQUIRE(found.size() == 1);
    return found[0];
  }
};

}  // namespace consilium::coordinator
