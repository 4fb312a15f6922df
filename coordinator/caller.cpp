#include "coordinator/caller.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/wire/refusal.h"

namespace consilium::coordinator {
namespace {

constexpr Duration kRemembered = std::chrono::milliseconds(250);
constexpr std::size_t kMostRemembered = 4096;

// kUnauthenticated without a client certificate.
absl::StatusOr<Digest> KeyOf(const grpc::ServerContextBase& context) {
  const auto authentication = context.auth_context();
  const auto shown = authentication ? authentication->FindPropertyValues("x509_pem_cert")
                                    : std::vector<grpc::string_ref>();
  if (shown.empty()) {
    return absl::UnauthenticatedError(
        "this call needs a member's certificate; enrol first, with a token");
  }
  return crypto::KeyFingerprint({shown.front().data(), shown.front().size()});
}

absl::Status Waits(const Member& member) {
  return wire::Because(absl::UnavailableError(StrCat(
                           "the ", Name(member.role), " \"", member.name,
                           "\" waits to be admitted: read the fingerprint ",
                           identity::ReadableFingerprint(member.name, member.role,
                                                         member.signing_key, member.tls_key),
                           " to the federation's operator, who runs `consilium federation admit ",
                           member.name, "`")),
                       wire::Refusal::kWaitsToBeAdmitted);
}

}  // namespace

CallerTable::Known CallerTable::Ask(const Digest& tls_key) {
  Known known;
  absl::StatusOr<Member> held =
      ledger_.With([&](Ledger& ledger) { return ledger.MemberWithKey(tls_key); });
  if (!held.ok()) {
    const bool unknown = absl::IsNotFound(held.status());
    known.admission = unknown ? Admission::kUnknown : Admission::kUncertain;
    known.why = unknown
                    ? absl::PermissionDeniedError(
                          "no member of the federation holds this key: enrol with a token first")
                    : held.status();
    return known;
  }
  known.member = *std::move(held);
  if (known.member.revoked) {
    known.admission = Admission::kRevoked;
    known.why = absl::PermissionDeniedError(
        StrCat("the key of \"", known.member.name, "\" was revoked at ",
               ToRfc3339(*known.member.revoked), ": enrol again with a new token"));
    return known;
  }
  const auto roster = roster_.Get();
  if (!roster.ok()) {
    known.admission = Admission::kUncertain;
    known.why = WithContext(roster.status(), "the roster in force");
    return known;
  }
  const identity::RosterEntry* entry = (*roster)->roster.FindByTlsKey(tls_key);
  if (entry != nullptr && entry->name == known.member.name &&
      entry->signing_key == known.member.signing_key) {
    known.admission = Admission::kAdmitted;
    known.member.role = entry->role;
    known.member.weight_cap = entry->weight_cap;
  } else if (!known.member.admitted) {
    known.admission = Admission::kWaits;
    known.why = Waits(known.member);
  } else {
    known.admission = Admission::kNotListed;
    known.why = absl::PermissionDeniedError(
        StrCat("the roster in force, version ", (*roster)->roster.version, ", does not list \"",
               known.member.name, "\" with this key: ask the federation's operator"));
  }
  return known;
}

CallerTable::Known CallerTable::LookUp(const Digest& tls_key) {
  const Time now = clock_.Now();
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(tls_key);
    if (found != known_.end() && now - found->second.looked_up < kRemembered) {
      return found->second;
    }
  }
  Known known = Ask(tls_key);
  known.looked_up = now;
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMostRemembered) known_.clear();
  known_.insert_or_assign(tls_key, known);
  return known;
}

absl::StatusOr<Member> CallerTable::Identify(const grpc::ServerContextBase& context,
                                             const std::set<Role>& roles) {
  ASSIGN_OR_RETURN(const Digest key, KeyOf(context));
  Known known = LookUp(key);
  if (known.admission != Admission::kAdmitted) return known.why;
  if (!roles.contains(known.member.role)) {
    return absl::PermissionDeniedError(StrCat("\"", known.member.name, "\" is a ",
                                              Name(known.member.role), ", which may not do this"));
  }
  return std::move(known.member);
}

absl::StatusOr<Member> CallerTable::Identify(const grpc::ServerContextBase& context, Role role) {
  return Identify(context, std::set<Role>{role});
}

absl::Status CallerTable::StillMember(const Member& member) {
  const Known known = LookUp(member.tls_key);
  if (known.admission != Admission::kAdmitted) return known.why;
  if (known.member.role == member.role) return absl::OkStatus();
  return absl::PermissionDeniedError(
      StrCat("\"", member.name, "\" is a ", Name(known.member.role), " now: connect again"));
}

absl::StatusOr<Member> CallerTable::IdentifyEnrolled(const grpc::ServerContextBase& context) {
  ASSIGN_OR_RETURN(const Digest key, KeyOf(context));
  Known known = LookUp(key);
  const bool enrolled =
      known.admission == Admission::kAdmitted || known.admission == Admission::kWaits;
  if (!enrolled) return known.why;
  return std::move(known.member);
}

CallerTable::Standing CallerTable::StandingOf(const grpc::ServerContextBase& context) {
  const absl::StatusOr<Digest> key = KeyOf(context);
  if (!key.ok()) return {"", "no certificate"};
  const Known known = LookUp(*key);
  switch (known.admission) {
    case Admission::kAdmitted:
      return {known.member.name, "member"};
    case Admission::kWaits:
      return {known.member.name, "waiting to be admitted"};
    case Admission::kRevoked:
    case Admission::kNotListed:
      return {known.member.name, "revoked"};
    case Admission::kUnknown:
    case Admission::kUncertain:
      break;
  }
  return {known.member.name, "unknown"};
}

}  // namespace consilium::coordinator
