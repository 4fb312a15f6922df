#include "common/secagg/site_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/field_writer.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/sha256.h"
#include "common/secagg/key_schedule.h"
#include "common/secagg/shamir.h"
#include "common/secagg/site_state.h"

namespace consilium::secagg {
namespace {

using crypto::Secret;

// Randomness that was drawn before.
class DrawnRandom final : public RandomSource {
 public:
  explicit DrawnRandom(const Secret& drawn) : rest_(drawn.Reveal()) {}
  void Fill(std::span<std::uint8_t> out) override {
    CONSILIUM_CHECK(out.size() <= rest_.size());
    std::copy_n(rest_.begin(), out.size(), out.begin());
    rest_ = rest_.subspan(out.size());
  }

 private:
  ByteView rest_;
};

Secret Draw(std::size_t size, RandomSource& random) {
  Secret secret(size);
  random.Fill(secret.RevealForWriting());
  return secret;
}

absl::Status CheckCohort(const SessionConfig& config, const SiteView& view) {
  const std::uint32_t cohort = config.cohort_size;
  if (cohort < kFewestSites) {
    return absl::InvalidArgumentError(StrCat("a cohort of ", cohort,
                                             " sites: secure aggregation needs ", kFewestSites,
                                             " or more, the sum of fewer shows single sites"));
  }
  if (cohort > kMostSites) {
    return absl::InvalidArgumentError(
        StrCat("a cohort of ", cohort, " sites: secure aggregation takes at most ", kMostSites));
  }
  if (cohort < view.minimum_cohort) {
    return absl::PermissionDeniedError(StrCat("a cohort of ", cohort,
                                              " sites: this site's policy asks for ",
                                              view.minimum_cohort, " or more"));
  }
  if (config.threshold < Threshold(cohort) || config.threshold > cohort) {
    return absl::InvalidArgumentError(StrCat("a threshold of ", config.threshold,
                                             " for a cohort of ", cohort, " sites: it must be ",
                                             Threshold(cohort), " to ", cohort));
  }
  return absl::OkStatus();
}

absl::Status CheckRoster(const SessionConfig& config, const SiteView& view,
                         const crypto::Ed25519KeyPair& signing_key) {
  if (config.roster != view.roster) {
    return absl::PermissionDeniedError(StrCat("the session is of roster ", config.roster.Short(),
                                              ", this site has pinned ", view.roster.Short()));
  }
  const auto self = view.sites.find(view.self);
  if (self == view.sites.end()) {
    return absl::PermissionDeniedError(
        StrCat("this site, \"", view.self.value, "\", is not in the roster it has pinned"));
  }
  if (self->second != signing_key.public_key) {
    return absl::PermissionDeniedError(StrCat("the roster has another signing key of this site, \"",
                                              view.self.value, "\", than the one it signs with"));
  }
  return absl::OkStatus();
}

absl::Status CheckConfig(const SessionConfig& config, const SiteView& view,
                         const crypto::Ed25519KeyPair& signing_key) {
  RETURN_IF_ERROR(CheckCohort(config, view));
  return CheckRoster(config, view, signing_key);
}

template <class T, class Name>
std::vector<T> SortedBy(std::vector<T> items, Name name) {
  std::sort(items.begin(), items.end(), [&](const T& a, const T& b) { return a.*name < b.*name; });
  return items;
}

// What TakeShares took, whatever the order.
Digest HashOf(const std::vector<SealedShare>& sorted) {
  FieldWriter fields("consilium secagg shares taken v1");
  for (const SealedShare& share : sorted) {
    fields.Text(share.from.value).Text(share.to.value).Field(share.sealed);
  }
  return crypto::Sha256(fields.bytes());
}

absl::Status NotYet(std::string_view missing) {
  return absl::FailedPreconditionError(StrCat("out of order: ", missing));
}

constexpr crypto::AeadNonce kZeroNonce{};  // each key seals one message

}  // namespace

struct SiteSession::Impl {
  Impl(SiteState session_state, SiteView site_view, const crypto::Ed25519KeyPair& key)
      : state(std::move(session_state)),
        view(std::move(site_view)),
        signing_key(&key),
        context(ContextHash(state.config)) {
    if (!state.members.empty()) transcript = Transcript(context, state.members);
    if (state.taken) SetSharers();
  }

  SiteState state;
  SiteView view;
  const crypto::Ed25519KeyPair* signing_key;
  Digest context;
  Digest transcript;         // once members are there
  std::set<SiteId> sharers;  // once shares are taken

  bool shared() const { return !state.members.empty(); }
  std::size_t fewest() const {
    return std::max<std::size_t>({state.config.threshold, view.minimum_cohort, kFewestSites});
  }

  absl::Status Going() const {
    if (state.over.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("the session ", state.config.key.ToString(), " is over: ", state.over));
  }
  void End(std::string_view why) {
    state.over = why.empty() ? "it failed" : std::string(why);
    state.Wipe();
  }
  // A step that did not succeed is the session's last.
  template <class Result>
  Result OrEnd(Result result) {
    const absl::Status status = StatusOf(result);
    if (!status.ok()) End(ToStd(status.message()));
    return result;
  }
  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  template <class T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }

  void SetSharers() {
    for (const auto& [site, shares] : state.held) sharers.insert(site);
  }

  absl::Status CheckMembers(const std::vector<Advertisement>& members) const;
  absl::Status CheckMember(const Advertisement& member) const;
  absl::Status Share(std::vector<Advertisement> members);
  absl::Status DeriveMasks();
  absl::Status SealFor(const Advertisement& member, const crypto::Secret& pair);
  absl::Status OpenShares(const std::vector<SealedShare>& shares);
  absl::StatusOr<crypto::Secret> OpenShare(const SealedShare& share) const;
  absl::Status CheckSurvivors(const std::set<SiteId>& survivors,
                              const std::optional<std::set<SiteId>>& released) const;
  absl::StatusOr<crypto::Signature> SignText(ByteView text) const {
    return crypto::Sign(*signing_key, text);
  }
  absl::Status CheckSignatures(const std::map<SiteId, crypto::Signature>& signatures) const;
  absl::StatusOr<UnmaskAnswer> Answer(
      const std::map<SiteId, crypto::Signature>& signatures,
      const std::function<absl::Status(const UnmaskRecord&)>& commit);
};

SiteSession::SiteSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SiteSession::SiteSession(SiteSession&&) noexcept = default;
SiteSession& SiteSession::operator=(SiteSession&&) noexcept = default;
SiteSession::~SiteSession() = default;

const SessionConfig& SiteSession::config() const { return impl_->state.config; }
const Advertisement& SiteSession::advertisement() const { return impl_->state.own; }
bool SiteSession::over() const { return !impl_->state.over.empty(); }

absl::StatusOr<Digest> SiteSession::transcript() const {
  if (!impl_->shared()) return NotYet("there is no transcript before the members are known");
  return impl_->transcript;
}

// ---- step 0

absl::StatusOr<SiteSession> SiteSession::Open(SessionConfig config, SiteView view,
                                              const crypto::Ed25519KeyPair& signing_key,
                                              RandomSource& random) {
  RETURN_IF_ERROR(CheckConfig(config, view, signing_key));
  SiteState state;
  const auto draw_pair = [&] {
    return crypto::X25519KeyPair::FromPrivate(Draw(32, random).Reveal());
  };
  ASSIGN_OR_RETURN(crypto::X25519KeyPair share_pair, draw_pair());
  ASSIGN_OR_RETURN(crypto::X25519KeyPair mask_pair, draw_pair());
  state.seed = Draw(32, random);
  state.coefficients = Draw(2 * kShareBytes * (config.threshold - 1), random);
  state.own = {.site = view.self,
               .share_key = share_pair.public_key,
               .mask_key = mask_pair.public_key,
               .seed_hash = crypto::Sha256(state.seed.Reveal())};
  state.share_key = std::move(share_pair.private_key);
  state.mask_key = std::move(mask_pair.private_key);
  state.config = std::move(config);
  auto impl = std::make_unique<Impl>(std::move(state), std::move(view), signing_key);
  ASSIGN_OR_RETURN(impl->state.own.signature,
                   impl->SignText(AdvertisementText(impl->context, impl->state.own)));
  return SiteSession(std::move(impl));
}

// ---- step 1

absl::StatusOr<std::vector<SealedShare>> SiteSession::ShareWith(
    const std::vector<Advertisement>& members) {
  RETURN_IF_ERROR(impl_->Going());
  std::vector<Advertisement> sorted = SortedBy(members, &Advertisement::site);
  if (!impl_->shared()) {
    RETURN_IF_ERROR(impl_->OrEnd(impl_->Share(std::move(sorted))));
  } else if (sorted != impl_->state.members) {
    RETURN_IF_ERROR(impl_->OrEnd(absl::PermissionDeniedError(
        "a second list of members, different from the one this site has shared with")));
  }
  return impl_->state.sent;
}

absl::Status SiteSession::Impl::CheckMembers(const std::vector<Advertisement>& members) const {
  if (members.size() > state.config.cohort_size) {
    return absl::InvalidArgumentError(StrCat(members.size(), " sites advertised, but only ",
                                             state.config.cohort_size, " were asked to"));
  }
  if (members.size() < fewest()) {
    return absl::FailedPreconditionError(
        StrCat("only ", members.size(), " sites advertised, ", fewest(), " are needed (threshold ",
               state.config.threshold, ", this site's minimum ", view.minimum_cohort, ")"));
  }
  const auto by_name = [](const Advertisement& a, const Advertisement& b) {
    return a.site == b.site;
  };
  const auto twice = std::adjacent_find(members.begin(), members.end(), by_name);
  if (twice != members.end()) {
    return absl::InvalidArgumentError(
        StrCat("site \"", twice->site.value, "\" is twice in the list of members"));
  }
  const auto own = std::find_if(members.begin(), members.end(), [&](const Advertisement& member) {
    return member.site == view.self;
  });
  if (own == members.end()) {
    return absl::PermissionDeniedError("this site is not in the list of members");
  }
  if (*own != state.own) {
    return absl::PermissionDeniedError(
        "this site's own entry in the list of members is not what it advertised");
  }
  std::map<std::array<std::uint8_t, 32>, const SiteId*> values;
  for (const Advertisement& member : members) {
    for (const auto& value : {member.share_key, member.mask_key, member.seed_hash.bytes}) {
      const auto [at, is_new] = values.emplace(value, &member.site);
      if (!is_new) {
        return absl::PermissionDeniedError(StrCat("a key or seed of site \"", member.site.value,
                                                  "\" is used twice (the other time by \"",
                                                  at->second->value, "\")"));
      }
    }
  }
  for (const Advertisement& member : members) RETURN_IF_ERROR(CheckMember(member));
  return absl::OkStatus();
}

absl::Status SiteSession::Impl::CheckMember(const Advertisement& member) const {
  const auto key = view.sites.find(member.site);
  if (key == view.sites.end()) {
    return absl::PermissionDeniedError(
        StrCat("site \"", member.site.value, "\" is not in the roster this site has pinned"));
  }
  if (member.site == view.self) return absl::OkStatus();  // it is what this site has signed
  if (!crypto::VerifySignature(key->second, AdvertisementText(context, member), member.signature)
           .ok()) {
    return absl::PermissionDeniedError(
        StrCat("the advertisement of site \"", member.site.value,
               "\" is not signed by its key in the roster for this very session"));
  }
  return absl::OkStatus();
}

absl::Status SiteSession::Impl::Share(std::vector<Advertisement> members) {
  RETURN_IF_ERROR(CheckMembers(members));
  state.members = std::move(members);
  transcript = Transcript(context, state.members);

  DrawnRandom drawn(state.coefficients);
  const auto n = static_cast<std::uint32_t>(state.members.size());
  std::vector<secagg::Share> seeds = Split(state.seed, state.config.threshold, n, drawn);
  std::vector<secagg::Share> keys = Split(state.mask_key, state.config.threshold, n, drawn);
  absl::Status status = DeriveMasks();
  for (std::size_t i = 0; i < n && status.ok(); ++i) {
    Secret pair(2 * kShareBytes);
    const auto rest = std::copy(seeds[i].begin(), seeds[i].end(), pair.RevealForWriting().begin());
    std::copy(keys[i].begin(), keys[i].end(), rest);
    if (state.members[i].site == view.self) {
      state.held[view.self] = std::move(pair);
    } else {
      status = SealFor(state.members[i], pair);
    }
  }
  for (auto* shares : {&seeds, &keys}) {
    for (secagg::Share& share : *shares) crypto::Cleanse(share);
  }
  RETURN_IF_ERROR(status);
  state.WipeStart();
  return absl::OkStatus();
}

// With every member: which of them share is known later.
absl::Status SiteSession::Impl::DeriveMasks() {
  ASSIGN_OR_RETURN(state.masks[view.self], SelfMaskKey(state.seed, transcript));
  for (const Advertisement& member : state.members) {
    if (member.site == view.self) continue;
    absl::StatusOr<Secret> key =
        PairMaskKey(state.mask_key, member.mask_key, transcript, view.self, member.site);
    if (!key.ok()) {
      return WithContext(key.status(), StrCat("the mask key of site \"", member.site.value, "\""));
    }
    state.masks[member.site] = *std::move(key);
  }
  return absl::OkStatus();
}

// Also derives the key of what comes back, so that the private key is not needed any more.
absl::Status SiteSession::Impl::SealFor(const Advertisement& member, const Secret& pair) {
  const absl::StatusOr<Secret> agreement = crypto::X25519(state.share_key, member.share_key);
  if (!agreement.ok()) {
    return WithContext(agreement.status(),
                       StrCat("the share key of site \"", member.site.value, "\""));
  }
  ASSIGN_OR_RETURN(const Secret key, ShareKey(*agreement, transcript, view.self, member.site));
  ASSIGN_OR_RETURN(
      Bytes sealed,
      crypto::SealOnce(key, kZeroNonce, ShareAssociatedData(transcript, view.self, member.site),
                       pair.Reveal()));
  state.sent.push_back({view.self, member.site, std::move(sealed)});
  ASSIGN_OR_RETURN(state.opening_keys[member.site],
                   ShareKey(*agreement, transcript, member.site, view.self));
  return absl::OkStatus();
}

absl::Status SiteSession::TakeShares(const std::vector<SealedShare>& shares) {
  RETURN_IF_ERROR(impl_->Going());
  if (!impl_->shared()) return NotYet("the others' shares come after this site has shared");
  return impl_->OrEnd(impl_->OpenShares(SortedBy(shares, &SealedShare::from)));
}

absl::Status SiteSession::Impl::OpenShares(const std::vector<SealedShare>& shares) {
  const Digest digest = HashOf(shares);
  if (state.taken) {
    if (*state.taken == digest) return absl::OkStatus();
    return absl::PermissionDeniedError(
        "other shares than those this site has already taken in this session");
  }
  if (shares.size() + 1 < state.config.threshold) {
    return absl::FailedPreconditionError(StrCat("only ", shares.size() + 1,
                                                " sites shared (this one among them), the "
                                                "threshold is ",
                                                state.config.threshold));
  }
  for (const SealedShare& share : shares) {
    ASSIGN_OR_RETURN(Secret pair, OpenShare(share));
    state.held[share.from] = std::move(pair);
  }
  state.opening_keys.clear();
  state.taken = digest;
  SetSharers();
  return absl::OkStatus();
}

absl::StatusOr<Secret> SiteSession::Impl::OpenShare(const SealedShare& share) const {
  const std::string& from = share.from.value;
  if (share.to != view.self) {
    return absl::InvalidArgumentError(StrCat("a share of site \"", from, "\" is for site \"",
                                             share.to.value, "\", not for this one"));
  }
  const auto key = state.opening_keys.find(share.from);
  if (key == state.opening_keys.end()) {
    return absl::InvalidArgumentError(
        share.from == view.self
            ? std::string("a share that is said to be from this site itself")
            : StrCat("a share of site \"", from, "\", which is not a member of the session"));
  }
  if (state.held.contains(share.from)) {
    return absl::InvalidArgumentError(StrCat("two shares of site \"", from, "\""));
  }
  if (share.sealed.size() != kSealedShareBytes) {
    return absl::InvalidArgumentError(StrCat("the sealed share of site \"", from, "\" has ",
                                             share.sealed.size(), " bytes, not ",
                                             kSealedShareBytes));
  }
  absl::StatusOr<Secret> pair = crypto::OpenOnce(
      key->second, kZeroNonce, ShareAssociatedData(transcript, share.from, share.to), share.sealed);
  if (!pair.ok()) {
    return absl::PermissionDeniedError(StrCat(
        "the share of site \"", from,
        "\" does not open: it was changed, or the site has another list of members or context"));
  }
  return pair;
}

// ---- step 2

absl::StatusOr<std::vector<Mask>> SiteSession::Masks() const {
  RETURN_IF_ERROR(impl_->Going());
  const SiteState& state = impl_->state;
  if (!state.taken) return NotYet("the masks are known when the others' shares have come");
  const SiteId& self = impl_->view.self;
  std::vector<Mask> masks;
  for (const SiteId& site : impl_->sharers) {
    masks.push_back({Secret::CopyOf(state.masks.at(site).Reveal()), Subtracts(self, site)});
  }
  return masks;
}

absl::StatusOr<UploadProof> SiteSession::SignUpload(const Digest& sha256) {
  RETURN_IF_ERROR(impl_->Going());
  SiteState& state = impl_->state;
  if (!state.taken) return NotYet("an upload is signed when the others' shares have come");
  if (state.upload && *state.upload != sha256) {
    return impl_->OrEnd<absl::StatusOr<UploadProof>>(absl::PermissionDeniedError(
        "a second vector under the same masks: this site has signed another one in this session"));
  }
  if (!state.upload && state.survivors) {
    return impl_->OrEnd<absl::StatusOr<UploadProof>>(absl::PermissionDeniedError(
        "this site has already signed that it did not deliver in this session"));
  }
  UploadProof proof{.sha256 = sha256};
  ASSIGN_OR_RETURN(proof.signature,
                   impl_->SignText(UploadText(impl_->transcript, impl_->view.self, sha256)));
  state.upload = sha256;
  return proof;
}

// ---- step 3

absl::StatusOr<crypto::Signature> SiteSession::SignSurvivors(
    const std::set<SiteId>& survivors, const std::optional<std::set<SiteId>>& released) {
  RETURN_IF_ERROR(impl_->Going());
  if (!impl_->state.taken) return NotYet("survivors are signed after the others' shares came");
  RETURN_IF_ERROR(impl_->OrEnd(impl_->CheckSurvivors(survivors, released)));
  ASSIGN_OR_RETURN(const crypto::Signature signature,
                   impl_->SignText(SurvivorsText(impl_->transcript, impl_->sharers, survivors)));
  impl_->state.survivors = survivors;
  return signature;
}

absl::Status SiteSession::Impl::CheckSurvivors(
    const std::set<SiteId>& survivors, const std::optional<std::set<SiteId>>& released) const {
  if (state.survivors && *state.survivors != survivors) {
    return absl::PermissionDeniedError(
        "a second set of survivors, different from the one this site has signed");
  }
  if (released && *released != survivors) {
    return absl::PermissionDeniedError(
        "the same quantity was opened before with another set of survivors: the difference of the "
        "two sums would show single sites");
  }
  for (const SiteId& site : survivors) {
    if (!sharers.contains(site)) {
      return absl::InvalidArgumentError(
          StrCat("site \"", site.value, "\" is said to have delivered, but has not shared"));
    }
  }
  if (survivors.size() < fewest()) {
    return absl::FailedPreconditionError(
        StrCat("only ", survivors.size(), " sites delivered, ", fewest(), " are needed (threshold ",
               state.config.threshold, ", this site's minimum ", view.minimum_cohort, ")"));
  }
  if (state.upload && !survivors.contains(view.self)) {
    return absl::PermissionDeniedError(
        "this site has signed its upload, but the survivors leave it out");
  }
  if (!state.upload && survivors.contains(view.self)) {
    return absl::PermissionDeniedError(
        "this site has signed no upload, but is said to have delivered");
  }
  return absl::OkStatus();
}

// ---- step 4

absl::StatusOr<UnmaskAnswer> SiteSession::Unmask(
    const std::map<SiteId, crypto::Signature>& signatures,
    const std::function<absl::Status(const UnmaskRecord&)>& commit) {
  RETURN_IF_ERROR(impl_->Going());
  if (!impl_->state.survivors) return NotYet("unmasking comes after the survivors are signed");
  absl::StatusOr<UnmaskAnswer> answer = impl_->OrEnd(impl_->Answer(signatures, commit));
  if (answer.ok()) impl_->End("this site has given its shares for it");
  return answer;
}

absl::Status SiteSession::Impl::CheckSignatures(
    const std::map<SiteId, crypto::Signature>& signatures) const {
  const Bytes text = SurvivorsText(transcript, sharers, *state.survivors);
  std::size_t valid = 0;
  std::string wrong;
  for (const auto& [site, signature] : signatures) {
    if (valid == state.config.threshold) break;
    const auto key = view.sites.find(site);
    if (state.survivors->contains(site) && key != view.sites.end() &&
        crypto::VerifySignature(key->second, text, signature).ok()) {
      ++valid;
    } else {
      StrAppend(&wrong, wrong.empty() ? "; not such: " : ", ", site.value);
    }
  }
  if (valid >= state.config.threshold) return absl::OkStatus();
  return absl::PermissionDeniedError(
      StrCat(valid, " of ", signatures.size(),
             " signatures are survivors' over the very sharers and survivors that this site has "
             "signed, ",
             state.config.threshold, " are needed", wrong));
}

absl::StatusOr<UnmaskAnswer> SiteSession::Impl::Answer(
    const std::map<SiteId, crypto::Signature>& signatures,
    const std::function<absl::Status(const UnmaskRecord&)>& commit) {
  RETURN_IF_ERROR(CheckSignatures(signatures));
  RETURN_IF_ERROR(
      commit({state.config.key, state.config.model, transcript, sharers, *state.survivors}));
  UnmaskAnswer answer;
  for (const auto& [site, pair] : state.held) {
    const bool delivered = state.survivors->contains(site);
    const ByteView share =
        delivered ? pair.Reveal().first(kShareBytes) : pair.Reveal().last(kShareBytes);
    auto& shares = delivered ? answer.seed_shares : answer.mask_key_shares;
    std::copy(share.begin(), share.end(), shares[site].begin());
  }
  return answer;
}

// ---- after a restart

Secret SiteSession::Save() const { return SaveState(impl_->state); }

absl::StatusOr<SiteSession> SiteSession::Restore(ByteView saved, SiteView view,
                                                 const crypto::Ed25519KeyPair& signing_key) {
  ASSIGN_OR_RETURN(SiteState state, ReadState(saved));
  if (state.own.site != view.self) {
    return absl::PermissionDeniedError(StrCat("the saved session is of site \"",
                                              state.own.site.value, "\", this one is \"",
                                              view.self.value, "\""));
  }
  RETURN_IF_ERROR(CheckConfig(state.config, view, signing_key));
  return SiteSession(std::make_unique<Impl>(std::move(state), std::move(view), signing_key));
}

}  // namespace consilium::secagg
