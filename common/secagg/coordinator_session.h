#pragma once

// The coordinator's part in one session. Deterministic and without secrets of its own. What a site
// sends that is wrong is refused with a reason (kInvalidArgument, kUnauthenticated) and changes
// nothing; what is late, repeated the same, or of a site that is not in the step any more, is
// kFailedPrecondition or OK as said below.

#include <map>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "common/secagg/masking.h"
#include "common/secagg/messages.h"

namespace consilium::secagg {

class CoordinatorSession {
 public:
  enum class Step {
    kAdvertising = 0,
    kSharing = 1,
    kUploading = 2,
    kAgreeing = 3,
    kUnmasking = 4,
    kOpened = 5
  };

  // `sites`: the cohort with the roster's signing keys.
  CoordinatorSession(SessionConfig config, std::map<SiteId, crypto::Ed25519PublicKey> sites);
  CoordinatorSession(CoordinatorSession&&) noexcept;
  CoordinatorSession& operator=(CoordinatorSession&&) noexcept;
  ~CoordinatorSession();

  const SessionConfig& config() const;
  Step step() const;
  // The sites this step waits for: has not answered it, and is still in. Empty: the step is ready
  // to be closed.
  std::set<SiteId> Awaited() const;
  // Whether `site` is one of them, without counting the others.
  bool Awaits(const SiteId& site) const;
  // Sites that the present step can still count on, answered or not.
  std::set<SiteId> Members() const;
  // Whether this site has answered the present step.
  bool Answered(const SiteId& site) const;

  // Takes a site out of the steps to come (it failed, it is revoked, it is too late). In
  // kAdvertising and kSharing it is left out of U1 or U2, in kUploading it becomes one whose masks
  // are reconstructed, all of them also when it had answered: one that has delivered and whose
  // connection is gone is better not lost before kAgreeing. In kAgreeing and kUnmasking its
  // contribution stays and its answer, if it gave one, counts; it is only not waited for.
  void Lose(const SiteId& site);

  // ---- what arrives. A site's very same message again is OK, at any later step too.
  absl::Status Take(const Advertisement& advertisement);
  // From `site` to every other member of U1.
  absl::Status Take(const SiteId& site, std::vector<SealedShare> shares);
  absl::Status Take(const SiteId& site, const UploadProof& proof);
  absl::Status Take(const SiteId& site, const crypto::Signature& survivors_signature);
  absl::Status Take(const SiteId& site, const UnmaskAnswer& answer);

  // Ends the present step, without those that have not answered, and begins the next.
  // kFailedPrecondition with the numbers when fewer than the threshold are left: the session has
  // failed. kUnmasking is ended by Open(), not here. Whoever has not signed in kAgreeing is not
  // asked in kUnmasking: closed with the threshold's number of signatures, no site may fail there.
  absl::Status CloseStep();
  // In kAgreeing and kUnmasking: the threshold's number of answers, enough to go on at once.
  bool EnoughAnswers() const;

  // ---- what is sent, from its step on
  const std::vector<Advertisement>& members() const;  // U1, to all of it, from kSharing on
  std::vector<SealedShare> SharesFor(const SiteId& site) const;            // from kUploading on
  const std::set<SiteId>& sharers() const;                                 // U2, from kUploading on
  const std::set<SiteId>& survivors() const;                               // U3, from kAgreeing on
  const std::map<SiteId, crypto::Signature>& survivor_signatures() const;  // from kUnmasking on
  const Digest& transcript() const;                                        // T, from kSharing on

  // In kUnmasking with EnoughAnswers(): reconstructs the survivors' seeds and the lost sites' mask
  // keys, checks each against what was advertised, and returns the masks that take all masks out of
  // the sum of the survivors' vectors when they are added to it. Wrong shares are left out as far
  // as others suffice. Then kOpened. kDataLoss: they do not; nothing has changed, with more answers
  // it may be tried again.
  absl::StatusOr<std::vector<Mask>> Open();
  // After Open(), of what it found wrong: who answered with shares that had to be left out, and,
  // when only some secrets do not come out, whose those are (they shared wrongly). Empty when
  // nothing was wrong, or when too many answers are wrong to say whose.
  const std::set<SiteId>& Suspects() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace consilium::secagg
