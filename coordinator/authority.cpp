#include "coordinator/authority.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_split.h"
#include "common/base/host_port.h"
#include "common/base/status.h"
#include "common/crypto/key_folder.h"
#include "common/crypto/sha256.h"
#include "common/identity/token.h"

namespace consilium::coordinator {
namespace {

constexpr int kAuthorityDays = 3650;
constexpr std::uint64_t kMaxPublicFileBytes = 1 << 20;

absl::Status NoCoordinator(const fs::path& state) {
  return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                    "\" holds no coordinator; run `consilium federation init` "
                                    "first, or give --state the right folder"));
}

absl::StatusOr<crypto::Ed25519PublicKey> LoadRootKey(const fs::path& path) {
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, kMaxPublicFileBytes));
  if (text.ends_with('\n')) text.pop_back();
  const auto bytes = FromHex(text);
  crypto::Ed25519PublicKey key;
  if (!bytes.ok() || bytes->size() != key.size()) {
    return absl::DataLossError("keys/root.pub is not a public key; restore it from a backup");
  }
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

// "name", "name:port" -> name
absl::StatusOr<std::string> WithoutPort(const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort parsed, ParseHostPort(address));
  return parsed.host;
}

// The first line is the address, the others are further names.
absl::Status LoadHosts(const fs::path& path, PublicAuthority& authority) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxPublicFileBytes));
  for (const auto& line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::string name(line);
    if (authority.hosts.empty()) {
      authority.address = name;
      ASSIGN_OR_RETURN(std::string host, WithoutPort(name));
      authority.hosts.push_back(std::move(host));
    } else {
      authority.hosts.push_back(name);
    }
  }
  if (authority.hosts.empty()) {
    return absl::DataLossError("keys/hosts names no host; restore it from a backup");
  }
  return absl::OkStatus();
}

absl::Status SaveHosts(const fs::path& path, const Authority::New& coordinator) {
  std::string text = StrCat(coordinator.address, "\n");
  for (std::size_t i = 1; i < coordinator.hosts.size(); ++i) {
    StrAppend(&text, coordinator.hosts[i], "\n");
  }
  return WriteFileDurably(path, text);
}

absl::StatusOr<identity::RosterEntry> EntryOf(std::string_view certificate,
                                              const crypto::Ed25519KeyPair& signing,
                                              const crypto::X25519KeyPair& sealing) {
  identity::RosterEntry entry;
  entry.name = kCoordinatorName;
  entry.role = Role::kCoordinator;
  entry.signing_key = signing.public_key;
  entry.sealing_key = sealing.public_key;
  ASSIGN_OR_RETURN(entry.tls_key, crypto::KeyFingerprint(certificate));
  return entry;
}

// Into `keys`, a folder that nobody reads yet.
absl::StatusOr<identity::RosterEntry> MakeKeys(const fs::path& keys,
                                               const Authority::New& coordinator,
                                               const crypto::Passphrase& passphrase, Time now) {
  ASSIGN_OR_RETURN(const auto folder, crypto::KeyFolder::Create(keys, passphrase));
  ASSIGN_OR_RETURN(
      const crypto::PemIdentity authority,
      crypto::MakeAuthority(StrCat(coordinator.federation, " authority"), now, kAuthorityDays));
  ASSIGN_OR_RETURN(const auto request, crypto::MakeRequest(kCoordinatorName));  // for its key
  ASSIGN_OR_RETURN(const std::string chain,
                   crypto::MakeServerCertificate(authority, request.private_key, coordinator.hosts,
                                                 now, coordinator.certificate_life));
  ASSIGN_OR_RETURN(const auto signing, crypto::Ed25519KeyPair::Generate());
  ASSIGN_OR_RETURN(const auto sealing, crypto::X25519KeyPair::Generate());
  RETURN_IF_ERROR(folder.SavePem("ca.key", authority.private_key));
  RETURN_IF_ERROR(folder.SavePem("tls.key", request.private_key));
  RETURN_IF_ERROR(folder.Save("signing.key", "ed25519", signing.private_key));
  RETURN_IF_ERROR(folder.Save("sealing.key", "x25519", sealing.private_key));
  RETURN_IF_ERROR(WriteFileDurably(keys / "ca.crt", authority.certificate));
  RETURN_IF_ERROR(WriteFileDurably(keys / "tls.crt", chain));
  RETURN_IF_ERROR(WriteFileDurably(keys / "root.pub", StrCat(ToHex(coordinator.root), "\n")));
  RETURN_IF_ERROR(SaveHosts(keys / "hosts", coordinator));
  return EntryOf(chain, signing, sealing);
}

Digest HashOf(const identity::Token& token) { return crypto::Sha256(ByteView(token.secret)); }

absl::Status CheckInvitation(SharedLedger& ledger, const Invitation& invitation) {
  RETURN_IF_ERROR(CheckName(Name(invitation.role), invitation.name));
  if (invitation.role == Role::kCoordinator || invitation.name == kCoordinatorName) {
    return absl::InvalidArgumentError(
        "a federation has one coordinator, which `consilium federation init` made; invite sites, "
        "researchers and auditors, under other names");
  }
  if (!std::isfinite(invitation.weight_cap) || invitation.weight_cap < 0 ||
      (invitation.weight_cap > 0 && invitation.role != Role::kSite)) {
    return absl::InvalidArgumentError("a weight cap is a positive number, and only for a site");
  }
  ASSIGN_OR_RETURN(const std::vector<Member> members,
                   ledger.With([](Ledger& l) { return l.Members(); }));
  for (const Member& member : members) {
    if (member.name == invitation.name && member.role != invitation.role) {
      return absl::FailedPreconditionError(StrCat("the name \"", member.name, "\" belongs to a ",
                                                  Name(member.role), ": choose another"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<identity::Token> CheckToken(const std::string& text,
                                           const PublicAuthority& authority) {
  ASSIGN_OR_RETURN(const identity::Token token, identity::Token::Parse(text));
  if (token.authority != authority.fingerprint || token.root != authority.root) {
    return absl::UnauthenticatedError(
        "this token is of another coordinator; check the address, or ask for a new token");
  }
  return token;
}

}  // namespace

absl::StatusOr<PublicAuthority> LoadPublicAuthority(const fs::path& state) {
  const fs::path keys = state / "keys";
  if (!Exists(keys / "tls.crt")) return NoCoordinator(state);
  PublicAuthority authority;
  ASSIGN_OR_RETURN(authority.certificate, ReadTextFile(keys / "ca.crt", kMaxPublicFileBytes));
  ASSIGN_OR_RETURN(authority.fingerprint, crypto::CertificateFingerprint(authority.certificate));
  ASSIGN_OR_RETURN(authority.server_chain, ReadTextFile(keys / "tls.crt", kMaxPublicFileBytes));
  ASSIGN_OR_RETURN(authority.root, LoadRootKey(keys / "root.pub"));
  RETURN_IF_ERROR(LoadHosts(keys / "hosts", authority));
  return authority;
}

std::string DefaultListenAddress(const PublicAuthority& authority) {
  const auto parsed = ParseHostPort(authority.address);  // LoadPublicAuthority parsed it too
  CONSILIUM_CHECK(parsed.ok());
  return StrCat("0.0.0.0:", parsed->port);
}

absl::StatusOr<std::string> Invite(SharedLedger& ledger, const PublicAuthority& authority,
                                   Invitation invitation, Time now, RandomSource& random) {
  RETURN_IF_ERROR(CheckInvitation(ledger, invitation));
  identity::Token token;
  random.Fill(token.secret);
  token.authority = authority.fingerprint;
  token.root = authority.root;
  token.address = authority.address;
  invitation.token_hash = HashOf(token);
  RETURN_IF_ERROR(ledger.With([&](Ledger& l) -> absl::Status {
    RETURN_IF_ERROR(l.AddInvitation(invitation, now));
    return l.AddLogEntry(now, "operator", "invite", invitation.name,
                         StrCat("{\"role\":\"", Name(invitation.role), "\"}"));
  }));
  return token.ToString();
}

absl::StatusOr<identity::RosterEntry> Authority::Create(const fs::path& state,
                                                        const New& coordinator,
                                                        const crypto::Passphrase& passphrase,
                                                        Time now) {
  RETURN_IF_ERROR(CheckName("federation", coordinator.federation));
  const fs::path keys = state / "keys", making = state / "keys.new";
  if (Exists(keys)) {
    return absl::AlreadyExistsError(StrCat("the state folder \"", state.filename().string(),
                                           "\" holds a coordinator already; to start over, give "
                                           "--state another folder"));
  }
  RETURN_IF_ERROR(EnsureFolder(state));
  RETURN_IF_ERROR(RemoveTree(making));
  ASSIGN_OR_RETURN(identity::RosterEntry entry, MakeKeys(making, coordinator, passphrase, now));
  RETURN_IF_ERROR(RenameDurably(making, keys));
  return entry;
}

absl::StatusOr<Authority> Authority::Load(const fs::path& state,
                                          const crypto::PassphraseOptions& passphrase) {
  Authority authority;
  authority.state_ = state;
  ASSIGN_OR_RETURN(authority.public_, LoadPublicAuthority(state));
  ASSIGN_OR_RETURN(const auto folder, crypto::KeyFolder::Open(state / "keys", passphrase));
  authority.authority_.certificate = authority.public_.certificate;
  authority.server_.certificate = authority.public_.server_chain;
  ASSIGN_OR_RETURN(authority.authority_.private_key, folder.LoadPem("ca.key"));
  ASSIGN_OR_RETURN(authority.server_.private_key, folder.LoadPem("tls.key"));
  ASSIGN_OR_RETURN(const crypto::Secret signing, folder.Load("signing.key", "ed25519"));
  ASSIGN_OR_RETURN(authority.signing_, crypto::Ed25519KeyPair::FromPrivate(signing.Reveal()));
  ASSIGN_OR_RETURN(const crypto::Secret sealing, folder.Load("sealing.key", "x25519"));
  ASSIGN_OR_RETURN(authority.sealing_, crypto::X25519KeyPair::FromPrivate(sealing.Reveal()));
  authority.renewable_ = std::make_unique<Renewable>();
  authority.renewable_->chain = authority.public_.server_chain;
  return authority;
}

absl::StatusOr<identity::RosterEntry> Authority::Entry() const {
  return EntryOf(server_.certificate, signing_, sealing_);
}

std::string Authority::ServerCertificate() const {
  std::lock_guard lock(renewable_->mutex);
  return renewable_->chain;
}

absl::StatusOr<Time> Authority::ServerRenewalDue() const {
  ASSIGN_OR_RETURN(const crypto::CertificateSubject subject,
                   crypto::ReadSubject(ServerCertificate()));
  return subject.not_before + (subject.not_after - subject.not_before) / 3 * 2;
}

absl::Status Authority::RenewServerCertificate(Duration life, Time now) const {
  ASSIGN_OR_RETURN(
      const std::string chain,
      crypto::MakeServerCertificate(authority_, server_.private_key, public_.hosts, now, life));
  std::lock_guard lock(renewable_->mutex);
  RETURN_IF_ERROR(WriteFileDurably(state_ / "keys" / "tls.crt", chain));
  renewable_->chain = chain;
  return absl::OkStatus();
}

absl::StatusOr<Enrolment> Authority::Enrol(SharedLedger& ledger, const EnrolmentRequest& request,
                                           Time now) const {
  ASSIGN_OR_RETURN(const identity::Token token, CheckToken(request.token, public_));
  const std::optional<Role> role = identity::RoleNamed(request.role);
  if (!role) {
    return absl::InvalidArgumentError(
        StrCat("the role \"", request.role.substr(0, 32), "\" is not known"));
  }
  const Bytes proven =
      identity::EnrolmentText(request.token, request.request_pem, *role, request.signing_key);
  if (!crypto::VerifySignature(request.signing_key, proven, request.signing_proof).ok()) {
    return absl::UnauthenticatedError(
        "the enrolment is not signed with the signing key in it: it was changed on the way, or its "
        "sender does not hold the key");
  }
  const Digest token_hash = HashOf(token);
  return ledger.With([&](Ledger& l) -> absl::StatusOr<Enrolment> {
    ASSIGN_OR_RETURN(const Invitation invitation, l.FindInvitation(token_hash, now));
    if (invitation.role != *role) {
      return absl::InvalidArgumentError(StrCat("the token is for a ", Name(invitation.role),
                                               ", not for a ", Name(*role),
                                               "; it can still be used"));
    }
    ASSIGN_OR_RETURN(const Duration life, l.CertificateLife());
    Enrolment enrolment;
    ASSIGN_OR_RETURN(enrolment.certificate_pem,
                     crypto::SignRequest(authority_, request.request_pem, invitation.name,
                                         Name(*role), now, life));
    enrolment.member = {.name = invitation.name,
                        .role = *role,
                        .signing_key = request.signing_key,
                        .enrolled = now,
                        .weight_cap = invitation.weight_cap};
    ASSIGN_OR_RETURN(enrolment.member.tls_key, crypto::KeyFingerprint(enrolment.certificate_pem));
    RETURN_IF_ERROR(l.Enrol(token_hash, enrolment.member, now));
    return enrolment;
  });
}

absl::StatusOr<std::string> Authority::Renew(SharedLedger& ledger, const Member& member,
                                             std::string_view request_pem, Time now) const {
  ASSIGN_OR_RETURN(const Digest key, crypto::RequestKeyFingerprint(request_pem));
  if (key != member.tls_key) {
    return absl::InvalidArgumentError(
        "a certificate is renewed for the key it was made for; for another key enrol again with a "
        "new token");
  }
  return ledger.With([&](Ledger& l) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const Duration life, l.CertificateLife());
    ASSIGN_OR_RETURN(
        std::string certificate,
        crypto::SignRequest(authority_, request_pem, member.name, Name(member.role), now, life));
    RETURN_IF_ERROR(l.AddLogEntry(now, member.name, "renew", member.name));
    return certificate;
  });
}

absl::StatusOr<bool> RenewWhenDue(const Authority& authority, SharedLedger& ledger, Time now) {
  ASSIGN_OR_RETURN(const Time due, authority.ServerRenewalDue());
  if (now < due) return false;
  ASSIGN_OR_RETURN(const Duration life, ledger.With([](Ledger& l) { return l.CertificateLife(); }));
  RETURN_IF_ERROR(authority.RenewServerCertificate(life, now));
  return true;
}

}  // namespace consilium::coordinator
