#pragma once

// Secure aggregation: what the sites and the coordinator say to each other in one session, and what
// they agree on.
//
// The protocol is Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
// Learning" (CCS 2017), in the variant for a malicious server (section 6.2, figure 4), on the full
// graph. One session adds up one vector of every site of a cohort and shows the coordinator nothing
// but the sum over those that delivered:
//
//   0. Advertise. Each site: fresh X25519 keys (shares, masks) and a fresh 32-byte seed, signed.
//   1. Share. Each site: its mask key and seed, split t-of-n, a sealed pair of shares a site.
//   2. Upload. Each site: its vector plus masks that cancel in the sum, and its signature.
//   3. Agree. Each site signs who delivered.
//   4. Unmask. Each site: for one that delivered its share of the seed, else of the mask key.
//
// A session is a training attempt's updates (32-bit ring) with a few sums beside them (64-bit
// ring), or the sums of an evaluation or a description. No I/O, no threads, no clock: SiteSession
// and CoordinatorSession are state machines.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"

namespace consilium::secagg {

inline constexpr int kProtocolVersion = 1;
inline constexpr std::size_t kFewestSites = 3, kMostSites = 255;

enum class Purpose : std::uint8_t {
  kTraining = 1,
  kValidation = 2,
  kTest = 3,
  kDescription = 4,
  kPreparation = 5
};
inline constexpr int kPurposes = 5;  // numbered from 1
// "training", "validation", "test", "description", "preparation"
std::string_view Name(Purpose purpose);

// One session. The attempts of a round's training and those of its evaluations are counted apart.
struct SessionKey {
  AttemptKey attempt;
  Purpose purpose = Purpose::kTraining;
  auto operator<=>(const SessionKey&) const = default;
  std::string ToString() const;  // "chest-0003/2/1 training"
};

// What every site of the session must have the same. A site that was told something else has
// another context, and neither its signatures nor its masks fit those of the others.
struct SessionConfig {
  std::string federation;
  SessionKey key;
  // That is trained from, or evaluated; of a description: what is asked (wire::QuestionOf).
  ModelId model;
  Digest roster;                  // SHA-256 of the roster's file
  std::uint32_t cohort_size = 0;  // sites asked to take part: at most so many may advertise
  std::uint32_t threshold = 0;    // t: Threshold(cohort_size) or more
  // The vector and how it was made ("config hash")
  std::uint64_t values = 0;      // d: 32-bit numbers; 0 in an evaluation or description
  std::uint32_t sums = 0;        // 64-bit numbers beside them
  Digest layout;                 // SHA-256 of the model's safetensors header; zero likewise
  double clip_norm = 0;          // C (model/quantizer.h)
  double total_weight = 0;       // W: of the whole cohort; a site's share is its weight / W
  std::string weight_rule;       // "examples", "patients", "equal"
  std::string privacy = "none";  // differential privacy, in words
  bool operator==(const SessionConfig&) const = default;
};

// floor(2n/3) + 1.
std::uint32_t Threshold(std::uint32_t cohort_size);

// ctx = SHA-256 over every field, each length-prefixed:
// version, federation, run, round, attempt, purpose, model, SHA-256(config fields), roster, cohort
// size, t.
Digest ContextHash(const SessionConfig& config);

// What a site signs is always one of these texts: a label, then length-prefixed fields.
struct Advertisement {  // step 0, about itself
  SiteId site;
  crypto::X25519PublicKey share_key{};  // c
  crypto::X25519PublicKey mask_key{};   // s
  Digest seed_hash;                     // SHA-256(b)
  crypto::Signature signature{};        // over AdvertisementText
  bool operator==(const Advertisement&) const = default;
};
Bytes AdvertisementText(const Digest& context, const Advertisement& advertisement);

// T = SHA-256(ctx, U1): the context and every advertisement (site, keys, seed hash) in the order of
// the sites' names.
Digest Transcript(const Digest& context, const std::vector<Advertisement>& members);

// `from`'s shares for `to`, sealed with AES-256-GCM under HKDF-SHA256(X25519(c, c'), salt T,
// "share" | from | to), associated data T | from | to, nonce zero: each key seals one message.
struct SealedShare {
  SiteId from, to;
  Bytes sealed;  // kSealedShareBytes
  bool operator==(const SealedShare&) const = default;
};
inline constexpr std::size_t kShareBytes = 32;
inline constexpr std::size_t kSealedShareBytes = 2 * kShareBytes + 16;

// Step 2. The vector itself travels apart; `sha256` is of all its bytes: values (u32), then sums
// (u64), little-endian.
struct UploadProof {
  Digest sha256;
  crypto::Signature signature{};  // over UploadText
  bool operator==(const UploadProof&) const = default;
};
Bytes UploadText(const Digest& transcript, const SiteId& site, const Digest& sha256);

// Step 3: (T, U2, U3). U2 are the sites that shared, U3 those of them that delivered.
Bytes SurvivorsText(const Digest& transcript, const std::set<SiteId>& sharers,
                    const std::set<SiteId>& survivors);

using Share = std::array<std::uint8_t, kShareBytes>;

// Step 4. For every site of U2 exactly one of the two.
struct UnmaskAnswer {
  std::map<SiteId, Share> seed_shares;      // of U3
  std::map<SiteId, Share> mask_key_shares;  // of U2 without U3
  bool operator==(const UnmaskAnswer&) const = default;
};

}  // namespace consilium::secagg
