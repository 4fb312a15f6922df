// Invitations, members, the life of certificates, and the roster.

#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

constexpr char kMemberColumns[] =
    "name, role, tls_key, signing_key, enrolled, admitted, revoked, weight_cap";
constexpr std::string_view kAskForAnother = ": ask the federation's operator for a new one";

absl::StatusOr<Member> MemberAt(const storage::Statement& row) {
  Member member;
  member.name = row.Text(0);
  member.role = static_cast<Role>(row.Int(1));
  ASSIGN_OR_RETURN(member.tls_key, DigestAt(row, 2));
  ASSIGN_OR_RETURN(member.signing_key, ArrayAt<32>(row, 3));
  member.enrolled = FromMicros(row.Int(4));
  if (!row.IsNull(5)) member.admitted = FromMicros(row.Int(5));
  if (!row.IsNull(6)) member.revoked = FromMicros(row.Int(6));
  member.weight_cap = row.Real(7);
  return member;
}

bool Lists(const identity::Roster& roster, const Member& member) {
  const identity::RosterEntry* entry = roster.FindByTlsKey(member.tls_key);
  return entry != nullptr && entry->name == member.name && entry->role == member.role &&
         entry->signing_key == member.signing_key;
}

// No key of the new member was anybody's, and its name is of its role.
absl::Status CheckNewcomer(storage::Database& db, const Member& member) {
  ASSIGN_OR_RETURN(auto row, db.Prepare("SELECT name, role, tls_key, signing_key FROM members "
                                        "WHERE name = ?1 OR tls_key = ?2 OR signing_key = ?3"));
  row.Bind(member.name, member.tls_key.Hex(), ToHex(member.signing_key));
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return absl::OkStatus();
    if (row.Text(2) == member.tls_key.Hex() || row.Text(3) == ToHex(member.signing_key)) {
      return absl::AlreadyExistsError(
          "one of these keys was enrolled before: a member makes new keys to enrol again");
    }
    const Role held = static_cast<Role>(row.Int(1));
    if (row.Text(0) == member.name && held != member.role) {
      return absl::FailedPreconditionError(
          StrCat("the name \"", member.name, "\" belongs to a ", Name(held), ": choose another"));
    }
  }
}

// Inside a transaction.
absl::Status InsertMember(storage::Database& db, const Member& member) {
  RETURN_IF_ERROR(CheckNewcomer(db, member));
  RETURN_IF_ERROR(db.Execute("UPDATE members SET revoked = ? WHERE name = ? AND revoked IS NULL",
                             ToMicros(member.enrolled), member.name));
  return db.Execute(
      "INSERT INTO members (tls_key, name, role, signing_key, enrolled, weight_cap) "
      "VALUES (?, ?, ?, ?, ?, ?)",
      member.tls_key.Hex(), member.name, member.role, ToHex(member.signing_key),
      ToMicros(member.enrolled), member.weight_cap);
}

absl::StatusOr<Invitation> OpenInvitation(storage::Database& db, const Digest& token_hash,
                                          Time now) {
  ASSIGN_OR_RETURN(auto row, db.Prepare("SELECT name, role, expires, used, weight_cap "
                                        "FROM invitations WHERE token_hash = ?"));
  row.Bind(token_hash.Hex());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::PermissionDeniedError(StrCat("the token is not known", kAskForAnother));
  const Invitation invitation{token_hash, row.Text(0), static_cast<Role>(row.Int(1)),
                              FromMicros(row.Int(2)), row.Real(4)};
  if (!row.IsNull(3)) {
    return absl::PermissionDeniedError(StrCat("the token was used before", kAskForAnother));
  }
  if (now >= invitation.expires) {
    return absl::PermissionDeniedError(
        StrCat("the token expired at ", ToRfc3339(invitation.expires), kAskForAnother));
  }
  return invitation;
}

// Inside a transaction.
absl::StatusOr<Invitation> Spend(storage::Database& db, const Digest& token_hash, Time now) {
  ASSIGN_OR_RETURN(const Invitation invitation, OpenInvitation(db, token_hash, now));
  RETURN_IF_ERROR(db.Execute("UPDATE invitations SET used = ? WHERE token_hash = ?", ToMicros(now),
                             token_hash.Hex()));
  return invitation;
}

}  // namespace

// ---- invitations and members

absl::Status Ledger::AddInvitation(const Invitation& invitation, Time now) {
  return impl_->db.Execute(
      "INSERT INTO invitations (token_hash, name, role, made, expires, weight_cap) "
      "VALUES (?, ?, ?, ?, ?, ?)",
      invitation.token_hash.Hex(), invitation.name, invitation.role, ToMicros(now),
      ToMicros(invitation.expires), invitation.weight_cap);
}

absl::StatusOr<Invitation> Ledger::FindInvitation(const Digest& token_hash, Time now) {
  return OpenInvitation(impl_->db, token_hash, now);
}

absl::StatusOr<Invitation> Ledger::TakeInvitation(const Digest& token_hash, Time now) {
  Invitation taken;
  RETURN_IF_ERROR(impl_->db.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(taken, Spend(impl_->db, token_hash, now));
    return absl::OkStatus();
  }));
  return taken;
}

absl::Status Ledger::AddMember(const Member& member) {
  return impl_->db.Transact([&] { return InsertMember(impl_->db, member); });
}

absl::Status Ledger::Enrol(const Digest& token_hash, const Member& member, Time now) {
  return impl_->db.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Invitation invitation, Spend(impl_->db, token_hash, now));
    if (invitation.name != member.name || invitation.role != member.role) {
      return absl::InvalidArgumentError(StrCat("the token is for the ", Name(invitation.role),
                                               " \"", invitation.name, "\", not for the ",
                                               Name(member.role), " \"", member.name, "\""));
    }
    RETURN_IF_ERROR(InsertMember(impl_->db, member));
    return impl_->AppendLog(now, member.name, "enrol", member.name,
                            StrCat("{\"role\":\"", Name(member.role), "\",\"tls_key\":\"",
                                   member.tls_key.Hex(), "\"}"));
  });
}

absl::StatusOr<Member> Ledger::MemberWithKey(const Digest& tls_key) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kMemberColumns,
                                                      " FROM members WHERE tls_key = ?")));
  row.Bind(tls_key.Hex());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("nobody ever held this key");
  return MemberAt(row);
}

absl::StatusOr<Member> Ledger::FindMember(const Digest& tls_key) {
  absl::StatusOr<Member> member = MemberWithKey(tls_key);
  if (absl::IsNotFound(member.status())) {
    return absl::PermissionDeniedError(
        "no member of the federation holds this key: enrol with a token first");
  }
  if (member.ok() && member->revoked) {
    return absl::PermissionDeniedError(StrCat("the key of \"", member->name, "\" was revoked at ",
                                              ToRfc3339(*member->revoked),
                                              ": enrol again with a new token"));
  }
  return member;
}

absl::Status Ledger::RevokeMember(std::string_view name, Time now) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("UPDATE members SET revoked = ? WHERE name = ? AND "
                                               "revoked IS NULL RETURNING name"));
  row.Bind(ToMicros(now), name);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError(StrCat("no active member has the name \"", name, "\""));
  return row.Run();
}

absl::StatusOr<std::vector<Member>> Ledger::Members() {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kMemberColumns,
                                                      " FROM members ORDER BY name, enrolled")));
  std::vector<Member> members;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return members;
    ASSIGN_OR_RETURN(Member member, MemberAt(row));
    members.push_back(std::move(member));
  }
}

// ---- certificates

absl::Status Ledger::SetCertificateLife(Duration life) {
  if (life < std::chrono::seconds(1)) {
    return absl::InvalidArgumentError("a certificate lives for at least a second");
  }
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("UPDATE federation SET certificate_life = ? RETURNING name"));
  row.Bind(life.count());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("this ledger has no federation yet: create one first");
  return row.Run();
}

absl::StatusOr<Duration> Ledger::CertificateLife() {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT certificate_life FROM federation"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("this ledger has no federation yet: create one first");
  return Duration(row.Int(0));
}

// ---- the roster

absl::Status Ledger::SetRoster(const identity::SignedRoster& roster, Time now) {
  ASSIGN_OR_RETURN(const std::string federation, FederationName());
  if (roster.roster.federation != federation) {
    return absl::FailedPreconditionError(StrCat("the roster is of the federation \"",
                                                roster.roster.federation, "\", this ledger of \"",
                                                federation, "\""));
  }
  ASSIGN_OR_RETURN(const std::vector<Member> members, Members());
  return impl_->db.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::uint64_t held, RosterVersion());
    if (roster.roster.version <= held) {
      return absl::FailedPreconditionError(
          StrCat("roster version ", held, " is in force, and version ", roster.roster.version,
                 " is not newer: versions only go up"));
    }
    RETURN_IF_ERROR(
        impl_->db.Execute("INSERT INTO rosters (version, hash, file, accepted) VALUES (?, ?, ?, ?)",
                          roster.roster.version, roster.hash.Hex(), roster.file, ToMicros(now)));
    for (const Member& member : members) {
      const bool listed = Lists(roster.roster, member);
      if (member.revoked || listed == member.admitted.has_value()) continue;
      RETURN_IF_ERROR(impl_->db.Execute(
          listed ? "UPDATE members SET admitted = ? WHERE tls_key = ? AND revoked IS NULL"
                 : "UPDATE members SET revoked = ? WHERE tls_key = ? AND revoked IS NULL",
          ToMicros(now), member.tls_key.Hex()));
    }
    return impl_->AppendLog(now, "operator", "roster", StrCat(roster.roster.version),
                            StrCat("{\"hash\":\"", roster.hash.Hex(), "\"}"));
  });
}

absl::StatusOr<std::string> Ledger::RosterFile() {
  ASSIGN_OR_RETURN(auto row,
                   impl_->db.Prepare("SELECT file FROM rosters ORDER BY version DESC LIMIT 1"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return absl::NotFoundError("this ledger has no roster yet");
  return row.Text(0);
}

absl::StatusOr<std::uint64_t> Ledger::RosterVersion() {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT max(version) FROM rosters"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  return !found || row.IsNull(0) ? 0 : static_cast<std::uint64_t>(row.Int(0));
}

}  // namespace consilium::coordinator
