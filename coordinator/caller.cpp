#include "coordinator/caller.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include "common/base/status.h"
#include "common/crypto/certificates.h"

namespace consilium::coordinator {
namespace {

// A revocation is in force after this at the latest.
constexpr Duration kRemembered = std::chrono::milliseconds(250);
constexpr std::size_t kMostRemembered = 4096;

}  // namespace

absl::StatusOr<Member> CallerTable::LookUp(const Digest& certificate) {
  const Time now = clock_.Now();
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(certificate);
    if (found != known_.end() && now - found->second.looked_up < kRemembered) {
      return found->second.member;
    }
  }
  absl::StatusOr<Member> member =
      ledger_.With([&](Ledger& ledger) { return ledger.FindMember(certificate); });
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMostRemembered) known_.clear();
  known_.insert_or_assign(certificate, Known{now, member});
  return member;
}

absl::StatusOr<Member> CallerTable::Identify(const grpc::ServerContextBase& context,
                                             const std::set<Role>& roles) {
  const std::vector<grpc::string_ref> shown =
      context.auth_context()->FindPropertyValues("x509_pem_cert");
  if (shown.empty()) {
    return absl::UnauthenticatedError(
        "this call needs a client certificate; enrol first with a token from the coordinator");
  }
  ASSIGN_OR_RETURN(const Digest certificate,
                   crypto::CertificateFingerprint({shown.front().data(), shown.front().size()}));
  ASSIGN_OR_RETURN(Member member, LookUp(certificate));
  if (!roles.contains(member.role)) {
    return absl::PermissionDeniedError(
        StrCat("\"", member.name, "\" is a ", Name(member.role), ", which may not do this"));
  }
  return member;
}

absl::StatusOr<Member> CallerTable::Identify(const grpc::ServerContextBase& context, Role role) {
  return Identify(context, std::set<Role>{role});
}

absl::Status CallerTable::StillMember(const Member& member) {
  return LookUp(member.certificate).status();
}

}  // namespace consilium::coordinator
