#include "common/wire/versions.h"

#include <grpcpp/client_context.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <charconv>
#include <map>

#include "common/base/status.h"
#include "common/wire/convert.h"
#include "common/wire/refusal.h"

namespace consilium::wire {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

constexpr char kProtocol[] = "consilium-protocol";
constexpr char kProgram[] = "consilium-version";
constexpr std::size_t kLongestVersion = 40;  // that is shown to people

using Received = std::multimap<grpc::string_ref, grpc::string_ref>;

std::string_view ValueOf(const Received& metadata, const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

ProgramVersion VersionIn(const Received& metadata) {
  ProgramVersion version{std::string(ValueOf(metadata, kProgram).substr(0, kLongestVersion)), 0};
  const std::string_view number = ValueOf(metadata, kProtocol);
  std::from_chars(number.data(), number.data() + number.size(), version.protocol);
  return version;
}

// How a side is named: "your program (0.2.0)".
std::string Side(std::string_view who, const ProgramVersion& version) {
  return version.program.empty() ? std::string(who) : StrCat(who, " (", version.program, ")");
}

class ClientCheck final : public grpc::experimental::Interceptor {
 public:
  ClientCheck(const ProgramVersion& ours, grpc::ClientContext& context)
      : ours_(ours), context_(context) {}

  void Intercept(InterceptorBatchMethods* call) override {
    if (call->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      call->GetSendInitialMetadata()->emplace(kProtocol, StrCat(ours_.protocol));
      call->GetSendInitialMetadata()->emplace(kProgram, ours_.program);
    }
    if (call->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      if (const Received* metadata = call->GetRecvInitialMetadata()) theirs_ = VersionIn(*metadata);
      // A broken connection, or a refusal, brings none.
      if (theirs_.protocol != 0 && !Verdict().ok()) context_.TryCancel();
    }
    if (call->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      grpc::Status* status = call->GetRecvStatus();
      const bool cancelled = status->error_code() == grpc::StatusCode::CANCELLED;
      if (status->ok() || (cancelled && theirs_.protocol != 0)) {
        if (const absl::Status verdict = Verdict(); !verdict.ok()) *status = ToGrpc(verdict);
      }
    }
    call->Proceed();
  }

 private:
  absl::Status Verdict() const {
    return CheckVersions(theirs_, "the coordinator", ours_, "your program");
  }

  const ProgramVersion& ours_;
  grpc::ClientContext& context_;
  ProgramVersion theirs_{"", 0};
};

class ClientChecks final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientChecks(const ProgramVersion& ours) : ours_(ours) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* call) override {
    return new ClientCheck(ours_, *call->client_context());
  }

 private:
  const ProgramVersion ours_;
};

class ServerSays final : public grpc::experimental::Interceptor {
 public:
  explicit ServerSays(const ProgramVersion& ours) : ours_(ours) {}
  void Intercept(InterceptorBatchMethods* call) override {
    if (call->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      call->GetSendInitialMetadata()->emplace(kProtocol, StrCat(ours_.protocol));
      call->GetSendInitialMetadata()->emplace(kProgram, ours_.program);
    }
    call->Proceed();
  }

 private:
  const ProgramVersion& ours_;
};

class ServerSaysFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerSaysFactory(const ProgramVersion& ours) : ours_(ours) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new ServerSays(ours_);
  }

 private:
  const ProgramVersion ours_;
};

class VersionCheck final : public grpc::AuthMetadataProcessor {
 public:
  explicit VersionCheck(const ProgramVersion& ours) : ours_(ours) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*,
                       OutputMetadata*) override {
    return ToGrpc(CheckVersions(VersionIn(metadata), "your program", ours_, "the coordinator"));
  }

 private:
  const ProgramVersion ours_;
};

}  // namespace

absl::Status CheckVersions(const ProgramVersion& theirs, std::string_view them,
                           const ProgramVersion& ours, std::string_view us) {
  if (theirs.protocol == ours.protocol) return absl::OkStatus();
  const std::string speaks =
      theirs.protocol == 0
          ? StrCat(Side(them, theirs), " does not say which protocol version it speaks")
          : StrCat(Side(them, theirs), " speaks protocol version ", theirs.protocol);
  return Because(absl::FailedPreconditionError(StrCat(speaks, ", ", Side(us, ours), " version ",
                                                      ours.protocol, "; upgrade ",
                                                      theirs.protocol < ours.protocol ? them : us)),
                 Refusal::kOtherVersion);
}

ClientInterceptors ClientVersions(const ProgramVersion& ours) {
  ClientInterceptors interceptors;
  interceptors.push_back(std::make_unique<ClientChecks>(ours));
  return interceptors;
}

void SayVersion(const ProgramVersion& ours, grpc::ClientContext& context) {
  context.AddMetadata(kProtocol, StrCat(ours.protocol));
  context.AddMetadata(kProgram, ours.program);
}

std::shared_ptr<grpc::AuthMetadataProcessor> ServerVersionCheck(const ProgramVersion& ours) {
  return std::make_shared<VersionCheck>(ours);
}

ServerInterceptors ServerVersions(const ProgramVersion& ours) {
  ServerInterceptors interceptors;
  interceptors.push_back(std::make_unique<ServerSaysFactory>(ours));
  return interceptors;
}

}  // namespace consilium::wire
