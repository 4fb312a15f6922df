#pragma once

// protobuf <-> protocol.h. To* never fails; From* checks lengths, ranges and presence and returns
// kInvalidArgument naming the field. Included only by the files that hold a gRPC channel or
// service.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/wire/protocol.h"

namespace grpc {
class Status;
}

namespace consilium::v1 {
class FromSite;
class ToSite;
class UploadHeader;
class RunEvent;
}  // namespace consilium::v1

namespace consilium::wire {

void ToProto(const FromSite& message, v1::FromSite* proto);
absl::StatusOr<FromSite> FromProto(const v1::FromSite& proto);
void ToProto(const ToSite& message, v1::ToSite* proto);
absl::StatusOr<ToSite> FromProto(const v1::ToSite& proto);
void ToProto(const UploadHeader& header, v1::UploadHeader* proto);
absl::StatusOr<UploadHeader> FromProto(const v1::UploadHeader& proto);
void ToProto(const RunEvent& event, v1::RunEvent* proto);
absl::StatusOr<RunEvent> FromProto(const v1::RunEvent& proto);

// The 32 bytes of a model id.
std::string ToProtoBytes(const Digest& digest);
absl::StatusOr<Digest> DigestFromProto(const std::string& bytes, std::string_view field);

// Status codes are the same numbers on both sides; a refusal (refusal.h) goes along.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace consilium::wire
