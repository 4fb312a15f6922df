#pragma once

// The calls of the coordinator's gRPC service, by who makes them. Long calls (attend, upload,
// download) hold no thread while they wait: gRPC tells them what came, and their work is done by
// the service's few workers.

#include <memory>
#include <set>

#include "coordinator/caller.h"
#include "coordinator/recent_pieces.h"
#include "coordinator/service.h"
#include "coordinator/service_limits.h"
#include "coordinator/service_workers.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
class Service;
template <class Response>
class ServerWriteReactor;
}  // namespace grpc

namespace consilium::coordinator {

// What the calls work with; all outlive them.
struct ServiceDesk {
  const Service::Parts& parts;
  CallerTable& callers;
  RecentPieces& pieces;
  ServiceWorkers& workers;
  OpenCalls& calls;
};

// Of a long stream, whether its caller is still a member is looked up again after so many chunks of
// 256 KiB.
inline constexpr int kChunksBetweenChecks = 16;

// Implement v1::SiteService and v1::ResearchService.
std::unique_ptr<grpc::Service> MakeSiteService(const ServiceDesk& desk);
std::unique_ptr<grpc::Service> MakeResearchService(const ServiceDesk& desk);

// Sends a model from an offset on to a caller in one of the roles, with messages that protobuf need
// not copy (wire/raw_chunk.h). `request`: a v1::DownloadRequest as it came.
grpc::ServerWriteReactor<grpc::ByteBuffer>* SendModel(const ServiceDesk& desk,
                                                      grpc::CallbackServerContext& context,
                                                      const std::set<Role>& roles,
                                                      const grpc::ByteBuffer& request);

}  // namespace consilium::coordinator
