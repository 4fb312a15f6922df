#pragma once

#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "common/identity/roster.h"
#include "coordinator/round_events.h"
#include "coordinator/shared_ledger.h"

namespace consilium::coordinator {

// The newest roster that the ledger has, which another process may have put there. Thread-safe.
//
// Claim: what Get returns was signed by the federation's root.
class RosterInForce {
 public:
  RosterInForce(SharedLedger& ledger, const crypto::Ed25519PublicKey& root)
      : ledger_(ledger), root_(root) {}

  // Shared: who works with one keeps it while a newer one comes. kNotFound before the first.
  absl::StatusOr<std::shared_ptr<const identity::SignedRoster>> Get();

 private:
  SharedLedger& ledger_;
  const crypto::Ed25519PublicKey root_;
  std::mutex mutex_;
  std::shared_ptr<const identity::SignedRoster> newest_;
};

// The sites of the roster whose keys are not revoked in the ledger.
RosterView ViewOf(const identity::SignedRoster& roster, const std::vector<Member>& members);

}  // namespace consilium::coordinator
