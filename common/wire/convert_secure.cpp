// Secure aggregation and the audit log. See convert.h.

#include "common/base/overloaded.h"
#include "common/wire/consilium.pb.h"
#include "common/wire/convert.h"
#include "common/wire/convert_fields.h"

namespace consilium::wire {
namespace {

using secagg::kMostSites;
using secagg::Purpose;

constexpr std::size_t kMostSums = 1 << 17;  // 1 MiB, the longest message
constexpr int kMostLogEntries = 2000;

absl::StatusOr<Purpose> PurposeFromProto(std::uint32_t purpose) {
  if (purpose < 1 || purpose > secagg::kPurposes)
    return Malformed("purpose", "is not known; upgrade this program");
  return static_cast<Purpose>(purpose);
}

absl::StatusOr<secagg::SessionKey> SessionKeyFromProto(const v1::AttemptKey& key,
                                                       std::uint32_t purpose) {
  secagg::SessionKey session;
  ASSIGN_OR_RETURN(session.attempt, FromProto(key));
  ASSIGN_OR_RETURN(session.purpose, PurposeFromProto(purpose));
  return session;
}

template <class Repeated>
absl::Status AtMostSites(const Repeated& repeated, std::string_view field) {
  if (static_cast<std::size_t>(repeated.size()) <= kMostSites) return absl::OkStatus();
  return Malformed(field, StrCat("has ", repeated.size(), " entries, at most ", kMostSites));
}

void ToProto(const secagg::Advertisement& a, v1::Advertisement* proto) {
  proto->set_site(a.site.value);
  proto->set_share_key(ToProtoBytes(ByteView(a.share_key)));
  proto->set_mask_key(ToProtoBytes(ByteView(a.mask_key)));
  proto->set_seed_hash(ToProtoBytes(a.seed_hash));
  proto->set_signature(ToProtoBytes(ByteView(a.signature)));
}

absl::StatusOr<secagg::Advertisement> FromProto(const v1::Advertisement& proto) {
  secagg::Advertisement a;
  ASSIGN_OR_RETURN(a.site, SiteFromProto(proto.site()));
  ASSIGN_OR_RETURN(a.share_key, ArrayFromProto<32>(proto.share_key(), "share_key"));
  ASSIGN_OR_RETURN(a.mask_key, ArrayFromProto<32>(proto.mask_key(), "mask_key"));
  ASSIGN_OR_RETURN(a.seed_hash, DigestFromProto(proto.seed_hash(), "seed_hash"));
  ASSIGN_OR_RETURN(a.signature, ArrayFromProto<64>(proto.signature(), "signature"));
  return a;
}

void ToProto(const std::vector<secagg::SealedShare>& shares, v1::SealedShares* proto) {
  for (const secagg::SealedShare& share : shares) {
    auto* p = proto->add_shares();
    p->set_from(share.from.value);
    p->set_to(share.to.value);
    p->set_sealed(ToProtoBytes(ByteView(share.sealed)));
  }
}

absl::StatusOr<std::vector<secagg::SealedShare>> FromProto(const v1::SealedShares& proto) {
  RETURN_IF_ERROR(AtMostSites(proto.shares(), "shares"));
  std::vector<secagg::SealedShare> shares;
  for (const v1::SealedShare& p : proto.shares()) {
    secagg::SealedShare& share = shares.emplace_back();
    ASSIGN_OR_RETURN(share.from, SiteFromProto(p.from()));
    ASSIGN_OR_RETURN(share.to, SiteFromProto(p.to()));
    if (p.sealed().size() != secagg::kSealedShareBytes) {
      return Malformed("sealed share", StrCat("has ", p.sealed().size(), " bytes, not ",
                                              secagg::kSealedShareBytes));
    }
    const ByteView sealed = AsBytes(p.sealed());
    share.sealed.assign(sealed.begin(), sealed.end());
  }
  return shares;
}

using Shares = std::map<SiteId, secagg::Share>;

template <class Repeated>
void SharesToProto(const Shares& shares, Repeated* proto) {
  for (const auto& [site, share] : shares) {
    auto* p = proto->Add();
    p->set_of(site.value);
    p->set_share(ToProtoBytes(ByteView(share)));
  }
}

template <class Repeated>
absl::StatusOr<Shares> SharesFromProto(const Repeated& proto, std::string_view field) {
  RETURN_IF_ERROR(AtMostSites(proto, field));
  Shares shares;
  for (const v1::SiteShare& p : proto) {
    ASSIGN_OR_RETURN(const SiteId of, SiteFromProto(p.of()));
    ASSIGN_OR_RETURN(const secagg::Share share,
                     ArrayFromProto<secagg::kShareBytes>(p.share(), field));
    if (!shares.emplace(of, share).second) return Malformed(field, "names a site twice");
  }
  return shares;
}

absl::StatusOr<decltype(SecureNotice::notice)> NoticeFromProto(const v1::SecureNotice& proto) {
  switch (proto.notice_case()) {
    case v1::SecureNotice::kMembers: {
      RETURN_IF_ERROR(AtMostSites(proto.members().members(), "members"));
      SecureNotice::Members members;
      for (const v1::Advertisement& p : proto.members().members()) {
        ASSIGN_OR_RETURN(members.members.emplace_back(), FromProto(p));
      }
      return members;
    }
    case v1::SecureNotice::kShares: {
      SecureNotice::Shares shares;
      ASSIGN_OR_RETURN(shares.shares, FromProto(proto.shares()));
      return shares;
    }
    case v1::SecureNotice::kSurvivors: {
      RETURN_IF_ERROR(AtMostSites(proto.survivors().sites(), "survivors"));
      SecureNotice::Survivors survivors;
      for (const std::string& name : proto.survivors().sites()) {
        ASSIGN_OR_RETURN(const SiteId site, SiteFromProto(name));
        if (!survivors.sites.insert(site).second)
          return Malformed("survivors", "name a site twice");
      }
      return survivors;
    }
    case v1::SecureNotice::kSignatures: {
      RETURN_IF_ERROR(AtMostSites(proto.signatures().signatures(), "signatures"));
      SecureNotice::Signatures signatures;
      for (const v1::SiteSignature& p : proto.signatures().signatures()) {
        ASSIGN_OR_RETURN(const SiteId site, SiteFromProto(p.site()));
        ASSIGN_OR_RETURN(const auto signature, ArrayFromProto<64>(p.signature(), "signature"));
        if (!signatures.signatures.emplace(site, signature).second) {
          return Malformed("signatures", "name a site twice");
        }
      }
      return signatures;
    }
    case v1::SecureNotice::NOTICE_NOT_SET:
      break;
  }
  return Malformed("step of secure aggregation", "is of a kind this version does not know");
}

absl::StatusOr<decltype(SecureAnswer::answer)> AnswerFromProto(const v1::SecureAnswer& proto) {
  switch (proto.answer_case()) {
    case v1::SecureAnswer::kAdvertisement:
      return FromProto(proto.advertisement());
    case v1::SecureAnswer::kShares:
      return FromProto(proto.shares());
    case v1::SecureAnswer::kMaskedSums: {
      MaskedSums masked;
      ASSIGN_OR_RETURN(masked.sums, SumsFromProto(proto.masked_sums().sums()));
      ASSIGN_OR_RETURN(masked.signature,
                       ArrayFromProto<64>(proto.masked_sums().signature(), "signature"));
      return masked;
    }
    case v1::SecureAnswer::kSurvivorsSignature:
      return ArrayFromProto<64>(proto.survivors_signature(), "signature");
    case v1::SecureAnswer::kUnmask: {
      secagg::UnmaskAnswer unmask;
      ASSIGN_OR_RETURN(unmask.seed_shares,
                       SharesFromProto(proto.unmask().seed_shares(), "seed shares"));
      ASSIGN_OR_RETURN(unmask.mask_key_shares,
                       SharesFromProto(proto.unmask().mask_key_shares(), "mask key shares"));
      return unmask;
    }
    case v1::SecureAnswer::ANSWER_NOT_SET:
      break;
  }
  return Malformed("step of secure aggregation", "is of a kind this version does not know");
}

}  // namespace

std::string SumsToProto(const std::vector<std::uint64_t>& sums) {
  std::string bytes(sums.size() * 8, '\0');
  for (std::size_t i = 0; i < sums.size(); ++i) {
    StoreLe64(reinterpret_cast<std::uint8_t*>(bytes.data()) + 8 * i, sums[i]);
  }
  return bytes;
}

absl::StatusOr<std::vector<std::uint64_t>> SumsFromProto(const std::string& bytes) {
  if (bytes.size() % 8 != 0 || bytes.size() / 8 > kMostSums) {
    return Malformed("masked sums", StrCat("have ", bytes.size(), " bytes"));
  }
  std::vector<std::uint64_t> sums(bytes.size() / 8);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = LoadLe64(AsBytes(bytes).data() + 8 * i);
  return sums;
}

void ToProto(const secagg::SessionConfig& c, v1::SecureSession* proto) {
  proto->set_federation(c.federation);
  ToProto(c.key.attempt, proto->mutable_key());
  proto->set_purpose(static_cast<std::uint32_t>(c.key.purpose));
  proto->set_model(ToProtoBytes(c.model));
  proto->set_roster(ToProtoBytes(c.roster));
  proto->set_cohort_size(c.cohort_size);
  proto->set_threshold(c.threshold);
  proto->set_values(c.values);
  proto->set_sums(c.sums);
  proto->set_layout(ToProtoBytes(c.layout));
  proto->set_clip_norm(c.clip_norm);
  proto->set_total_weight(c.total_weight);
  proto->set_weight_rule(c.weight_rule);
  proto->set_privacy(c.privacy);
}

absl::StatusOr<secagg::SessionConfig> SessionConfigFromProto(const v1::SecureSession& proto) {
  secagg::SessionConfig c;
  ASSIGN_OR_RETURN(c.federation, Text(proto.federation(), "federation"));
  ASSIGN_OR_RETURN(c.key, SessionKeyFromProto(proto.key(), proto.purpose()));
  ASSIGN_OR_RETURN(c.model, DigestFromProto(proto.model(), "model"));
  ASSIGN_OR_RETURN(c.roster, DigestFromProto(proto.roster(), "roster"));
  c.cohort_size = proto.cohort_size();
  c.threshold = proto.threshold();
  if (c.cohort_size > kMostSites) return Malformed("cohort_size", "is above 255");
  c.values = proto.values();
  c.sums = proto.sums();
  if (c.sums > kMostSums) return Malformed("sums", StrCat("is above ", kMostSums));
  ASSIGN_OR_RETURN(c.layout, DigestFromProto(proto.layout(), "layout"));
  ASSIGN_OR_RETURN(c.clip_norm, Finite(proto.clip_norm(), "clip_norm"));
  ASSIGN_OR_RETURN(c.total_weight, Finite(proto.total_weight(), "total_weight"));
  ASSIGN_OR_RETURN(c.weight_rule, Text(proto.weight_rule(), "weight_rule"));
  ASSIGN_OR_RETURN(c.privacy, Text(proto.privacy(), "privacy"));
  return c;
}

void ToProto(const SecureAnswer& m, v1::SecureAnswer* proto) {
  ToProto(m.session.attempt, proto->mutable_key());
  proto->set_purpose(static_cast<std::uint32_t>(m.session.purpose));
  std::visit(
      Overloaded{
          [&](const secagg::Advertisement& a) { ToProto(a, proto->mutable_advertisement()); },
          [&](const std::vector<secagg::SealedShare>& shares) {
            ToProto(shares, proto->mutable_shares());
          },
          [&](const MaskedSums& masked) {
            proto->mutable_masked_sums()->set_sums(SumsToProto(masked.sums));
            proto->mutable_masked_sums()->set_signature(ToProtoBytes(ByteView(masked.signature)));
          },
          [&](const crypto::Signature& signature) {
            proto->set_survivors_signature(ToProtoBytes(ByteView(signature)));
          },
          [&](const secagg::UnmaskAnswer& unmask) {
            SharesToProto(unmask.seed_shares, proto->mutable_unmask()->mutable_seed_shares());
            SharesToProto(unmask.mask_key_shares,
                          proto->mutable_unmask()->mutable_mask_key_shares());
          },
      },
      m.answer);
}

absl::StatusOr<FromSite> SecureAnswerFromProto(const v1::SecureAnswer& proto) {
  SecureAnswer m;
  ASSIGN_OR_RETURN(m.session, SessionKeyFromProto(proto.key(), proto.purpose()));
  ASSIGN_OR_RETURN(m.answer, AnswerFromProto(proto));
  return m;
}

void ToProto(const SecureNotice& m, v1::SecureNotice* proto) {
  ToProto(m.session.attempt, proto->mutable_key());
  proto->set_purpose(static_cast<std::uint32_t>(m.session.purpose));
  std::visit(Overloaded{
                 [&](const SecureNotice::Members& members) {
                   for (const auto& member : members.members) {
                     ToProto(member, proto->mutable_members()->add_members());
                   }
                 },
                 [&](const SecureNotice::Shares& shares) {
                   ToProto(shares.shares, proto->mutable_shares());
                 },
                 [&](const SecureNotice::Survivors& survivors) {
                   for (const SiteId& site : survivors.sites) {
                     proto->mutable_survivors()->add_sites(site.value);
                   }
                 },
                 [&](const SecureNotice::Signatures& signatures) {
                   for (const auto& [site, signature] : signatures.signatures) {
                     auto* p = proto->mutable_signatures()->add_signatures();
                     p->set_site(site.value);
                     p->set_signature(ToProtoBytes(ByteView(signature)));
                   }
                 },
             },
             m.notice);
}

absl::StatusOr<ToSite> SecureNoticeFromProto(const v1::SecureNotice& proto) {
  SecureNotice m;
  ASSIGN_OR_RETURN(m.session, SessionKeyFromProto(proto.key(), proto.purpose()));
  ASSIGN_OR_RETURN(m.notice, NoticeFromProto(proto));
  return m;
}

void ToProto(const LogExtension& m, v1::LogExtension* proto) {
  proto->set_previous(ToProtoBytes(m.previous));
  for (const LogEntry& entry : m.entries) {
    auto* p = proto->add_entries();
    p->set_number(entry.number);
    p->set_time_us(entry.time.time_since_epoch().count());
    p->set_actor(entry.actor);
    p->set_action(entry.action);
    p->set_subject(entry.subject);
    p->set_details(entry.details);
  }
}

absl::StatusOr<ToSite> LogExtensionFromProto(const v1::LogExtension& proto) {
  if (proto.entries_size() > kMostLogEntries) {
    return Malformed("log extension", StrCat("has more than ", kMostLogEntries, " entries"));
  }
  LogExtension m;
  ASSIGN_OR_RETURN(m.previous, DigestFromProto(proto.previous(), "previous"));
  for (const v1::LogEntry& p : proto.entries()) {
    LogEntry& entry = m.entries.emplace_back();
    entry.number = p.number();
    entry.time = Time(Duration(p.time_us()));
    ASSIGN_OR_RETURN(entry.actor, Text(p.actor(), "actor"));
    ASSIGN_OR_RETURN(entry.action, Text(p.action(), "action"));
    ASSIGN_OR_RETURN(entry.subject, Text(p.subject(), "subject"));
    ASSIGN_OR_RETURN(entry.details, Text(p.details(), "details", 64 * 1024));
  }
  return m;
}

}  // namespace consilium::wire
