#include "experiments/bench/sites/made_federation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/crypto/key_folder.h"

namespace consilium::experiments {
namespace {

using coordinator::Authority;
using coordinator::Ledger;
using coordinator::Member;
using coordinator::SharedLedger;
using identity::Role;

constexpr char kFederation[] = "many-sites";
constexpr std::size_t kStateKeyBytes = 32;

template <class Array>
absl::StatusOr<Array> FromHexText(const std::string& text) {
  ASSIGN_OR_RETURN(const Bytes bytes, FromHex(text));
  Array array{};
  if (bytes.size() != array.size()) return absl::InvalidArgumentError("a key of another length");
  std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

}  // namespace

absl::StatusOr<MadeFederation> MadeFederation::Make(const fs::path& folder, int sites, int port) {
  MadeFederation made(folder);
  made.address_ = StrCat("127.0.0.1:", port);
  RETURN_IF_ERROR(EnsureFolder(folder));
  Bytes drawn(24);
  SystemRandom().Fill(drawn);
  const std::string passphrase = ToBase64Url(drawn);
  RETURN_IF_ERROR(WriteFileDurably(made.passphrase(), passphrase + "\n"));
  ASSIGN_OR_RETURN(const auto root, crypto::Ed25519KeyPair::Generate());
  ASSIGN_OR_RETURN(const auto wrapping, crypto::Passphrase::FromText(AsBytes(passphrase)));
  const Time now = SystemClock().Now();
  const Authority::New coordinator{.federation = kFederation,
                                   .hosts = {"127.0.0.1", "localhost"},
                                   .address = made.address_,
                                   .root = root.public_key,
                                   .certificate_life = std::chrono::hours(24 * 90)};
  RETURN_IF_ERROR(Authority::Create(made.state(), coordinator, wrapping, now).status());
  ASSIGN_OR_RETURN(const Authority authority,
                   Authority::Load(made.state(), {.file = made.passphrase()}));
  ASSIGN_OR_RETURN(Ledger opened, Ledger::Open(made.state() / "ledger.db"));
  SharedLedger ledger(std::move(opened));
  RETURN_IF_ERROR(ledger.With([&](Ledger& l) { return l.SetFederation(kFederation, now); }));
  for (int i = 1; i <= sites; ++i) {
    ASSIGN_OR_RETURN(
        made.sites_.emplace_back(),
        made.AddMember(authority, ledger, absl::StrFormat("site-%04d", i), Role::kSite));
  }
  ASSIGN_OR_RETURN(made.researcher_,
                   made.AddMember(authority, ledger, "researcher", Role::kResearcher));
  RETURN_IF_ERROR(made.Admit(authority, ledger, root));
  return made;
}

absl::StatusOr<identity::Identity> MadeFederation::AddMember(const Authority& authority,
                                                             SharedLedger& ledger,
                                                             const std::string& name,
                                                             Role role) const {
  identity::Identity identity;
  identity.name = name;
  identity.role = role;
  identity.federation = kFederation;
  identity.coordinator = address_;
  identity.authority = authority.authority_pem();
  identity.root = authority.root_key();
  ASSIGN_OR_RETURN(crypto::CertificateRequest request, crypto::MakeRequest(name));
  identity.private_key = std::move(request.private_key);
  ASSIGN_OR_RETURN(identity.tls_key, crypto::RequestKeyFingerprint(request.pem));
  ASSIGN_OR_RETURN(identity.signing, crypto::Ed25519KeyPair::Generate());
  identity.state_key = crypto::Secret(kStateKeyBytes);
  SystemRandom().Fill(identity.state_key.RevealForWriting());
  const Time now = SystemClock().Now();
  Member member;
  member.name = name;
  member.role = role;
  member.tls_key = identity.tls_key;
  member.signing_key = identity.signing.public_key;
  member.enrolled = now;
  RETURN_IF_ERROR(ledger.With([&](Ledger& l) { return l.AddMember(member); }));
  ASSIGN_OR_RETURN(identity.certificate, authority.Renew(ledger, member, request.pem, now));
  return identity;
}

absl::Status MadeFederation::Admit(const Authority& authority, SharedLedger& ledger,
                                   const crypto::Ed25519KeyPair& root) {
  const Time now = SystemClock().Now();
  identity::Roster roster;
  roster.federation = kFederation;
  roster.version = 1;
  roster.issued = now;
  ASSIGN_OR_RETURN(roster.members.emplace_back(), authority.Entry());
  return ledger.With([&](Ledger& l) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<Member> members, l.Members());
    for (const Member& member : members) {
      if (member.role == Role::kCoordinator) continue;
      identity::RosterEntry& entry = roster.members.emplace_back();
      entry.name = member.name;
      entry.role = member.role;
      entry.signing_key = member.signing_key;
      entry.tls_key = member.tls_key;
    }
    ASSIGN_OR_RETURN(roster_, identity::SignRoster(root, std::move(roster)));
    return l.SetRoster(roster_, now);
  });
}

absl::Status MadeFederation::SaveMember(const identity::Identity& member, const fs::path& state,
                                        const std::string& coordinator) const {
  const fs::path keys = state / "keys";
  RETURN_IF_ERROR(EnsureFolder(state));
  ASSIGN_OR_RETURN(const auto folder,
                   crypto::KeyFolder::Create(keys, crypto::Passphrase::Unprotected()));
  RETURN_IF_ERROR(folder.SavePem("tls.key", member.private_key));
  RETURN_IF_ERROR(folder.Save("signing.key", "ed25519", member.signing.private_key));
  RETURN_IF_ERROR(folder.Save("state.key", "state", member.state_key));
  RETURN_IF_ERROR(WriteFileDurably(keys / "tls.crt", member.certificate));
  RETURN_IF_ERROR(WriteFileDurably(keys / "ca.crt", member.authority));
  RETURN_IF_ERROR(WriteFileDurably(keys / "root.pub", ToHex(member.root) + "\n"));
  RETURN_IF_ERROR(
      WriteFileDurably(keys / "coordinator.address",
                       StrCat(coordinator.empty() ? member.coordinator : coordinator, "\n")));
  return identity::PinRoster(state, roster_);
}

absl::Status WriteIdentities(const fs::path& file, std::span<const identity::Identity> identities) {
  nlohmann::json list = nlohmann::json::array();
  for (const identity::Identity& identity : identities) {
    list.push_back({{"name", identity.name},
                    {"federation", identity.federation},
                    {"coordinator", identity.coordinator},
                    {"certificate", identity.certificate},
                    {"authority", identity.authority},
                    {"private_key", std::string(AsText(identity.private_key.Reveal()))},
                    {"signing", ToHex(identity.signing.private_key.Reveal())},
                    {"root", ToHex(identity.root)}});
  }
  RETURN_IF_ERROR(WriteFileDurably(file, list.dump()));
  std::error_code failed;
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write, failed);
  return failed ? absl::InternalError(failed.message()) : absl::OkStatus();
}

absl::StatusOr<std::vector<identity::Identity>> ReadIdentities(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 1ull << 30));
  std::vector<identity::Identity> identities;
  for (const auto& json : nlohmann::json::parse(text)) {
    identity::Identity& identity = identities.emplace_back();
    identity.name = json.at("name").get<std::string>();
    identity.federation = json.at("federation").get<std::string>();
    identity.coordinator = json.at("coordinator").get<std::string>();
    identity.certificate = json.at("certificate").get<std::string>();
    identity.authority = json.at("authority").get<std::string>();
    const auto pem = json.at("private_key").get<std::string>();
    identity.private_key = crypto::Secret(pem.size());
    std::copy(pem.begin(), pem.end(), identity.private_key.RevealForWriting().begin());
    ASSIGN_OR_RETURN(const Bytes signing, FromHex(json.at("signing").get<std::string>()));
    ASSIGN_OR_RETURN(identity.signing, crypto::Ed25519KeyPair::FromPrivate(signing));
    ASSIGN_OR_RETURN(identity.tls_key, crypto::KeyFingerprint(identity.certificate));
    ASSIGN_OR_RETURN(identity.root,
                     FromHexText<crypto::Ed25519PublicKey>(json.at("root").get<std::string>()));
  }
  return identities;
}

}  // namespace consilium::experiments
