#pragma once

// Keys of a federation's members, made once in a process: all simulations have the same.

#include <map>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/crypto/keys.h"
#include "common/identity/identity.h"
#include "common/identity/roster.h"
#include "coordinator/ledger.h"

namespace consilium::simulation {

inline constexpr char kFederation[] = "simulated-federation";
inline constexpr char kResearcher[] = "ada";
// When every simulation begins.
inline constexpr Time kBeginning{std::chrono::hours(24 * 365 * 56)};

class FederationKeys {
 public:
  static const FederationKeys& Get();

  // Writes the coordinator's keys below `state`, as Authority::Create left them.
  absl::Status Install(const fs::path& state) const;
  // Of the sites "a", "b" ..., the researcher and the coordinator.
  identity::SignedRoster RosterOf(std::size_t sites, std::uint64_t version,
                                  const std::map<SiteId, double>& weight_caps,
                                  const std::vector<SiteId>& without = {}) const;
  static SiteId SiteNamed(std::size_t index);  // "a" ... "z", "a1" ...
  identity::Identity IdentityOf(const SiteId& site) const;
  coordinator::Member MemberNamed(const std::string& name, identity::Role role) const;
  const crypto::Ed25519KeyPair& researcher() const { return researcher_; }
  const crypto::Ed25519PublicKey& root() const { return root_.public_key; }

 private:
  FederationKeys();
  crypto::Ed25519KeyPair root_, researcher_;
  identity::RosterEntry coordinator_;
  std::vector<std::pair<std::string, Bytes>> files_;  // below the coordinator's state
};

}  // namespace consilium::simulation
