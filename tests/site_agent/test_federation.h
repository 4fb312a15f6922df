#pragma once

// A federation in memory: its root, its coordinator's keys, one researcher and some sites.

#include <map>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/identity/identity.h"
#include "common/identity/roster.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

inline constexpr char kFederation[] = "test-federation";
inline constexpr char kResearcher[] = "ada";

class TestFederation {
 public:
  explicit TestFederation(const std::vector<std::string>& sites = {"north", "south", "west"});

  // The roster as it stands, signed; `version` 0: the next one.
  identity::SignedRoster Sign(std::uint64_t version = 0);
  const identity::SignedRoster& current() const { return current_; }
  identity::Identity IdentityOf(const SiteId& site) const;
  // Signed by the researcher, with a nonce of the run's own.
  wire::Invite Invite(const RunId& run, const std::string& plan) const;
  wire::PlanNonce NonceOf(const RunId& run) const;
  std::map<SiteId, crypto::Ed25519PublicKey> SiteKeys() const { return roster.SiteKeys(); }

  crypto::Ed25519KeyPair root, researcher, coordinator;
  crypto::X25519KeyPair sealing;
  std::map<SiteId, crypto::Ed25519KeyPair> sites;
  identity::Roster roster;  // of the next Sign()

 private:
  identity::SignedRoster current_;
};

}  // namespace consilium::site_agent
