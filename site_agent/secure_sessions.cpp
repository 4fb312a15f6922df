#include "site_agent/secure_sessions.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/overloaded.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/sha256.h"
#include "common/metrics/description.h"
#include "common/metrics/evaluation_sums.h"
#include "common/metrics/preparation.h"
#include "common/model/safetensors.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kKeyBytes = 32;

// A key of its own for every text sealed with the state key, so that the nonce may be zero.
absl::StatusOr<crypto::Secret> SealingKey(const crypto::Secret& state_key, ByteView salt) {
  return crypto::Hkdf(state_key.Reveal(), salt, AsBytes("consilium site secure session v1"),
                      kKeyBytes);
}

absl::Status Over(const secagg::SessionKey& key, SessionState state, const std::string& reason) {
  const std::string text = StrCat("the secure session ", key.ToString(), " is over: ", reason);
  return state == SessionState::kRefused ? absl::FailedPreconditionError(text)
                                         : absl::CancelledError(text);
}

}  // namespace

SecureSessions::SecureSessions(const identity::Identity& identity, SiteState& state,
                               const Clock& clock, RandomSource& random, ViewOf view_of)
    : identity_(identity),
      state_(state),
      clock_(clock),
      random_(random),
      view_of_(std::move(view_of)) {}

// ---- on the disk

absl::StatusOr<Bytes> SecureSessions::Seal(const secagg::SessionKey& key, ByteView secret) {
  Bytes sealed(kSaltBytes);
  random_.Fill(sealed);
  ASSIGN_OR_RETURN(const crypto::Secret sealing, SealingKey(identity_.state_key, sealed));
  ASSIGN_OR_RETURN(const Bytes text,
                   crypto::SealOnce(sealing, crypto::AeadNonce{}, AsBytes(key.ToString()), secret));
  sealed.insert(sealed.end(), text.begin(), text.end());
  return sealed;
}

absl::StatusOr<crypto::Secret> SecureSessions::Unseal(const secagg::SessionKey& key,
                                                      ByteView sealed) const {
  if (sealed.size() < kSaltBytes) return absl::DataLossError("a saved secure session is damaged");
  ASSIGN_OR_RETURN(const crypto::Secret sealing,
                   SealingKey(identity_.state_key, sealed.first(kSaltBytes)));
  auto secret = crypto::OpenOnce(sealing, crypto::AeadNonce{}, AsBytes(key.ToString()),
                                 sealed.subspan(kSaltBytes));
  if (secret.ok()) return secret;
  return absl::DataLossError(
      "a saved secure session does not open with this site's state key: it was changed, or the "
      "site was enrolled anew");
}

absl::Status SecureSessions::Save(const Entry& going) {
  const crypto::Secret saved = going.session->Save();
  ASSIGN_OR_RETURN(Bytes sealed, Seal(going.key, saved.Reveal()));
  return state_.SaveSession(
      going.key, {SessionState::kGoing, going.context, going.model, std::move(sealed), {}},
      clock_.Now());
}

// Null: there has never been one.
absl::StatusOr<SecureSessions::Entry*> SecureSessions::Find(const secagg::SessionKey& key) {
  if (const auto found = entries_.find(key); found != entries_.end()) return &found->second;
  ASSIGN_OR_RETURN(auto record, state_.FindSession(key));
  if (!record) return nullptr;
  Entry entry{.key = key,
              .state = record->state,
              .context = record->context,
              .model = record->model,
              .reason = record->reason};
  if (record->state == SessionState::kGoing) {
    const auto restore = [&]() -> absl::StatusOr<secagg::SiteSession> {
      ASSIGN_OR_RETURN(secagg::SiteView view, view_of_(key));
      ASSIGN_OR_RETURN(const crypto::Secret saved, Unseal(key, record->sealed));
      return secagg::SiteSession::Restore(saved.Reveal(), std::move(view), identity_.signing);
    };
    auto restored = restore();
    if (restored.ok()) {
      entry.session = *std::move(restored);
      Log(LogLevel::kInfo, "secure_session_restored", {{"session", key.ToString()}});
    } else {
      entry.state = SessionState::kRefused;
      entry.reason =
          StrCat("it could not be gone on with after a restart: ", restored.status().message());
      RETURN_IF_ERROR(state_.EndSession(key, entry.state, entry.reason, clock_.Now()));
    }
  }
  if (record->state == SessionState::kOpened) {
    ASSIGN_OR_RETURN(const crypto::Secret saved, Unseal(key, record->sealed));
    ASSIGN_OR_RETURN(entry.given, ReadGivenAnswers(saved.Reveal()));
  }
  return &entries_.emplace(key, std::move(entry)).first->second;
}

void SecureSessions::End(const secagg::SessionKey& key, SessionState end,
                         const std::string& reason) {
  const auto found = entries_.find(key);
  if (found != entries_.end() && found->second.state <= SessionState::kOpened) {
    Entry& entry = found->second;
    entry.state = end;
    entry.reason = reason;
    entry.session.reset();
    entry.given.reset();
  }
  if (const absl::Status ended = state_.EndSession(key, end, reason, clock_.Now()); !ended.ok()) {
    Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(ended.message())}});
  }
}

void SecureSessions::Refuse(const secagg::SessionKey& key, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  End(key, SessionState::kRefused, reason);
}

void SecureSessions::Close(const secagg::SessionKey& key, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  End(key, SessionState::kClosed, reason);
  entries_.erase(key);
}

void SecureSessions::CloseRun(const RunId& run) {
  const std::lock_guard lock(mutex_);
  const auto of_run = [&](const auto& entry) { return entry.first.attempt.run == run; };
  std::erase_if(entries_, of_run);
  if (const auto closed = state_.CloseSessions(run, std::nullopt, clock_.Now()); !closed.ok()) {
    Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(closed.message())}});
  }
}

// ---- step 0

absl::StatusOr<wire::SecureAnswer> SecureSessions::Open(const secagg::SessionConfig& config,
                                                        const SessionTerms& terms) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckConfig(config, terms, identity_.federation));
  ASSIGN_OR_RETURN(Entry * entry, Find(config.key));
  if (entry != nullptr) {
    if (entry->state > SessionState::kOpened) return Over(config.key, entry->state, entry->reason);
    if (entry->context != secagg::ContextHash(config)) {
      const std::string reason = "it was asked for a second time with other terms";
      End(config.key, SessionState::kRefused, reason);
      return Over(config.key, SessionState::kRefused, reason);
    }
    if (!entry->session)
      return absl::CancelledError("this site has answered the session to its end");
    return wire::SecureAnswer{config.key, entry->session->advertisement()};
  }
  ASSIGN_OR_RETURN(secagg::SiteView view, view_of_(config.key));
  ASSIGN_OR_RETURN(auto session,
                   secagg::SiteSession::Open(config, std::move(view), identity_.signing, random_));
  Entry opened{.key = config.key,
               .context = secagg::ContextHash(config),
               .model = config.model,
               .session = std::move(session)};
  const RunId& run = config.key.attempt.run;
  RETURN_IF_ERROR(state_.CloseSessions(run, config.key, clock_.Now()));
  std::erase_if(entries_, [&](const auto& other) { return other.first.attempt.run == run; });
  RETURN_IF_ERROR(Save(opened));
  entry = &entries_.emplace(config.key, std::move(opened)).first->second;
  return wire::SecureAnswer{config.key, entry->session->advertisement()};
}

// ---- steps 1, 3 and 4

absl::StatusOr<std::optional<wire::SecureAnswer>> SecureSessions::On(
    const wire::SecureNotice& notice) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Entry * entry, Find(notice.session));
  if (entry == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("this site has no secure session ", notice.session.ToString()));
  }
  if (entry->state > SessionState::kOpened) {
    return Over(notice.session, entry->state, entry->reason);
  }
  auto answer = Answer(*entry, notice);
  if (!answer.ok() && !absl::IsCancelled(answer.status())) {
    End(notice.session, SessionState::kRefused, std::string(ToStd(answer.status().message())));
  }
  return answer;
}

absl::StatusOr<std::optional<wire::SecureAnswer>> SecureSessions::Answer(
    Entry& entry, const wire::SecureNotice& notice) {
  using Result = absl::StatusOr<std::optional<wire::SecureAnswer>>;
  if (entry.state == SessionState::kOpened) return AnswerAgain(notice, entry.context, *entry.given);
  secagg::SiteSession& session = *entry.session;
  return std::visit(
      Overloaded{[&](const wire::SecureNotice::Members& n) -> Result {
                   ASSIGN_OR_RETURN(auto shares, session.ShareWith(n.members));
                   RETURN_IF_ERROR(Save(entry));
                   return wire::SecureAnswer{entry.key, std::move(shares)};
                 },
                 [&](const wire::SecureNotice::Shares& n) -> Result {
                   RETURN_IF_ERROR(session.TakeShares(n.shares));
                   return std::nullopt;
                 },
                 [&](const wire::SecureNotice::Survivors& n) -> Result {
                   ASSIGN_OR_RETURN(const auto released,
                                    state_.FindRelease(entry.key, entry.model, clock_.Now()));
                   ASSIGN_OR_RETURN(const auto signature, session.SignSurvivors(n.sites, released));
                   RETURN_IF_ERROR(Save(entry));
                   return wire::SecureAnswer{entry.key, signature};
                 },
                 [&](const wire::SecureNotice::Signatures& n) -> Result {
                   return Unmask(entry, n.signatures);
                 }},
      notice.notice);
}

absl::StatusOr<wire::SecureAnswer> SecureSessions::Unmask(
    Entry& entry, const std::map<SiteId, crypto::Signature>& signatures) {
  secagg::UnmaskRecord record;
  GivenAnswers given;
  // The answer is in this process only until it and the record of it are on the disk, at once: a
  // crash comes before both, and the session goes on, or after both, and the answer is there.
  ASSIGN_OR_RETURN(given.shares,
                   entry.session->Unmask(signatures, [&](const secagg::UnmaskRecord& made) {
                     record = made;
                     return absl::OkStatus();
                   }));
  given.transcript = record.transcript;
  given.survivors = record.survivors;
  const crypto::Secret text = WriteGivenAnswers(given);
  ASSIGN_OR_RETURN(const Bytes sealed, Seal(entry.key, text.Reveal()));
  RETURN_IF_ERROR(state_.RecordUnmasking(record, sealed, clock_.Now()));
  entry.session.reset();
  entry.state = SessionState::kOpened;
  entry.given = std::move(given);
  return wire::SecureAnswer{entry.key, entry.given->shares};
}

// ---- step 2

// One that goes on.
absl::StatusOr<SecureSessions::Entry*> SecureSessions::Going(const secagg::SessionKey& key) {
  ASSIGN_OR_RETURN(Entry * entry, Find(key));
  if (entry != nullptr && entry->session) return entry;
  return absl::CancelledError(StrCat("the secure session ", key.ToString(), " is over"));
}

absl::StatusOr<std::optional<std::vector<secagg::Mask>>> SecureSessions::Masks(
    const secagg::SessionKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const Entry* entry, Going(key));
  auto masks = entry->session->Masks();
  if (absl::IsFailedPrecondition(masks.status())) return std::optional<std::vector<secagg::Mask>>();
  RETURN_IF_ERROR(masks.status());
  return std::optional(*std::move(masks));
}

absl::StatusOr<secagg::UploadProof> SecureSessions::SignUpload(const secagg::SessionKey& key,
                                                               const Digest& sha256) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Entry * entry, Going(key));
  auto proof = entry->session->SignUpload(sha256);
  absl::Status status = proof.status();
  if (status.ok()) status = Save(*entry);
  if (status.ok()) return proof;
  End(key, SessionState::kRefused, std::string(ToStd(status.message())));
  return status;
}

// ---- what the site knows by itself

namespace {

absl::Status Differs(std::string_view what, std::string_view asked, std::string_view own) {
  return absl::PermissionDeniedError(StrCat("the secure session that this site is asked into has ",
                                            what, " ", asked, ", this site knows ", own));
}

absl::Status CheckTraining(const secagg::SessionConfig& config, const SessionTerms& terms) {
  const auto& plan = terms.plan;
  if (config.clip_norm != plan.secure_aggregation.clip_norm) {
    return Differs("clip norm", StrCat(config.clip_norm),
                   StrCat(plan.secure_aggregation.clip_norm, " from the plan"));
  }
  if (config.weight_rule != plan::Name(plan.aggregation.weight)) {
    return Differs("weight rule", StrCat("\"", config.weight_rule, "\""),
                   StrCat("\"", plan::Name(plan.aggregation.weight), "\" from the plan"));
  }
  if (!(terms.weight > 0) || !(terms.weight <= config.total_weight)) {
    return Differs("a total weight of", StrCat(config.total_weight),
                   StrCat("a weight of its own of ", terms.weight));
  }
  if (config.sums != wire::kUpdateSums || config.values == 0) {
    return Differs(
        "numbers to add up:", StrCat(config.values, " values and ", config.sums, " sums"),
        StrCat("a model's values and ", wire::kUpdateSums, " sums"));
  }
  return absl::OkStatus();
}

absl::Status CheckSumsOnly(const secagg::SessionConfig& config, std::size_t sums) {
  if (config.sums != sums || config.values != 0 || !config.layout.IsZero()) {
    return Differs(
        "numbers to add up:", StrCat(config.values, " values and ", config.sums, " sums"),
        StrCat("no values and ", sums, " sums"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckConfig(const secagg::SessionConfig& config, const SessionTerms& terms,
                         std::string_view federation) {
  if (config.federation != federation) {
    return Differs("federation", StrCat("\"", config.federation, "\""),
                   StrCat("\"", federation, "\""));
  }
  secagg::SessionKey expected = terms.key;
  if (expected.purpose != secagg::Purpose::kTraining) {
    expected.attempt.attempt = config.key.attempt.attempt;
  }
  if (config.key != expected) {
    return Differs("name", config.key.ToString(), StrCat(expected.ToString(), " from the request"));
  }
  if (config.model != terms.model) {
    return Differs("model", config.model.Short(), StrCat(terms.model.Short(), " from the request"));
  }
  if (config.threshold < terms.plan.secure_aggregation.threshold) {
    return Differs("threshold", StrCat(config.threshold),
                   StrCat("at least ", terms.plan.secure_aggregation.threshold, " from the plan"));
  }
  if (config.privacy != "none") {
    return Differs("privacy", StrCat("\"", config.privacy, "\""), "\"none\" from the plan");
  }
  if (terms.plan.describe.has_value() != (expected.purpose == secagg::Purpose::kDescription)) {
    return Differs("purpose", secagg::Name(expected.purpose), "another one from the plan");
  }
  const bool table = terms.plan.table.Numbers() > 0 && !terms.plan.describe;
  if (expected.purpose == secagg::Purpose::kPreparation && !table) {
    return Differs("purpose", secagg::Name(expected.purpose), "no table in the plan");
  }
  switch (expected.purpose) {
    case secagg::Purpose::kTraining:
      return CheckTraining(config, terms);
    case secagg::Purpose::kDescription:
      return CheckSumsOnly(config, metrics::DescriptionSums());
    case secagg::Purpose::kPreparation:
      return CheckSumsOnly(config, metrics::PreparationRingSize(terms.plan.table.Numbers()));
    case secagg::Purpose::kValidation:
    case secagg::Purpose::kTest:
      break;
  }
  return CheckSumsOnly(config, metrics::EvaluationRingSize(terms.plan.target.Shape()));
}

absl::Status CheckBase(const secagg::SessionConfig& config, const ModelState& base) {
  if (config.values != base.values().size()) {
    return Differs("values", StrCat(config.values),
                   StrCat("a base model of ", base.values().size()));
  }
  if (config.layout != crypto::Sha256(WriteSafetensorsHeader(base.layout()))) {
    return Differs("another layout", config.layout.Short(), "the base model's own");
  }
  return absl::OkStatus();
}

// ---- for the ledger of what left the building

namespace {

std::string_view What(const wire::SecureAnswer& answer) {
  using Text = std::string_view;
  return std::visit(
      Overloaded{
          [](const secagg::Advertisement&) -> Text { return "public keys of a secure session"; },
          [](const std::vector<secagg::SealedShare>&) -> Text { return "sealed key shares"; },
          [](const wire::MaskedSums&) -> Text { return "masked sums"; },
          [](const crypto::Signature&) -> Text { return "signature over who delivered"; },
          [](const secagg::UnmaskAnswer&) -> Text { return "shares that open the sum"; }},
      answer.answer);
}

}  // namespace

AnswerText Describe(const wire::SecureAnswer& answer) {
  AnswerText text{StrCat(What(answer), " (", secagg::Name(answer.session.purpose), ")"), {}};
  const auto add = [&](ByteView bytes) {
    text.bytes.insert(text.bytes.end(), bytes.begin(), bytes.end());
  };
  std::visit(Overloaded{[&](const secagg::Advertisement& a) {
                          add(a.share_key);
                          add(a.mask_key);
                          add(a.seed_hash.bytes);
                          add(a.signature);
                        },
                        [&](const std::vector<secagg::SealedShare>& shares) {
                          for (const auto& share : shares) add(share.sealed);
                        },
                        [&](const wire::MaskedSums& masked) {
                          add(ToBytes(masked.sums));
                          add(masked.signature);
                        },
                        [&](const crypto::Signature& signature) { add(signature); },
                        [&](const secagg::UnmaskAnswer& answered) {
                          for (const auto& [site, share] : answered.seed_shares) add(share);
                          for (const auto& [site, share] : answered.mask_key_shares) add(share);
                        }},
             answer.answer);
  return text;
}

Bytes ToBytes(std::span<const std::uint64_t> sums) {
  Bytes bytes(sums.size() * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < sums.size(); ++i) StoreLe64(bytes.data() + 8 * i, sums[i]);
  return bytes;
}

}  // namespace consilium::site_agent
