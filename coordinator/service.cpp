#include "coordinator/service.h"

#include <grpc/grpc.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>

#include "absl/synchronization/mutex.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "coordinator/membership_calls.h"
#include "coordinator/server_tls.h"
#include "coordinator/service_calls.h"
#include "coordinator/service_listener.h"

namespace consilium::coordinator {
namespace {

constexpr int kLargestMessage = 1 << 20;
constexpr int kLargestHeaders = 16 << 10;
constexpr std::size_t kBufferBytes = 256u << 20;
constexpr int kWindowBytes = 512 << 10;
constexpr int kReadBytes = 256 << 10, kFirstReadBytes = 16 << 10;
constexpr int kStreamsOfAConnection = 64;
// Of researchers' calls, and of enrolment: sites' calls hold none.
constexpr int kMostThreads = 200;
constexpr int kWorkers = 8;

constexpr std::size_t kPiecesKept = 32;  // 8 MiB of the models being sent

// Files that are no connections: the ledger, models, logs, what gRPC needs for itself.
constexpr int kOwnFiles = 256;
constexpr int kMostConnections = 16384;

int Milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// Dead peers are noticed within 30 s by both sides: each pings after 20 s of silence and waits 10 s
// for the answer (common/identity says the same of the clients).
void KeepAlive(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
}

void Configure(grpc::ServerBuilder& builder, const ServiceLimits& limits) {
  builder.SetMaxReceiveMessageSize(kLargestMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kLargestHeaders);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsOfAConnection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(limits.handshake));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.idle));
  KeepAlive(builder);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256 << 10);
  // What a connection may hold of what nobody has read yet. Were it left to grow with the speed of
  // the network, a few fast sites would fill the quota, and gRPC then breaks calls at random.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  // A connection that is silent holds the first of these, one that is busy up to the second.
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kFirstReadBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadBytes);
  grpc::ResourceQuota quota("consilium-coordinator");
  quota.Resize(kBufferBytes).SetMaxThreads(kMostThreads);
  builder.SetResourceQuota(quota);
}

int MostConnections(const ServiceLimits& limits) {
  const int files = RaiseFileLimit();
  const int room = std::max(files / 2, files - kOwnFiles);
  return std::min(limits.connections > 0 ? limits.connections : kMostConnections, room);
}

}  // namespace

struct Service::Impl {
  Impl(const Parts& p, const ServiceLimits& limits)
      : parts(p),
        rosters(p.ledger, p.authority.root_key()),
        callers(p.ledger, rosters, p.clock),
        calls(limits),
        membership(MakeMembershipService(
            {p.ledger, rosters, p.authority, callers, p.clock, parts.version})),
        sites(MakeSiteService({parts, callers, pieces, workers, calls})),
        research(MakeResearchService({parts, callers, pieces, workers, calls})) {}
  const Parts parts;
  RosterInForce rosters;
  CallerTable callers;
  RecentPieces pieces{kPiecesKept};
  OpenCalls calls;
  ServiceWorkers workers{kWorkers};  // goes before what its work uses
  std::unique_ptr<grpc::Service> membership, sites, research;
  std::unique_ptr<ServerTls> tls;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> door;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<ServiceListener> listener;
};

absl::StatusOr<std::unique_ptr<Service>> Service::Start(const Parts& parts,
                                                        const std::string& address,
                                                        const ServiceLimits& limits) {
  auto impl = std::make_unique<Impl>(parts, limits);
  // Debian's Abseil looks for deadlocks at every lock; gRPC takes a great many.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ASSIGN_OR_RETURN(impl->listener, ServiceListener::Open(address, MostConnections(limits)));
  grpc::ServerBuilder builder;
  Configure(builder, limits);
  ASSIGN_OR_RETURN(impl->tls, ServerTls::Create(parts.authority));
  const std::shared_ptr<grpc::ServerCredentials> credentials = impl->tls->Credentials();
  credentials->SetAuthMetadataProcessor(wire::ServerVersionCheck(parts.version));
  impl->door = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  builder.experimental().SetInterceptorCreators(wire::ServerVersions(parts.version));
  for (const auto* service : {&impl->membership, &impl->sites, &impl->research}) {
    builder.RegisterService(service->get());
  }
  impl->server = builder.BuildAndStart();
  if (!impl->server) return absl::InternalError("gRPC does not start");
  impl->listener->Start([door = impl->door.get()](int listener, int connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = listener;
    parameters.fd = connection;
    door->HandleNewConnection(&parameters);
  });
  return std::unique_ptr<Service>(new Service(std::move(impl)));
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() { Stop(); }

int Service::port() const { return impl_->listener->port(); }

Service::Load Service::load() const { return {impl_->calls.size()}; }

void Service::Stop() {
  impl_->listener->Stop();
  impl_->parts.conductor.Stop();  // closes the queues and watches that calls wait on
  impl_->server->Shutdown(std::chrono::system_clock::now());
  impl_->server->Wait();
  impl_->calls.WaitUntilNone();
}

}  // namespace consilium::coordinator
