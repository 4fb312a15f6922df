#pragma once

// Everything that a SiteSession must keep to go on after a restart, and its form on disk. Internal
// to this folder.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/secret.h"
#include "common/secagg/messages.h"

namespace consilium::secagg {

// A secret is empty before it is there and after it was wiped.
struct SiteState {
  SessionConfig config;
  Advertisement own;
  std::string over;  // why no further answer is given; empty while the session goes on

  // From step 0, wiped in step 1
  crypto::Secret share_key;  // private, of own.share_key
  crypto::Secret mask_key;   // private, of own.mask_key
  crypto::Secret seed;
  crypto::Secret coefficients;  // of both polynomials
  // From step 1
  std::vector<Advertisement> members;             // U1 by name
  std::vector<SealedShare> sent;                  // to the other members, by name
  std::map<SiteId, crypto::Secret> opening_keys;  // of the shares to come; wiped when they came
  std::map<SiteId, crypto::Secret> masks;         // keys: its own mask and one with each member
  // A share of each site's seed (32 bytes) and then of its mask key: after step 1 of the site
  // itself, after TakeShares of all sharers.
  std::map<SiteId, crypto::Secret> held;
  std::optional<Digest> taken;  // SHA-256 of what TakeShares took
  // From steps 2 and 3
  std::optional<Digest> upload;
  std::optional<std::set<SiteId>> survivors;

  void WipeStart();  // what step 0 drew
  void Wipe();       // all secrets
};

//   saved := "consilium secagg site state" version (u8: 1) field* SHA-256 of all before
//   field := u64 little-endian length, bytes; in the order of SiteState, lists behind their count
crypto::Secret SaveState(const SiteState& state);
// kDataLoss: not such a text, damaged, or of another version.
absl::StatusOr<SiteState> ReadState(ByteView saved);

}  // namespace consilium::secagg
