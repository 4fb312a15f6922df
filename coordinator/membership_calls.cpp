#include "coordinator/membership_calls.h"

#include <grpcpp/server_context.h>

#include <algorithm>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"

namespace consilium::coordinator {
namespace {

template <std::size_t N>
absl::Status Take(const std::string& bytes, std::string_view field,
                  std::array<std::uint8_t, N>& out) {
  if (bytes.size() != N) {
    return absl::InvalidArgumentError(
        StrCat("the field ", field, " has ", bytes.size(), " bytes, not ", N));
  }
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return absl::OkStatus();
}

class MembershipCalls final : public v1::MembershipService::Service {
 public:
  explicit MembershipCalls(const MembershipDesk& desk) : desk_(desk) {}

  grpc::Status Enrol(grpc::ServerContext*, const v1::EnrolRequest* request,
                     v1::EnrolReply* reply) override {
    const absl::Status status = TryEnrol(*request, *reply);
    if (!status.ok()) {
      Log(LogLevel::kWarning, "enrolment_refused", {{"why", std::string(status.message())}});
    }
    return wire::ToGrpc(status);
  }

  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request,
                     v1::RenewReply* reply) override {
    return wire::ToGrpc(TryRenew(*context, *request, *reply));
  }

  grpc::Status Ping(grpc::ServerContext* context, const v1::PingRequest*,
                    v1::PingReply* reply) override {
    reply->set_time_us(desk_.clock.Now().time_since_epoch().count());
    reply->set_program_version(desk_.version.program);
    reply->set_protocol_version(desk_.version.protocol);
    if (const auto roster = desk_.roster.Get(); roster.ok()) {
      reply->set_federation((*roster)->roster.federation);
      reply->set_roster_version((*roster)->roster.version);
    }
    const CallerTable::Standing standing = desk_.callers.StandingOf(*context);
    reply->set_caller(standing.name);
    reply->set_standing(std::string(standing.standing));
    return grpc::Status::OK;
  }

  grpc::Status FetchRoster(grpc::ServerContext* context, const v1::FetchRosterRequest*,
                           v1::FetchRosterReply* reply) override {
    return wire::ToGrpc(TryFetchRoster(*context, *reply));
  }

 private:
  absl::Status TryEnrol(const v1::EnrolRequest& request, v1::EnrolReply& reply) {
    RETURN_IF_ERROR(wire::CheckVersions({"", request.protocol_version()}, "your program",
                                        desk_.version, "the coordinator"));
    EnrolmentRequest enrolling{.token = request.token(),
                               .role = request.role(),
                               .request_pem = request.certificate_request_pem()};
    RETURN_IF_ERROR(Take(request.signing_key(), "signing_key", enrolling.signing_key));
    RETURN_IF_ERROR(Take(request.signing_proof(), "signing_proof", enrolling.signing_proof));
    // Before the token is spent: the answer needs it.
    ASSIGN_OR_RETURN(const auto roster, desk_.roster.Get());
    ASSIGN_OR_RETURN(Enrolment enrolment,
                     desk_.authority.Enrol(desk_.ledger, enrolling, desk_.clock.Now()));
    Log(LogLevel::kInfo, "enrolled",
        {{"name", enrolment.member.name}, {"role", std::string(Name(enrolment.member.role))}});
    reply.set_certificate_pem(std::move(enrolment.certificate_pem));
    reply.set_name(enrolment.member.name);
    reply.set_role(std::string(Name(enrolment.member.role)));
    reply.set_federation(roster->roster.federation);
    reply.set_roster(roster->file);
    return absl::OkStatus();
  }

  absl::Status TryRenew(const grpc::ServerContext& context, const v1::RenewRequest& request,
                        v1::RenewReply& reply) {
    ASSIGN_OR_RETURN(const Member member, desk_.callers.IdentifyEnrolled(context));
    ASSIGN_OR_RETURN(std::string certificate,
                     desk_.authority.Renew(desk_.ledger, member, request.certificate_request_pem(),
                                           desk_.clock.Now()));
    Log(LogLevel::kInfo, "renewed", {{"name", member.name}});
    reply.set_certificate_pem(std::move(certificate));
    return absl::OkStatus();
  }

  absl::Status TryFetchRoster(const grpc::ServerContext& context, v1::FetchRosterReply& reply) {
    RETURN_IF_ERROR(desk_.callers.IdentifyEnrolled(context).status());
    ASSIGN_OR_RETURN(const auto roster, desk_.roster.Get());
    reply.set_roster(roster->file);
    return absl::OkStatus();
  }

  const MembershipDesk desk_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMembershipService(const MembershipDesk& desk) {
  return std::make_unique<MembershipCalls>(desk);
}

}  // namespace consilium::coordinator
