#pragma once

// One secure session of three sites and a coordinator, played honestly to its end: what each said
// in each step, and what site "a" was at the beginning of each. The same in every run.

#include <map>
#include <optional>
#include <vector>

#include "common/secagg/coordinator_session.h"
#include "common/secagg/site_session.h"
#include "common/wire/protocol.h"

namespace consilium::fuzz {

inline const SiteId kAlpha{"alpha"}, kBeta{"beta"}, kGamma{"gamma"};

struct SecureScene {
  secagg::SessionConfig config;
  std::map<SiteId, crypto::Ed25519KeyPair> keys;
  std::map<SiteId, crypto::Ed25519PublicKey> public_keys;

  // What the sites answered in steps 0 to 4; an upload's answer is its proof.
  std::map<SiteId, secagg::Advertisement> advertisements;
  std::map<SiteId, std::vector<secagg::SealedShare>> shares;
  std::map<SiteId, secagg::UploadProof> proofs;
  std::map<SiteId, crypto::Signature> agreements;
  std::map<SiteId, secagg::UnmaskAnswer> answers;

  // What alpha was told to begin steps 1 to 4 (3: after its upload), and its saved session when it
  // was told it.
  std::vector<wire::SecureNotice> notices;
  std::vector<crypto::Secret> saved;

  static const SecureScene& Played();
  secagg::SiteView ViewOf(const SiteId& site) const;
  secagg::SiteSession Restored(std::size_t notice) const;
  // A coordinator at the beginning of this step.
  secagg::CoordinatorSession CoordinatorAt(int step) const;
  absl::Status Answer(secagg::CoordinatorSession& coordinator, const SiteId& site, int step) const;
};

}  // namespace consilium::fuzz
