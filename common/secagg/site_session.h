#pragma once

// A site's part in one session. It believes nothing but its pinned roster: every check of the
// protocol is made here, and a refusal (kPermissionDenied, kInvalidArgument, kFailedPrecondition)
// says which one failed. After a refusal of steps 1 to 4 the session is over: its secrets are wiped
// and it answers nothing more. A call before its step has come is kFailedPrecondition too, but
// changes nothing. Not thread-safe.

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/secagg/masking.h"
#include "common/secagg/messages.h"

namespace consilium::secagg {

// What the site knows by itself, not from the coordinator.
struct SiteView {
  SiteId self;
  std::map<SiteId, crypto::Ed25519PublicKey>
      sites;      // the roster's sites and their signing keys, self among them
  Digest roster;  // SHA-256 of the roster's file
  std::uint32_t minimum_cohort = kFewestSites;  // the site's own policy
};

// Committed to the site's disk (fsynced) before a share leaves: for this transcript the site
// answers once, ever.
struct UnmaskRecord {
  SessionKey key;
  ModelId model;
  Digest transcript;
  std::set<SiteId> sharers, survivors;
};

class SiteSession {
 public:
  // Step 0: makes fresh keys. Refuses a config that the site cannot take part in: threshold below
  // Threshold(cohort_size), cohort under 3 or under the site's own minimum or over 255, another
  // roster than the pinned one, itself not in it with this very signing key. All randomness of the
  // session is drawn here. `signing_key` must outlive the session.
  static absl::StatusOr<SiteSession> Open(SessionConfig config, SiteView view,
                                          const crypto::Ed25519KeyPair& signing_key,
                                          RandomSource& random);
  SiteSession(SiteSession&&) noexcept;
  SiteSession& operator=(SiteSession&&) noexcept;
  ~SiteSession();

  const SessionConfig& config() const;
  const Advertisement& advertisement() const;

  // Step 1. Checks each member: in the roster, once, its signature over this very context, no key
  // or seed used twice, its own entry unchanged, at most cohort_size and at least
  // max(t, minimum_cohort) of them. One sealed share for every other member, in the order of their
  // names. The same list again, in any order, gives the same bytes; another list is refused.
  absl::StatusOr<std::vector<SealedShare>> ShareWith(const std::vector<Advertisement>& members);

  // After step 1: the shares of the others for this site. U2 = the senders and itself. Opens each;
  // refuses one that does not open, is for somebody else, is from no member, or comes twice, and
  // fewer than t. The same again, in any order, is no error; others are refused.
  absl::Status TakeShares(const std::vector<SealedShare>& shares);

  // Step 2: the site's own mask and one for every other of U2. kFailedPrecondition before
  // TakeShares.
  absl::StatusOr<std::vector<Mask>> Masks() const;
  // Signs the masked vector's hash. One vector a session: another hash is refused, and so is a
  // first one after SignSurvivors.
  absl::StatusOr<UploadProof> SignUpload(const Digest& sha256);

  // Step 3. Refuses survivors that are not all of U2, are fewer than max(t, minimum_cohort), leave
  // out this site although it signed its upload or name it although it did not, or are another set
  // than it signed before; and `released`: the set with which the same quantity was opened before
  // (it may be opened again only with the very same).
  absl::StatusOr<crypto::Signature> SignSurvivors(const std::set<SiteId>& survivors,
                                                  const std::optional<std::set<SiteId>>& released);

  // Step 4. Needs t valid signatures of survivors on the very (T, U2, U3) that this site signed;
  // others among them do not count. Calls `commit` before it gives anything; an error of it is
  // returned and nothing is given. In every case all secrets are gone then, and every further call
  // is refused: what has to be sent again, the caller keeps.
  absl::StatusOr<UnmaskAnswer> Unmask(
      const std::map<SiteId, crypto::Signature>& signatures,
      const std::function<absl::Status(const UnmaskRecord&)>& commit);

  // To go on after a restart of the site: everything, secrets too. Keep it sealed. Restoring
  // refuses what Open refuses (a new roster, a new minimum). kDataLoss: damaged.
  crypto::Secret Save() const;
  static absl::StatusOr<SiteSession> Restore(ByteView saved, SiteView view,
                                             const crypto::Ed25519KeyPair& signing_key);

  // T; kFailedPrecondition before ShareWith.
  absl::StatusOr<Digest> transcript() const;
  // No further answer will be given: it was refused, or it is unmasked.
  bool over() const;

 private:
  struct Impl;
  explicit SiteSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::secagg
