#include "coordinator/federation/commands.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "coordinator/authority.h"

namespace consilium::federation {
namespace {

using crypto::PassphraseFor;
using identity::Role;
using identity::RosterEntry;
using nlohmann::json;

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// To standard error, where it is no part of an answer that a script reads.
void Say(const std::string& text) { std::fputs(text.c_str(), stderr); }

void Print(const CommandOptions& options, const json& answer, const std::string& text) {
  Print(options.json ? answer.dump() + "\n" : text);
}

// Tells a person which of two passphrases is asked for.
void Announce(const std::string& keys) {
  if (isatty(STDIN_FILENO) == 1) Say(StrCat(keys, ":\n"));
}

absl::StatusOr<crypto::Passphrase> NewPassphrase(const crypto::PassphraseOptions& options,
                                                 const std::string& keys) {
  Announce(keys);
  auto passphrase = crypto::FindPassphrase(options, PassphraseFor::kNewKeys);
  if (!passphrase.ok()) return WithContext(passphrase.status(), keys);
  return passphrase;
}

absl::StatusOr<FederationRoot> OpenRoot(const CommandOptions& options) {
  Announce("the federation's root key");
  auto root = FederationRoot::Open(options.root, options.root_passphrase);
  if (!root.ok()) return WithContext(root.status(), "the federation's root key");
  return root;
}

std::string CapText(double weight_cap) {
  return weight_cap > 0 ? StrCat(weight_cap) : std::string("-");
}

// Yes, or the refusal.
absl::Status Ask(const Member& member) {
  Say(StrCat("the ", identity::Name(member.role), " \"", member.name, "\", enrolled ",
             ToRfc3339(member.enrolled), ",\nshows the fingerprint  ", FingerprintOf(member),
             "\nDid its operator read you the same? Admit it? [y/N] "));
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return absl::OkStatus();
  return absl::PermissionDeniedError(StrCat("\"", member.name, "\" was not admitted; nobody was"));
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) StrAppend(&text, text.empty() ? "" : ", ", name);
  return text;
}

}  // namespace

absl::Status InitCommand(const CommandOptions& options, const std::string& name,
                         const std::vector<std::string>& hosts, double certificate_days) {
  ASSIGN_OR_RETURN(const auto for_root,
                   NewPassphrase(options.root_passphrase, "the federation's root key"));
  ASSIGN_OR_RETURN(const auto for_coordinator,
                   NewPassphrase(options.passphrase, "the coordinator's keys"));
  const Founding founding{name, hosts, options.root, options.state,
                          FromSeconds(certificate_days * 24 * 3600)};
  ASSIGN_OR_RETURN(const Founded founded,
                   Found(founding, for_root, for_coordinator, SystemClock().Now()));
  ASSIGN_OR_RETURN(const auto authority, coordinator::LoadPublicAuthority(options.state));
  const RosterEntry& coordinator = *founded.roster.roster.Coordinator();
  Print(options,
        {{"federation", name},
         {"address", founded.address},
         {"root_key", ToHex(authority.root)},
         {"authority", authority.fingerprint.Hex()},
         {"signing_key", ToHex(coordinator.signing_key)},
         {"roster_version", founded.roster.roster.version}},
        StrCat("federation   ", name, "\naddress      ", founded.address, "\nroot key     ",
               ToHex(authority.root), "  (Ed25519; every token carries it)\nauthority    ",
               authority.fingerprint.Hex(), "  (SHA-256; every token carries it)\nsigning key  ",
               ToHex(coordinator.signing_key),
               "  (Ed25519; signs model records)\nroster       version 1: the coordinator\nnext    "
               "     consilium-coordinator serve, and consilium federation invite NAME for each "
               "member;\n             then put the root's folder on a medium in a safe, and a copy "
               "of it in another\n"));
  return absl::OkStatus();
}

absl::Status InviteCommand(const CommandOptions& options, const std::string& name, Role role,
                           double valid_hours, double weight_cap) {
  ASSIGN_OR_RETURN(const auto authority, coordinator::LoadPublicAuthority(options.state));
  ASSIGN_OR_RETURN(Ledger opened, OpenLedger(options.state));
  coordinator::SharedLedger ledger(std::move(opened));
  SystemRandom random;
  const Time now = SystemClock().Now();
  const coordinator::Invitation invitation{.name = name,
                                           .role = role,
                                           .expires = now + FromSeconds(valid_hours * 3600),
                                           .weight_cap = weight_cap};
  ASSIGN_OR_RETURN(const std::string token,
                   coordinator::Invite(ledger, authority, invitation, now, random));
  const std::string expires = ToRfc3339(invitation.expires);
  Print(options,
        {{"name", name}, {"role", identity::Name(role)}, {"token", token}, {"expires", expires}},
        StrCat(token, "\n"));
  if (!options.json) {
    Say(StrCat(
        "for the ", identity::Name(role), " \"", name, "\", once, until ", expires,
        "; it is not shown again. There: ", role == Role::kSite ? "consilium-site" : "consilium",
        " enrol TOKEN", role == Role::kAuditor ? " --role auditor\n" : "\n"));
  }
  return absl::OkStatus();
}

absl::Status PendingCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(Ledger ledger, OpenLedger(options.state));
  ASSIGN_OR_RETURN(const std::vector<Member> waiting, Waiting(ledger));
  json list = json::array();
  TextTable table({"name", "role", "enrolled", "fingerprint", "weight cap"});
  for (const Member& member : waiting) {
    const std::string role(identity::Name(member.role));
    table.AddRow({member.name, role, ToRfc3339(member.enrolled), FingerprintOf(member),
                  CapText(member.weight_cap)});
    list.push_back({{"name", member.name},
                    {"role", role},
                    {"enrolled", ToRfc3339(member.enrolled)},
                    {"fingerprint", FingerprintOf(member)},
                    {"weight_cap", member.weight_cap}});
  }
  Print(options, list, waiting.empty() ? "nobody waits to be admitted\n" : table.ToString());
  return absl::OkStatus();
}

absl::Status AdmitCommand(const CommandOptions& options, const std::vector<std::string>& names,
                          const std::vector<std::string>& fingerprints) {
  if (!fingerprints.empty() && fingerprints.size() != names.size()) {
    return absl::InvalidArgumentError(
        StrCat("give --fingerprint once for each name, in their "
               "order: ",
               names.size(), " names, ", fingerprints.size(), " fingerprints"));
  }
  ASSIGN_OR_RETURN(Ledger ledger, OpenLedger(options.state));
  std::vector<Member> members;
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSIGN_OR_RETURN(Member member, WaitingMember(ledger, names[i]));
    RETURN_IF_ERROR(fingerprints.empty() ? Ask(member) : CheckFingerprint(member, fingerprints[i]));
    members.push_back(std::move(member));
  }
  ASSIGN_OR_RETURN(const FederationRoot root, OpenRoot(options));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(options.root));
  ASSIGN_OR_RETURN(const auto roster, Admit(root, ledger, members, SystemClock().Now()));
  Print(options,
        {{"admitted", names},
         {"roster_version", roster.roster.version},
         {"roster", roster.hash.Hex()}},
        StrCat("admitted ", Joined(names), "; roster version ", roster.roster.version, " (",
               roster.hash.Short(), ") is in force, with ", roster.roster.members.size(),
               " members\n"));
  return absl::OkStatus();
}

absl::Status RevokeCommand(const CommandOptions& options, const std::string& name) {
  ASSIGN_OR_RETURN(Ledger ledger, OpenLedger(options.state));
  // Shut out first; the root's passphrase may take a while to type.
  const Time now = SystemClock().Now();
  const auto revoked = Revoke(nullptr, ledger, name, now);
  if (!revoked.ok() && (options.root.empty() || !absl::IsNotFound(revoked.status()))) {
    return revoked.status();
  }
  std::optional<identity::SignedRoster> roster;
  if (!options.root.empty()) {
    ASSIGN_OR_RETURN(const FederationRoot root, OpenRoot(options));
    ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(options.root));
    auto signed_off = Revoke(&root, ledger, name, now);
    // A member that was waiting is on no roster.
    if (!signed_off.ok() && !(revoked.ok() && absl::IsNotFound(signed_off.status()))) {
      return signed_off.status();
    }
    if (signed_off.ok()) roster = *std::move(signed_off);
  }
  bool listed = false;
  if (const auto file = ledger.RosterFile(); !roster && file.ok()) {
    ASSIGN_OR_RETURN(const auto authority, coordinator::LoadPublicAuthority(options.state));
    ASSIGN_OR_RETURN(const auto held, identity::VerifyRoster(authority.root, *file));
    listed = held.roster.Find(name) != nullptr;
  }
  const std::string more =
      roster   ? StrCat("; roster version ", roster->roster.version, " is without it")
      : listed ? StrCat(
                     "; the signed roster still lists it: to take it off, run `consilium "
                     "federation revoke ",
                     name, " --root ROOT`")
               : std::string();
  Print(options,
        {{"revoked", name},
         {"roster_version", roster ? json(roster->roster.version) : json(nullptr)},
         {"still_listed", listed}},
        StrCat("\"", name, "\" is revoked; a running coordinator refuses it within a second", more,
               "\n"));
  return absl::OkStatus();
}

absl::Status RosterCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(const auto authority, coordinator::LoadPublicAuthority(options.state));
  ASSIGN_OR_RETURN(Ledger ledger, OpenLedger(options.state));
  ASSIGN_OR_RETURN(const std::string file, ledger.RosterFile());
  ASSIGN_OR_RETURN(const auto roster, identity::VerifyRoster(authority.root, file));
  json members = json::array();
  TextTable table({"name", "role", "fingerprint", "weight cap", "standing"});
  for (const RosterEntry& entry : roster.roster.members) {
    const auto held = ledger.MemberWithKey(entry.tls_key);
    if (!held.ok() && !absl::IsNotFound(held.status())) return held.status();
    const bool own = entry.role == Role::kCoordinator;
    const std::string standing = own                         ? "this coordinator"
                                 : !held.ok()                ? "not enrolled here"
                                 : held->revoked.has_value() ? "revoked"
                                                             : "member";
    const std::string role(identity::Name(entry.role));
    const std::string fingerprint =
        identity::ReadableFingerprint(entry.name, entry.role, entry.signing_key, entry.tls_key);
    table.AddRow({entry.name, role, fingerprint, CapText(entry.weight_cap), standing});
    members.push_back({{"name", entry.name},
                       {"role", role},
                       {"fingerprint", fingerprint},
                       {"weight_cap", entry.weight_cap},
                       {"standing", standing}});
  }
  Print(options,
        {{"federation", roster.roster.federation},
         {"version", roster.roster.version},
         {"issued", ToRfc3339(roster.roster.issued)},
         {"roster", roster.hash.Hex()},
         {"members", members}},
        StrCat("roster version ", roster.roster.version, " of ", roster.roster.federation,
               ", signed ", ToRfc3339(roster.roster.issued), ", SHA-256 ", roster.hash.Hex(),
               "\n\n", table.ToString()));
  return absl::OkStatus();
}

}  // namespace consilium::federation
