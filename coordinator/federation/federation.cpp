#include "coordinator/federation/federation.h"

#include <algorithm>
#include <cctype>

#include "common/base/host_port.h"
#include "common/base/status.h"
#include "coordinator/authority.h"

namespace consilium::federation {
namespace {

using coordinator::Authority;
using identity::Role;
using identity::Roster;
using identity::RosterEntry;
using identity::SignedRoster;

constexpr char kLedger[] = "ledger.db";

absl::StatusOr<std::string> AddressOf(const std::string& host) {
  if (ParseHostPort(host).ok()) return host;
  const std::string address = StrCat(host, ":", kDefaultPort);
  const auto parsed = ParseHostPort(address);
  if (!parsed.ok()) return WithContext(parsed.status(), StrCat("--host ", host));
  return address;
}

absl::StatusOr<Authority::New> CoordinatorOf(const Founding& founding) {
  if (founding.hosts.empty()) {
    return absl::InvalidArgumentError("a coordinator needs at least one host name: --host");
  }
  Authority::New coordinator;
  coordinator.federation = founding.name;
  coordinator.certificate_life = founding.certificate_life;
  for (const std::string& host : founding.hosts) {
    ASSIGN_OR_RETURN(const std::string address, AddressOf(host));
    if (coordinator.address.empty()) coordinator.address = address;
    ASSIGN_OR_RETURN(HostPort parsed, ParseHostPort(address));
    coordinator.hosts.push_back(std::move(parsed.host));
  }
  return coordinator;
}

absl::Status CheckNothingThere(const Founding& founding) {
  RETURN_IF_ERROR(CheckName("federation", founding.name));
  std::error_code error;
  for (const char* file : {"keys", kLedger}) {
    if (fs::exists(founding.state / file, error)) {
      return absl::AlreadyExistsError(
          StrCat("the state folder \"", founding.state.filename().string(),
                 "\" holds a coordinator already; to start over, give --state another folder"));
    }
  }
  if (fs::exists(founding.root / "root.key", error)) {
    return absl::AlreadyExistsError(
        StrCat("the folder \"", founding.root.filename().string(),
               "\" holds a federation's root already, which must not be lost; give --root another "
               "folder"));
  }
  if (fs::weakly_canonical(founding.root, error) == fs::weakly_canonical(founding.state, error)) {
    return absl::InvalidArgumentError(
        "--root and --state are one folder: the root belongs on a medium that is not the "
        "coordinator's");
  }
  return absl::OkStatus();
}

// The letters and digits, in lower case.
std::string Bare(std::string_view text) {
  std::string bare;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      bare += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return bare;
}

RosterEntry EntryOf(const Member& member) {
  return {.name = member.name,
          .role = member.role,
          .signing_key = member.signing_key,
          .tls_key = member.tls_key,
          .weight_cap = member.weight_cap};
}

void RemoveNamed(Roster& roster, const std::string& name) {
  std::erase_if(roster.members, [&](const RosterEntry& entry) {
    return entry.name == name && entry.role != Role::kCoordinator;
  });
}

void RemoveRevoked(Roster& roster, const std::vector<Member>& members) {
  for (const Member& member : members) {
    if (!member.revoked) continue;
    std::erase_if(roster.members,
                  [&](const RosterEntry& entry) { return entry.tls_key == member.tls_key; });
  }
}

// The newest roster of the root, which the ledger must not be ahead of.
absl::StatusOr<Roster> NewestFor(const FederationRoot& root, Ledger& ledger) {
  ASSIGN_OR_RETURN(SignedRoster newest, root.Newest());
  ASSIGN_OR_RETURN(const std::string federation, ledger.FederationName());
  if (newest.roster.federation != federation) {
    return absl::FailedPreconditionError(
        StrCat("this root is of the federation \"", newest.roster.federation,
               "\", the coordinator of \"", federation, "\"; give --root the right folder"));
  }
  ASSIGN_OR_RETURN(const std::uint64_t held, ledger.RosterVersion());
  if (held > newest.roster.version) {
    return absl::FailedPreconditionError(
        StrCat("the coordinator has roster version ", held, ", the root's newest is version ",
               newest.roster.version,
               ": this is an old copy of the root's folder; give --root the newest"));
  }
  return std::move(newest.roster);
}

absl::StatusOr<SignedRoster> SignAndEnforce(const FederationRoot& root, Ledger& ledger,
                                            Roster roster, Time now) {
  ASSIGN_OR_RETURN(SignedRoster next, root.SignNext(std::move(roster), now));
  RETURN_IF_ERROR(ledger.SetRoster(next, now));
  return next;
}

absl::StatusOr<SignedRoster> FoundOn(const FederationRoot& root, const Founding& founding,
                                     const Authority::New& coordinator,
                                     const crypto::Passphrase& passphrase, Time now) {
  ASSIGN_OR_RETURN(RosterEntry entry,
                   Authority::Create(founding.state, coordinator, passphrase, now));
  ASSIGN_OR_RETURN(Ledger ledger, Ledger::Open(founding.state / kLedger));
  RETURN_IF_ERROR(ledger.SetFederation(founding.name, now));
  RETURN_IF_ERROR(ledger.SetCertificateLife(founding.certificate_life));
  Roster first;
  first.federation = founding.name;
  first.members.push_back(std::move(entry));
  return SignAndEnforce(root, ledger, std::move(first), now);
}

// What a founding that failed made; nothing of it was there before.
void Undo(const Founding& founding) {
  std::error_code ignored;
  fs::remove_all(founding.state / "keys", ignored);
  for (const fs::path& file :
       {founding.state / kLedger, founding.root / "root.key", founding.root / "root.pub",
        founding.root / "wrapping.json", founding.root / "roster-000001.json"}) {
    fs::remove(file, ignored);
  }
}

}  // namespace

absl::StatusOr<Founded> Found(const Founding& founding, const crypto::Passphrase& for_root,
                              const crypto::Passphrase& for_coordinator, Time now) {
  RETURN_IF_ERROR(CheckNothingThere(founding));
  ASSIGN_OR_RETURN(Authority::New coordinator, CoordinatorOf(founding));
  ASSIGN_OR_RETURN(const FederationRoot root, FederationRoot::Create(founding.root, for_root));
  coordinator.root = root.public_key();
  auto roster = FoundOn(root, founding, coordinator, for_coordinator, now);
  if (!roster.ok()) {
    Undo(founding);
    return roster.status();
  }
  return Founded{*std::move(roster), coordinator.address};
}

absl::StatusOr<Ledger> OpenLedger(const fs::path& state) {
  std::error_code error;
  if (!fs::exists(state / kLedger, error)) {
    return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                      "\" holds no coordinator; run `consilium federation init` "
                                      "first, or give --state the right folder"));
  }
  return Ledger::Open(state / kLedger);
}

std::string FingerprintOf(const Member& member) {
  return identity::ReadableFingerprint(member.name, member.role, member.signing_key,
                                       member.tls_key);
}

absl::StatusOr<std::vector<Member>> Waiting(Ledger& ledger) {
  ASSIGN_OR_RETURN(std::vector<Member> members, ledger.Members());
  std::erase_if(members, [](const Member& member) { return member.admitted || member.revoked; });
  return members;
}

absl::StatusOr<Member> WaitingMember(Ledger& ledger, std::string_view name) {
  ASSIGN_OR_RETURN(const std::vector<Member> waiting, Waiting(ledger));
  std::string names;
  for (const Member& member : waiting) {
    if (member.name == name) return member;
    StrAppend(&names, names.empty() ? "" : ", ", member.name);
  }
  return absl::NotFoundError(
      StrCat("nobody waits under the name \"", name, "\"; ",
             names.empty() ? std::string("nobody waits at all: invite with `consilium federation "
                                         "invite NAME`, and let them enrol")
                           : StrCat("waiting: ", names)));
}

absl::Status CheckFingerprint(const Member& member, std::string_view read_out) {
  const std::string fingerprint = FingerprintOf(member);
  if (Bare(read_out) == Bare(fingerprint)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      StrCat("\"", member.name, "\" enrolled here with the fingerprint ", fingerprint,
             ", and that is not what was read out: somebody may have enrolled in its place. Do not "
             "admit it; `consilium federation revoke ",
             member.name, "`, then invite it again over another channel"));
}

absl::StatusOr<SignedRoster> Admit(const FederationRoot& root, Ledger& ledger,
                                   const std::vector<Member>& members, Time now) {
  ASSIGN_OR_RETURN(Roster roster, NewestFor(root, ledger));
  ASSIGN_OR_RETURN(const std::vector<Member> known, ledger.Members());
  RemoveRevoked(roster, known);
  for (const Member& member : members) {
    RemoveNamed(roster, member.name);
    roster.members.push_back(EntryOf(member));
  }
  ASSIGN_OR_RETURN(SignedRoster next, SignAndEnforce(root, ledger, std::move(roster), now));
  for (const Member& member : members) {
    RETURN_IF_ERROR(ledger.AddLogEntry(now, "operator", "admit", member.name,
                                       StrCat("{\"fingerprint\":\"", FingerprintOf(member),
                                              "\",\"roster\":", next.roster.version, "}")));
  }
  return next;
}

absl::StatusOr<std::optional<SignedRoster>> Revoke(const FederationRoot* root, Ledger& ledger,
                                                   const std::string& name, Time now) {
  const absl::Status revoked = ledger.RevokeMember(name, now);
  if (revoked.ok()) {
    RETURN_IF_ERROR(ledger.AddLogEntry(now, "operator", "revoke", name));
  }
  if (root == nullptr) {
    RETURN_IF_ERROR(revoked);
    return std::optional<SignedRoster>();
  }
  if (!revoked.ok() && !absl::IsNotFound(revoked)) return revoked;
  ASSIGN_OR_RETURN(Roster roster, NewestFor(*root, ledger));
  const RosterEntry* listed = roster.Find(name);
  if (listed == nullptr || listed->role == Role::kCoordinator) {
    RETURN_IF_ERROR(revoked);
    return std::optional<SignedRoster>();
  }
  ASSIGN_OR_RETURN(const std::vector<Member> known, ledger.Members());
  RemoveRevoked(roster, known);
  RemoveNamed(roster, name);
  ASSIGN_OR_RETURN(SignedRoster next, SignAndEnforce(*root, ledger, std::move(roster), now));
  return std::optional<SignedRoster>(std::move(next));
}

}  // namespace consilium::federation
