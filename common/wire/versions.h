#pragma once

// Every call says which release speaks, as metadata of the call and of its answer:
//
//   consilium-protocol   a decimal number
//   consilium-version    "0.3.0"
//
// A side that hears another protocol version than its own ends the call with kFailedPrecondition
// (Refusal::kOtherVersion) and words that name both versions and the side to upgrade. Included only
// by the files that hold a gRPC channel or service.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/version.h"

namespace grpc {
class AuthMetadataProcessor;
class ClientContext;
namespace experimental {
class ClientInterceptorFactoryInterface;
class ServerInterceptorFactoryInterface;
}  // namespace experimental
}  // namespace grpc

namespace consilium::wire {

struct ProgramVersion {
  std::string program = kVersion;
  int protocol = kProtocolVersion;  // 0: not said, which releases before 0.3.0 did not
};

// OK when both speak the same protocol. `them`, `us`: as the message names the two sides.
absl::Status CheckVersions(const ProgramVersion& theirs, std::string_view them,
                           const ProgramVersion& ours, std::string_view us);

// For a client's channel: says `ours` with every call, and checks what the server answers. A server
// that refuses a call before it looked at versions keeps its own words.
using ClientInterceptors =
    std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;
ClientInterceptors ClientVersions(const ProgramVersion& ours);
// The same without the check, for one call on a channel that was opened otherwise.
void SayVersion(const ProgramVersion& ours, grpc::ClientContext& context);

// For the server: refuses calls of other versions before a handler sees them...
std::shared_ptr<grpc::AuthMetadataProcessor> ServerVersionCheck(const ProgramVersion& ours);
// ...and says `ours` with every answer.
using ServerInterceptors =
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>;
ServerInterceptors ServerVersions(const ProgramVersion& ours);

}  // namespace consilium::wire
