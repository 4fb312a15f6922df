#include "common/secagg/coordinator_session.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/status.h"
#include "common/secagg/key_schedule.h"
#include "common/secagg/reconstruction.h"

namespace consilium::secagg {
namespace {

using Step = CoordinatorSession::Step;

std::string_view Name(Step step) {
  constexpr std::array<std::string_view, 6> kNames = {"advertising", "sharing",   "uploading",
                                                      "agreeing",    "unmasking", "opened"};
  return kNames[static_cast<std::size_t>(step)];
}

std::set<SiteId> Without(const std::set<SiteId>& sites, const std::set<SiteId>& lost) {
  std::set<SiteId> rest;
  std::set_difference(sites.begin(), sites.end(), lost.begin(), lost.end(),
                      std::inserter(rest, rest.end()));
  return rest;
}

template <class Value>
std::set<SiteId> Keys(const std::map<SiteId, Value>& map) {
  std::set<SiteId> keys;
  for (const auto& [key, value] : map) keys.insert(keys.end(), key);
  return keys;
}

std::set<SiteId> Keys(const std::set<SiteId>& set) { return set; }

// Low order: every private key gives the shared secret zero with it, and the others would refuse.
absl::Status CheckOrder(const crypto::X25519PublicKey& key) {
  const crypto::Secret any_private_key = crypto::Secret::CopyOf(Bytes(32, 1));
  return crypto::X25519(any_private_key, key).status();
}

}  // namespace

struct CoordinatorSession::Impl {
  SessionConfig config;
  std::map<SiteId, crypto::Ed25519PublicKey> sites;
  Digest context;
  Step step = Step::kAdvertising;
  // Those that the present step began with, and those of them that are out.
  std::set<SiteId> begun, lost;

  std::map<SiteId, Advertisement> advertisements;
  std::map<SiteId, std::vector<SealedShare>> shares;  // by sender; by name of the receiver
  std::map<SiteId, UploadProof> uploads;
  std::map<SiteId, crypto::Signature> signatures;
  std::map<SiteId, UnmaskAnswer> answers;

  std::vector<Advertisement> members;   // U1
  std::set<SiteId> sharers, survivors;  // U2, U3
  Digest transcript;
  Bytes survivors_text;

  // Takes `message` of `site` for `of_step` into `taken` after `check`; a repeated one is OK.
  template <class Message, class Checker>
  absl::Status Take(Step of_step, const SiteId& site, std::map<SiteId, Message>& taken,
                    Message message, std::string_view what, Checker check);
  absl::Status CheckMayAnswer(Step of_step, const SiteId& site, std::string_view what) const;
  absl::Status Check(const Advertisement& advertisement) const;
  absl::Status Check(const SiteId& site, const std::vector<SealedShare>& shares) const;
  absl::Status Check(const UnmaskAnswer& answer) const;
  absl::Status CheckSignature(const SiteId& site, ByteView text, const crypto::Signature& signature,
                              std::string_view what) const;

  // Calls `visit` with what has come for the present step, a map by site; with those that the
  // session ended with, a set, when it is open.
  template <class Visit>
  auto VisitAnswers(Visit&& visit) const;
  std::set<SiteId> AnsweredSites() const;
  absl::Status Begin(Step next, std::set<SiteId> with);
  const Advertisement& Member(const SiteId& site) const { return advertisements.at(site); }
  absl::StatusOr<std::vector<Mask>> OpenMasks(Reconstruction& reconstruction) const;
  std::set<SiteId> WhoSharedWrongly(Reconstruction& reconstruction) const;
  std::set<SiteId> suspects;
};

template <class Visit>
auto CoordinatorSession::Impl::VisitAnswers(Visit&& visit) const {
  switch (step) {
    case Step::kAdvertising:
      return visit(advertisements);
    case Step::kSharing:
      return visit(shares);
    case Step::kUploading:
      return visit(uploads);
    case Step::kAgreeing:
      return visit(signatures);
    case Step::kUnmasking:
      return visit(answers);
    case Step::kOpened:
      break;
  }
  return visit(begun);
}

CoordinatorSession::CoordinatorSession(SessionConfig config,
                                       std::map<SiteId, crypto::Ed25519PublicKey> sites)
    : impl_(std::make_unique<Impl>()) {
  CONSILIUM_CHECK(sites.size() <= kMostSites);
  impl_->context = ContextHash(config);
  impl_->config = std::move(config);
  impl_->begun = Keys(sites);
  impl_->sites = std::move(sites);
}

CoordinatorSession::CoordinatorSession(CoordinatorSession&&) noexcept = default;
CoordinatorSession& CoordinatorSession::operator=(CoordinatorSession&&) noexcept = default;
CoordinatorSession::~CoordinatorSession() = default;

const SessionConfig& CoordinatorSession::config() const { return impl_->config; }
CoordinatorSession::Step CoordinatorSession::step() const { return impl_->step; }

std::set<SiteId> CoordinatorSession::Members() const { return Without(impl_->begun, impl_->lost); }

std::set<SiteId> CoordinatorSession::Awaited() const {
  return Without(Members(), impl_->AnsweredSites());
}

bool CoordinatorSession::Awaits(const SiteId& site) const {
  return impl_->begun.contains(site) && !impl_->lost.contains(site) && !Answered(site);
}

bool CoordinatorSession::Answered(const SiteId& site) const {
  return impl_->VisitAnswers([&](const auto& answers) { return answers.contains(site); });
}

void CoordinatorSession::Lose(const SiteId& site) { impl_->lost.insert(site); }

const std::vector<Advertisement>& CoordinatorSession::members() const { return impl_->members; }
const std::set<SiteId>& CoordinatorSession::sharers() const { return impl_->sharers; }
const std::set<SiteId>& CoordinatorSession::survivors() const { return impl_->survivors; }
const Digest& CoordinatorSession::transcript() const { return impl_->transcript; }
const std::map<SiteId, crypto::Signature>& CoordinatorSession::survivor_signatures() const {
  return impl_->signatures;
}

std::vector<SealedShare> CoordinatorSession::SharesFor(const SiteId& site) const {
  std::vector<SealedShare> shares;
  for (const SiteId& from : impl_->sharers) {
    const std::vector<SealedShare>& sent = impl_->shares.at(from);
    const auto at = std::lower_bound(
        sent.begin(), sent.end(), site,
        [](const SealedShare& share, const SiteId& name) { return share.to < name; });
    if (at != sent.end() && at->to == site) shares.push_back(*at);
  }
  return shares;
}

// ---- what arrives

absl::Status CoordinatorSession::Impl::CheckMayAnswer(Step of_step, const SiteId& site,
                                                      std::string_view what) const {
  if (!sites.contains(site)) {
    return absl::InvalidArgumentError(
        StrCat("site \"", site.value, "\" was not asked to take part in this session"));
  }
  if (step != of_step) {
    return absl::FailedPreconditionError(
        StrCat(what, " of site \"", site.value, "\" does not belong to the present step, ",
               Name(step), step > of_step ? ": it is too late" : ": it is too early"));
  }
  if (!begun.contains(site) || lost.contains(site)) {
    return absl::FailedPreconditionError(
        StrCat("site \"", site.value, "\" is not in this session any more"));
  }
  return absl::OkStatus();
}

template <class Message, class Checker>
absl::Status CoordinatorSession::Impl::Take(Step of_step, const SiteId& site,
                                            std::map<SiteId, Message>& taken, Message message,
                                            std::string_view what, Checker check) {
  if (const auto before = taken.find(site); before != taken.end()) {
    if (before->second == message) return absl::OkStatus();
    return absl::InvalidArgumentError(
        StrCat("a second ", what, " of site \"", site.value, "\", different from its first"));
  }
  RETURN_IF_ERROR(CheckMayAnswer(of_step, site, what));
  RETURN_IF_ERROR(check(message));
  taken.emplace(site, std::move(message));
  return absl::OkStatus();
}

absl::Status CoordinatorSession::Impl::CheckSignature(const SiteId& site, ByteView text,
                                                      const crypto::Signature& signature,
                                                      std::string_view what) const {
  if (crypto::VerifySignature(sites.at(site), text, signature).ok()) return absl::OkStatus();
  return absl::UnauthenticatedError(
      StrCat("the ", what, " of site \"", site.value,
             "\" is not signed by its key in the roster for this very session"));
}

absl::Status CoordinatorSession::Take(const Advertisement& advertisement) {
  return impl_->Take(Step::kAdvertising, advertisement.site, impl_->advertisements, advertisement,
                     "advertisement",
                     [&](const Advertisement& message) { return impl_->Check(message); });
}

absl::Status CoordinatorSession::Impl::Check(const Advertisement& advertisement) const {
  RETURN_IF_ERROR(CheckSignature(advertisement.site, AdvertisementText(context, advertisement),
                                 advertisement.signature, "advertisement"));
  const auto values = [](const Advertisement& a) {
    return std::array{a.share_key, a.mask_key, a.seed_hash.bytes};
  };
  const auto uses = [&](const Advertisement& a, const std::array<std::uint8_t, 32>& value) {
    const auto others = values(a);
    return std::count(others.begin(), others.end(), value);
  };
  for (const auto& value : values(advertisement)) {
    auto count = uses(advertisement, value) - 1;
    for (const auto& [site, other] : advertisements) count += uses(other, value);
    if (count != 0) {
      return absl::InvalidArgumentError(
          StrCat("a key or seed of site \"", advertisement.site.value, "\" is used twice"));
    }
  }
  for (const auto& key : {advertisement.share_key, advertisement.mask_key}) {
    if (absl::Status status = CheckOrder(key); !status.ok()) {
      return WithContext(status, StrCat("a key of site \"", advertisement.site.value, "\""));
    }
  }
  return absl::OkStatus();
}

absl::Status CoordinatorSession::Take(const SiteId& site, std::vector<SealedShare> shares) {
  std::sort(shares.begin(), shares.end(),
            [](const SealedShare& a, const SealedShare& b) { return a.to < b.to; });
  return impl_->Take(
      Step::kSharing, site, impl_->shares, std::move(shares), "list of shares",
      [&](const std::vector<SealedShare>& message) { return impl_->Check(site, message); });
}

absl::Status CoordinatorSession::Impl::Check(const SiteId& site,
                                             const std::vector<SealedShare>& sent) const {
  if (sent.size() + 1 != members.size()) {
    return absl::InvalidArgumentError(StrCat("site \"", site.value, "\" sent ", sent.size(),
                                             " shares, the other members are ",
                                             members.size() - 1));
  }
  auto share = sent.begin();
  for (const Advertisement& member : members) {  // both by name
    if (member.site == site) continue;
    if (share->to != member.site) {
      return absl::InvalidArgumentError(
          StrCat("site \"", site.value, "\" sent no share for \"", member.site.value, "\""));
    }
    if (share->from != site) {
      return absl::InvalidArgumentError(
          StrCat("site \"", site.value, "\" sent a share of \"", share->from.value, "\""));
    }
    if (share->sealed.size() != kSealedShareBytes) {
      return absl::InvalidArgumentError(StrCat("a share of site \"", site.value, "\" has ",
                                               share->sealed.size(), " bytes, not ",
                                               kSealedShareBytes));
    }
    ++share;
  }
  return absl::OkStatus();
}

absl::Status CoordinatorSession::Take(const SiteId& site, const UploadProof& proof) {
  return impl_->Take(
      Step::kUploading, site, impl_->uploads, proof, "upload", [&](const UploadProof& message) {
        return impl_->CheckSignature(site, UploadText(impl_->transcript, site, message.sha256),
                                     message.signature, "upload");
      });
}

absl::Status CoordinatorSession::Take(const SiteId& site,
                                      const crypto::Signature& survivors_signature) {
  return impl_->Take(Step::kAgreeing, site, impl_->signatures, survivors_signature,
                     "list of survivors", [&](const crypto::Signature& message) {
                       return impl_->CheckSignature(site, impl_->survivors_text, message,
                                                    "list of survivors");
                     });
}

absl::Status CoordinatorSession::Take(const SiteId& site, const UnmaskAnswer& answer) {
  return impl_->Take(Step::kUnmasking, site, impl_->answers, answer, "unmasking answer",
                     [&](const UnmaskAnswer& message) {
                       return WithContext(impl_->Check(message),
                                          StrCat("site \"", site.value, "\""));
                     });
}

absl::Status CoordinatorSession::Impl::Check(const UnmaskAnswer& answer) const {
  if (Keys(answer.seed_shares) != survivors) {
    return absl::InvalidArgumentError(
        "its shares of seeds are not those of exactly the sites that delivered");
  }
  if (Keys(answer.mask_key_shares) != Without(sharers, survivors)) {
    return absl::InvalidArgumentError(
        "its shares of mask keys are not those of exactly the sites that did not deliver");
  }
  return absl::OkStatus();
}

// ---- from step to step

std::set<SiteId> CoordinatorSession::Impl::AnsweredSites() const {
  return VisitAnswers([](const auto& present) { return Keys(present); });
}

bool CoordinatorSession::EnoughAnswers() const {
  const bool at_once = step() == Step::kAgreeing || step() == Step::kUnmasking;
  return at_once && impl_->AnsweredSites().size() >= impl_->config.threshold;
}

absl::Status CoordinatorSession::Impl::Begin(Step next, std::set<SiteId> with) {
  const std::size_t fewest = std::max<std::size_t>(config.threshold, kFewestSites);
  if (with.size() < fewest) {
    return absl::FailedPreconditionError(StrCat(
        "secure aggregation of ", config.key.ToString(), " failed: after ", Name(step), " ",
        with.size(), " of ", config.cohort_size, " sites are left, ", fewest, " are needed"));
  }
  step = next;
  begun = std::move(with);
  return absl::OkStatus();
}

absl::Status CoordinatorSession::CloseStep() {
  Impl& impl = *impl_;
  std::set<SiteId> left = Without(impl.AnsweredSites(), impl.lost);
  switch (impl.step) {
    case Step::kAdvertising:
      RETURN_IF_ERROR(impl.Begin(Step::kSharing, left));
      for (const SiteId& site : left) impl.members.push_back(impl.Member(site));
      impl.transcript = Transcript(impl.context, impl.members);
      return absl::OkStatus();
    case Step::kSharing:
      RETURN_IF_ERROR(impl.Begin(Step::kUploading, left));
      impl.sharers = std::move(left);
      return absl::OkStatus();
    case Step::kUploading:
      RETURN_IF_ERROR(impl.Begin(Step::kAgreeing, left));
      impl.survivors = std::move(left);
      impl.survivors_text = SurvivorsText(impl.transcript, impl.sharers, impl.survivors);
      return absl::OkStatus();
    case Step::kAgreeing:
      return impl.Begin(Step::kUnmasking, std::move(left));
    case Step::kUnmasking:
      return absl::FailedPreconditionError(StrCat("unmasking is ended by opening the sum; ",
                                                  impl.answers.size(), " sites have answered, ",
                                                  impl.config.threshold, " are needed"));
    case Step::kOpened:
      break;
  }
  return absl::FailedPreconditionError("the sum is opened already");
}

// ---- the end

absl::StatusOr<std::vector<Mask>> CoordinatorSession::Open() {
  if (step() != Step::kUnmasking || !EnoughAnswers()) {
    return absl::FailedPreconditionError(
        StrCat("the sum cannot be opened in the step ", Name(step()), " with ",
               impl_->answers.size(), " answers, ", impl_->config.threshold, " are needed"));
  }
  Reconstruction reconstruction(impl_->members, impl_->answers, impl_->config.threshold);
  absl::StatusOr<std::vector<Mask>> masks = impl_->OpenMasks(reconstruction);
  if (masks.ok()) {
    impl_->suspects = reconstruction.wrong();
    impl_->step = Step::kOpened;
  } else if (absl::IsDataLoss(masks.status())) {
    impl_->suspects = impl_->WhoSharedWrongly(reconstruction);
  }
  return masks;
}

const std::set<SiteId>& CoordinatorSession::Suspects() const { return impl_->suspects; }

// Tries every secret, each with its share of the time.
std::set<SiteId> CoordinatorSession::Impl::WhoSharedWrongly(Reconstruction& reconstruction) const {
  std::set<SiteId> wrong;
  const int tries = 1 + Reconstruction::kMostTries / static_cast<int>(sharers.size());
  for (const SiteId& site : sharers) {
    reconstruction.AllowTries(tries);
    const bool right = survivors.contains(site) ? reconstruction.Seed(Member(site)).ok()
                                                : reconstruction.MaskKey(Member(site)).ok();
    if (!right) wrong.insert(site);
  }
  return wrong == sharers ? std::set<SiteId>() : wrong;
}

absl::StatusOr<std::vector<Mask>> CoordinatorSession::Impl::OpenMasks(
    Reconstruction& reconstruction) const {
  std::vector<Mask> masks;
  for (const SiteId& site : survivors) {
    ASSIGN_OR_RETURN(const crypto::Secret seed, reconstruction.Seed(Member(site)));
    ASSIGN_OR_RETURN(crypto::Secret key, SelfMaskKey(seed, transcript));
    masks.push_back({std::move(key), true});
  }
  for (const SiteId& gone : Without(sharers, survivors)) {
    ASSIGN_OR_RETURN(const crypto::Secret mask_key, reconstruction.MaskKey(Member(gone)));
    for (const SiteId& site : survivors) {
      ASSIGN_OR_RETURN(crypto::Secret key,
                       PairMaskKey(mask_key, Member(site).mask_key, transcript, gone, site));
      masks.push_back({std::move(key), !Subtracts(site, gone)});
    }
  }
  return masks;
}

}  // namespace consilium::secagg
