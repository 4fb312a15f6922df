#include "coordinator/authority.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/identity/token.h"

namespace consilium::coordinator {
namespace {

constexpr int kAuthorityDays = 3650;
constexpr int kServerDays = 825;
constexpr int kMemberDays = 90;

// The role is part of what is hashed, so that a token shown in another role finds no invitation and
// is not used up.
Digest HashToken(Role role, const identity::Token& token) {
  return crypto::Sha256(
      AsBytes(StrCat("consilium invitation ", Name(role), " ", AsText(token.secret))));
}

absl::StatusOr<crypto::Secret> LoadPem(const fs::path& path) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, 1 << 20));
  crypto::Secret secret = crypto::Secret::CopyOf(bytes);
  std::fill(bytes.begin(), bytes.end(), 0);
  return secret;
}

absl::Status SaveIdentity(const crypto::PemIdentity& identity, const fs::path& keys,
                          const std::string& name) {
  RETURN_IF_ERROR(WriteFileDurably(keys / (name + ".key"), identity.private_key.Reveal()));
  return WriteFileDurably(keys / (name + ".crt"), identity.certificate);
}

absl::StatusOr<crypto::PemIdentity> LoadPemIdentity(const fs::path& keys, const std::string& name) {
  crypto::PemIdentity identity;
  ASSIGN_OR_RETURN(identity.certificate, ReadTextFile(keys / (name + ".crt"), 1 << 20));
  ASSIGN_OR_RETURN(identity.private_key, LoadPem(keys / (name + ".key")));
  return identity;
}

}  // namespace

absl::Status Authority::Create(const fs::path& state, std::string_view federation,
                               const std::vector<std::string>& hosts, Time now) {
  RETURN_IF_ERROR(CheckName("federation", federation));
  if (hosts.empty())
    return absl::InvalidArgumentError("a coordinator needs at least one host name");
  const fs::path keys = state / "keys";
  if (fs::exists(keys / "tls.crt")) {
    return absl::AlreadyExistsError(StrCat("the state folder \"", state.filename().string(),
                                           "\" holds a coordinator already; to start over, give "
                                           "--state another folder"));
  }
  RETURN_IF_ERROR(EnsureFolder(keys));
  ASSIGN_OR_RETURN(const crypto::PemIdentity authority,
                   crypto::MakeAuthority(StrCat(federation, " authority"), now, kAuthorityDays));
  ASSIGN_OR_RETURN(crypto::PemIdentity server,
                   crypto::MakeServerIdentity(authority, hosts, now, kServerDays));
  server.certificate += authority.certificate;  // members find the authority in the chain
  ASSIGN_OR_RETURN(const auto signing, crypto::Ed25519KeyPair::Generate());
  ASSIGN_OR_RETURN(const auto sealing, crypto::X25519KeyPair::Generate());
  RETURN_IF_ERROR(crypto::SavePrivateKey(keys / "signing.key", "ed25519", signing.private_key));
  RETURN_IF_ERROR(crypto::SavePrivateKey(keys / "sealing.key", "x25519", sealing.private_key));
  RETURN_IF_ERROR(SaveIdentity(authority, keys, "ca"));
  return SaveIdentity(server, keys, "tls");  // last: before it, init may be repeated
}

absl::StatusOr<Authority> Authority::Load(const fs::path& state) {
  const fs::path keys = state / "keys";
  if (!fs::exists(keys / "tls.crt")) {
    return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                      "\" holds no coordinator; run `consilium-coordinator init` "
                                      "first, or give --state the right folder"));
  }
  Authority authority;
  ASSIGN_OR_RETURN(authority.authority_, LoadPemIdentity(keys, "ca"));
  ASSIGN_OR_RETURN(authority.server_, LoadPemIdentity(keys, "tls"));
  ASSIGN_OR_RETURN(authority.fingerprint_,
                   crypto::CertificateFingerprint(authority.authority_.certificate));
  ASSIGN_OR_RETURN(const crypto::Secret signing,
                   crypto::LoadPrivateKey(keys / "signing.key", "ed25519"));
  ASSIGN_OR_RETURN(authority.signing_, crypto::Ed25519KeyPair::FromPrivate(signing.Reveal()));
  ASSIGN_OR_RETURN(const crypto::Secret sealing,
                   crypto::LoadPrivateKey(keys / "sealing.key", "x25519"));
  ASSIGN_OR_RETURN(authority.sealing_, crypto::X25519KeyPair::FromPrivate(sealing.Reveal()));
  return authority;
}

absl::StatusOr<std::string> Authority::Invite(SharedLedger& ledger, std::string_view name,
                                              Role role, Duration valid_for, Time now,
                                              RandomSource& random) const {
  RETURN_IF_ERROR(CheckName(Name(role), name));
  identity::Token token;
  random.Fill(token.secret);
  token.authority = fingerprint_;
  const Invitation invitation{HashToken(role, token), std::string(name), role, now + valid_for};
  RETURN_IF_ERROR(ledger.With([&](Ledger& l) -> absl::Status {
    RETURN_IF_ERROR(l.AddInvitation(invitation, now));
    return l.AddAudit({now, "operator", "invite", std::string(name)});
  }));
  return token.ToString();
}

absl::StatusOr<Enrolment> Authority::Enrol(SharedLedger& ledger, std::string_view token_text,
                                           std::string_view role, std::string_view request_pem,
                                           Time now) const {
  ASSIGN_OR_RETURN(const identity::Token token, identity::Token::Parse(token_text));
  if (token.authority != fingerprint_) {
    return absl::UnauthenticatedError(
        "this token is of another coordinator; check the address, or ask for a new token");
  }
  if (role != Name(Role::kSite) && role != Name(Role::kResearcher)) {
    return absl::InvalidArgumentError(
        StrCat("the role \"", role, "\" is not known; \"site\" and \"researcher\" are"));
  }
  const Role asked = role == Name(Role::kSite) ? Role::kSite : Role::kResearcher;
  // A request that cannot be signed must not cost the token.
  RETURN_IF_ERROR(
      crypto::SignRequest(authority_, request_pem, "unnamed", Name(asked), now, 1).status());
  return ledger.With([&](Ledger& l) -> absl::StatusOr<Enrolment> {
    absl::StatusOr<Invitation> invitation = l.TakeInvitation(HashToken(asked, token), now);
    if (absl::IsPermissionDenied(invitation.status())) {
      return absl::PermissionDeniedError(StrCat(ToStd(invitation.status().message()),
                                                "; ask the coordinator's operator for a new "
                                                "token for role \"",
                                                role, "\""));
    }
    RETURN_IF_ERROR(invitation.status());
    ASSIGN_OR_RETURN(std::string certificate,
                     crypto::SignRequest(authority_, request_pem, invitation->name,
                                         Name(invitation->role), now, kMemberDays));
    ASSIGN_OR_RETURN(const Digest fingerprint, crypto::CertificateFingerprint(certificate));
    RETURN_IF_ERROR(l.AddMember({invitation->name, invitation->role, fingerprint, now, {}}));
    RETURN_IF_ERROR(l.AddAudit({now, invitation->name, "enrol", invitation->name}));
    return Enrolment{std::move(certificate), invitation->name, invitation->role};
  });
}

}  // namespace consilium::coordinator
