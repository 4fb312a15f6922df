// Members, invitations, the life of certificates and the roster.

#include "coordinator/ledger.h"
#include "coordinator/ledger_tables.h"

namespace consilium::coordinator {
namespace {

constexpr char kMemberColumns[] = "name, role, tls_key, signing_key, enrolled, admitted, revoked";

absl::StatusOr<Member> MemberAt(const storage::Statement& row) {
  Member member;
  member.name = row.Text(0);
  member.role = static_cast<Role>(row.Int(1));
  ASSIGN_OR_RETURN(member.tls_key, DigestAt(row, 2));
  ASSIGN_OR_RETURN(member.signing_key, ArrayAt<32>(row, 3));
  member.enrolled = FromMicros(row.Int(4));
  if (!row.IsNull(5)) member.admitted = FromMicros(row.Int(5));
  if (!row.IsNull(6)) member.revoked = FromMicros(row.Int(6));
  return member;
}

}  // namespace

absl::Status Ledger::AddInvitation(const Invitation& invitation, Time now) {
  return impl_->db.Execute(
      "INSERT INTO invitations (token_hash, name, role, made, expires) VALUES (?, ?, ?, ?, ?)",
      invitation.token_hash.Hex(), invitation.name, invitation.role, ToMicros(now),
      ToMicros(invitation.expires));
}

absl::StatusOr<Invitation> Ledger::TakeInvitation(const Digest& token_hash, Time now) {
  Invitation taken;
  taken.token_hash = token_hash;
  RETURN_IF_ERROR(impl_->db.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(auto row,
                     impl_->db.Prepare("SELECT name, role, expires, used FROM invitations "
                                       "WHERE token_hash = ?"));
    row.Bind(token_hash.Hex());
    ASSIGN_OR_RETURN(const bool found, row.Step());
    const std::string_view next = ": ask the federation's operator for a new one";
    if (!found) return absl::PermissionDeniedError(StrCat("the token is not known", next));
    taken.name = row.Text(0);
    taken.role = static_cast<Role>(row.Int(1));
    taken.expires = FromMicros(row.Int(2));
    if (!row.IsNull(3))
      return absl::PermissionDeniedError(StrCat("the token was used before", next));
    if (now >= taken.expires) {
      return absl::PermissionDeniedError(
          StrCat("the token expired at ", ToRfc3339(taken.expires), next));
    }
    return impl_->db.Execute("UPDATE invitations SET used = ? WHERE token_hash = ?", ToMicros(now),
                             token_hash.Hex());
  }));
  return taken;
}

absl::Status Ledger::AddMember(const Member& member) {
  return impl_->db.Transact([&]() -> absl::Status {
    ASSIGN_OR_RETURN(auto row, impl_->db.Prepare("SELECT role FROM members WHERE name = ?"));
    row.Bind(member.name);
    ASSIGN_OR_RETURN(const bool known, row.Step());
    if (known && static_cast<Role>(row.Int(0)) != member.role) {
      return absl::FailedPreconditionError(StrCat("the name \"", member.name, "\" belongs to a ",
                                                  Name(static_cast<Role>(row.Int(0))),
                                                  ": choose another"));
    }
    RETURN_IF_ERROR(
        impl_->db.Execute("UPDATE members SET revoked = ? WHERE name = ? AND revoked IS NULL",
                          ToMicros(member.enrolled), member.name));
    return impl_->db.Execute(
        "INSERT INTO members (tls_key, name, role, signing_key, enrolled) VALUES (?, ?, ?, ?, ?)",
        member.tls_key.Hex(), member.name, member.role, ToHex(member.signing_key),
        ToMicros(member.enrolled));
  });
}

absl::StatusOr<Member> Ledger::FindMember(const Digest& tls_key) {
  ASSIGN_OR_RETURN(auto row, impl_->db.Prepare(StrCat("SELECT ", kMemberColumns,
                                                      " FROM members WHERE tls_key = ?")));
  row.Bind(tls_key.Hex());
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) {
    return absl::PermissionDeniedError(
        "no member of the federation holds this key: enrol with a token first");
  }
  ASSIGN_OR_RETURN(Member member, MemberAt(row));
  if (member.revoked) {
    return absl::PermissionDeniedError(StrCat("the key of \"", member.name, "\" was revoked at ",
                                              ToRfc3339(*member.revoked),
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

}  // namespace consilium::coordinator
