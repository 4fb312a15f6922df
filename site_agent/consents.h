#pragma once

// Which runs this site takes part in: the researcher's signature, the site's policy, its operator
// and its data have a say, in this order.

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/identity/roster.h"
#include "common/plan/plan.h"
#include "common/wire/protocol.h"
#include "site_agent/learner.h"
#include "site_agent/policy.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {

// OK when a researcher of the roster signed this very plan for this federation.
absl::Status CheckSubmission(const wire::Invite& invite, const identity::Roster& roster);

// A run as this site takes part in it.
struct Agreement {
  plan::Plan plan;
  RunRecord run;
  Policy policy;
};
// kFailedPrecondition: not accepted; kPermissionDenied: the policy or the operator forbids it by
// now.
absl::StatusOr<Agreement> FindAgreement(SiteState& state, const RunId& run);

// Not thread-safe. References must outlive it.
class Consents {
 public:
  Consents(SiteState& state, LocalData& data, const Clock& clock)
      : state_(state), data_(data), clock_(clock) {}

  // Remembers the answer before it returns it. Empty: the operator is asked. An invitation that
  // nobody entitled has signed, or that changes a run's plan, is declined and changes nothing.
  absl::StatusOr<std::optional<wire::InviteAnswer>> Answer(const wire::Invite& invite,
                                                           const identity::Roster& roster);
  // To runs that waited for the operator, who has decided.
  absl::StatusOr<std::vector<wire::InviteAnswer>> Decided();

 private:
  // The answer by policy, operator and data; waiting is kWaiting.
  struct Judgement {
    Consent consent = Consent::kDeclined;
    wire::InviteAnswer answer;
  };
  Judgement Judge(const wire::Invite& invite);
  absl::StatusOr<DataOffer> Offer(const wire::Invite& invite, bool* ask);

  SiteState& state_;
  LocalData& data_;
  const Clock& clock_;
};

}  // namespace consilium::site_agent
