#pragma once

// A site's part in the secure sessions of its runs (common/secagg/site_session.h), kept on its disk
// so that a restart goes on where it was: an open session sealed with the site's own state key, and
// for good who unmasked what with whom.
//
// Claims: nothing leaves before what it means is on the disk. A session that was refused, answered
// or closed is never begun again. The same quantity (a round's update; one model's sums on one
// split) is opened with one set of survivors only, ever. The same question gets the same answer.
//
// Thread-safe: one thread may answer notices while another masks.

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/identity/identity.h"
#include "common/model/model_state.h"
#include "common/plan/plan.h"
#include "common/secagg/site_session.h"
#include "common/wire/protocol.h"
#include "site_agent/given_answers.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {

// What the site knows by itself of the session that it is asked to take part in.
struct SessionTerms {
  secagg::SessionKey key;  // for an evaluation any attempt will do
  ModelId model;
  const plan::Plan& plan;  // that it accepted
  double weight = 0;       // its own, capped as the roster says; training only
};

class SecureSessions {
 public:
  // The pinned roster and the site's own minimum for a session, at the moment.
  using ViewOf = std::function<absl::StatusOr<secagg::SiteView>(const secagg::SessionKey&)>;

  // All references must outlive it.
  SecureSessions(const identity::Identity& identity, SiteState& state, const Clock& clock,
                 RandomSource& random, ViewOf view_of);

  // Step 0: checks the config against the terms and advertises; the run's other sessions are closed
  // by it. The advertisement that was sent before, when it is asked for again. Errors: what fails
  // the checks (kInvalidArgument, kPermissionDenied), a session that was refused before
  // (kFailedPrecondition); kCancelled: closed, a request that came late.
  absl::StatusOr<wire::SecureAnswer> Open(const secagg::SessionConfig& config,
                                          const SessionTerms& terms);

  // Steps 1 to 4: the answer to a notice, if it has one. kCancelled: of a session that is closed.
  // Any other error has ended the session: its secrets are wiped, and it gives no more answers.
  absl::StatusOr<std::optional<wire::SecureAnswer>> On(const wire::SecureNotice& notice);

  // Step 2. None: the others' shares have not come. kCancelled when the session is over.
  absl::StatusOr<std::optional<std::vector<secagg::Mask>>> Masks(const secagg::SessionKey& key);
  // Binds the session to the masked vector with this hash before it may leave.
  absl::StatusOr<secagg::UploadProof> SignUpload(const secagg::SessionKey& key,
                                                 const Digest& sha256);

  // The site cannot go on with it: wiped, and refused when it is asked for again.
  void Refuse(const secagg::SessionKey& key, const std::string& reason);
  // The coordinator has done with it.
  void Close(const secagg::SessionKey& key, const std::string& reason);
  void CloseRun(const RunId& run);

 private:
  struct Entry {
    secagg::SessionKey key;
    SessionState state = SessionState::kGoing;
    Digest context;
    ModelId model;
    std::optional<secagg::SiteSession> session;  // while it goes on
    std::optional<GivenAnswers> given;           // once it is opened
    std::string reason;                          // once it is over
  };
  absl::StatusOr<Entry*> Find(const secagg::SessionKey& key);
  absl::StatusOr<Entry*> Going(const secagg::SessionKey& key);
  absl::StatusOr<std::optional<wire::SecureAnswer>> Answer(Entry& entry,
                                                           const wire::SecureNotice& notice);
  absl::StatusOr<wire::SecureAnswer> Unmask(Entry& entry,
                                            const std::map<SiteId, crypto::Signature>& signatures);
  absl::Status Save(const Entry& going);
  void End(const secagg::SessionKey& key, SessionState end, const std::string& reason);
  absl::StatusOr<Bytes> Seal(const secagg::SessionKey& key, ByteView secret);
  absl::StatusOr<crypto::Secret> Unseal(const secagg::SessionKey& key, ByteView sealed) const;

  const identity::Identity& identity_;
  SiteState& state_;
  const Clock& clock_;
  RandomSource& random_;
  const ViewOf view_of_;

  std::mutex mutex_;  // guards what follows
  std::map<secagg::SessionKey, Entry> entries_;
};

// Whether the config is what the site knows by itself: federation, key, model, plan, weight, and
// which numbers are added up. The rest (roster, cohort, threshold) SiteSession::Open checks.
absl::Status CheckConfig(const secagg::SessionConfig& config, const SessionTerms& terms,
                         std::string_view federation);
// Of a training session, once the base is there: its size and layout.
absl::Status CheckBase(const secagg::SessionConfig& config, const ModelState& base);

// "sealed key shares (training)": for the ledger of what left the building, with the bytes it is
// known by.
struct AnswerText {
  std::string what;
  Bytes bytes;
};
AnswerText Describe(const wire::SecureAnswer& answer);

// Little-endian: what a vector of masked sums is signed as.
Bytes ToBytes(std::span<const std::uint64_t> sums);

}  // namespace consilium::site_agent
