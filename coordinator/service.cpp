#include "coordinator/service.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "common/wire/raw_chunk.h"
#include "coordinator/caller.h"
#include "coordinator/log_pieces.h"
#include "coordinator/membership_calls.h"
#include "coordinator/recent_pieces.h"
#include "coordinator/server_tls.h"

namespace consilium::coordinator {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr int kChunksBetweenChecks = 16;  // 4 MiB
constexpr int kLargestMessage = 1 << 20;
constexpr int kLargestHeaders = 16 << 10;
constexpr std::size_t kBufferBytes = 40u << 20;
constexpr int kWindowBytes = 512 << 10;
constexpr int kReadBytes = 256 << 10;
constexpr int kMostThreads = 600;

constexpr std::size_t kPiecesKept = 32;  // 8 MiB of the models being sent

using ModelStream = grpc::ServerSplitStreamer<v1::DownloadRequest, grpc::ByteBuffer>;

// What the calls work with.
struct Desk {
  const Service::Parts& parts;
  CallerTable& callers;
  RecentPieces& pieces;
};

// Sends a model from an offset on; the file is read piece by piece.
absl::Status SendModel(const Desk& desk, const Member& member, const v1::DownloadRequest& request,
                       ModelStream& stream) {
  ASSIGN_OR_RETURN(const ModelId model, wire::DigestFromProto(request.model(), "model"));
  ASSIGN_OR_RETURN(const File file, desk.parts.models.OpenForReading(model));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  if (request.offset() > size) {
    return absl::OutOfRangeError(
        StrCat("the offset ", request.offset(), " is beyond the model's ", size, " bytes"));
  }
  v1::ModelChunk fields;
  fields.set_total_size(size);
  int chunks = 0;
  for (std::uint64_t at = request.offset(); at < size;) {
    if (++chunks % kChunksBetweenChecks == 0) RETURN_IF_ERROR(desk.callers.StillMember(member));
    // To the next multiple, so that pieces are shared also with calls that go on from anywhere.
    const std::size_t bytes = std::min<std::uint64_t>(kChunkBytes - at % kChunkBytes, size - at);
    ASSIGN_OR_RETURN(const grpc::Slice piece, desk.pieces.Read(model, file, at, bytes));
    at += bytes;
    if (!stream.Write(wire::RawChunk(fields, piece), grpc::WriteOptions())) {
      return absl::CancelledError("the receiver went away");
    }
    fields.clear_total_size();
  }
  return absl::OkStatus();
}

using Roles = std::set<Role>;
const Roles kSites = {Role::kSite}, kResearchers = {Role::kResearcher},
            kReaders = {Role::kResearcher, Role::kAuditor};

absl::Status SendModel(const Desk& desk, grpc::ServerContext& context, const Roles& roles,
                       ModelStream& stream) {
  ASSIGN_OR_RETURN(const Member member, desk.callers.Identify(context, roles));
  v1::DownloadRequest request;
  if (!stream.Read(&request)) return absl::CancelledError("the receiver went away");
  return SendModel(desk, member, request, stream);
}

// Serves a service's DownloadModel with messages that protobuf need not copy (wire/raw_chunk.h).
grpc::internal::MethodHandler* ModelSender(const Desk& desk, const Roles& roles) {
  return new grpc::internal::SplitServerStreamingHandler<v1::DownloadRequest, grpc::ByteBuffer>(
      [desk, &roles](grpc::ServerContext* context, ModelStream* stream) {
        return wire::ToGrpc(SendModel(desk, *context, roles, *stream));
      });
}

int IndexOfDownloadModel(const char* service) {
  return google::protobuf::DescriptorPool::generated_pool()
      ->FindServiceByName(service)
      ->FindMethodByName("DownloadModel")
      ->index();
}

absl::Status CheckProtocol(int theirs, std::string_view who) {
  if (theirs == kProtocolVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(who, " speaks protocol version ", theirs, ", this coordinator (", kVersion,
             ") version ", kProtocolVersion, "; upgrade ",
             theirs < kProtocolVersion ? who : std::string_view("the coordinator")));
}

class SiteCalls final : public v1::SiteService::Service {
 public:
  explicit SiteCalls(const Desk& desk) : parts_(desk.parts), callers_(desk.callers) {
    MarkMethodStreamed(IndexOfDownloadModel("consilium.v1.SiteService"), ModelSender(desk, kSites));
  }

  grpc::Status Attend(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::ToSite, v1::FromSite>* stream) override {
    return wire::ToGrpc(TryAttend(*context, *stream));
  }

  grpc::Status Upload(grpc::ServerContext* context, grpc::ServerReader<v1::UploadChunk>* reader,
                      v1::UploadReceipt* receipt) override {
    return wire::ToGrpc(TryUpload(*context, *reader, receipt));
  }

 private:
  absl::Status TryAttend(grpc::ServerContext& context,
                         grpc::ServerReaderWriter<v1::ToSite, v1::FromSite>& stream) {
    ASSIGN_OR_RETURN(const Member member, callers_.Identify(context, kSites));
    v1::FromSite proto;
    if (!stream.Read(&proto)) return absl::CancelledError("the site went away");
    ASSIGN_OR_RETURN(const wire::FromSite first, wire::FromProto(proto));
    const auto* hello = std::get_if<wire::Hello>(&first);
    if (hello == nullptr) return absl::InvalidArgumentError("the first message must be Hello");
    RETURN_IF_ERROR(CheckProtocol(hello->protocol_version, "the site agent"));
    ASSIGN_OR_RETURN(const std::string federation,
                     parts_.ledger.With([](Ledger& l) { return l.FederationName(); }));
    const SiteId site(member.name);
    v1::ToSite welcome;
    wire::ToProto(wire::Welcome{kVersion, kProtocolVersion, federation, site,
                                parts_.authority.sealing_key().public_key},
                  &welcome);
    if (!stream.Write(welcome)) return absl::CancelledError("the site went away");
    return Converse(context, stream, member, site);
  }

  // Sends what is queued for the site from a thread of its own, and takes in what it says.
  absl::Status Converse(grpc::ServerContext& context,
                        grpc::ServerReaderWriter<v1::ToSite, v1::FromSite>& stream,
                        const Member& member, const SiteId& site) {
    const std::shared_ptr<SiteQueue> queue = parts_.conductor.Connect(site, member.tls_key);
    Log(LogLevel::kInfo, "site_attends", {{"site", site.value}});
    std::thread sending([&] {
      v1::ToSite proto;
      while (const std::optional<wire::ToSite> message = queue->Next()) {
        wire::ToProto(*message, &proto);
        if (!stream.Write(proto)) break;
      }
      context.TryCancel();  // ends the reading below
    });
    absl::Status status;
    for (v1::FromSite proto; status.ok() && stream.Read(&proto);) {
      status = callers_.StillMember(member);
      absl::StatusOr<wire::FromSite> message = wire::FromProto(proto);
      if (status.ok()) status = message.status();
      if (status.ok()) parts_.conductor.Receive(site, *message);
    }
    parts_.conductor.Disconnect(site, queue);
    sending.join();
    Log(LogLevel::kInfo, "site_left", {{"site", site.value}});
    return status;
  }

  absl::Status TryUpload(grpc::ServerContext& context, grpc::ServerReader<v1::UploadChunk>& reader,
                         v1::UploadReceipt* receipt) {
    ASSIGN_OR_RETURN(const Member member, callers_.Identify(context, kSites));
    v1::UploadChunk chunk;
    if (!reader.Read(&chunk) || !chunk.has_header()) {
      return absl::InvalidArgumentError("the first message of an upload must carry its header");
    }
    ASSIGN_OR_RETURN(const wire::UploadHeader header, wire::FromProto(chunk.header()));
    ASSIGN_OR_RETURN(SiteUpload upload, parts_.conductor.BeginUpload(SiteId(member.name), header));
    receipt->set_segments(upload.segments());
    if (upload.next_segment() == upload.segments()) return absl::OkStatus();
    int chunks = 0;
    do {
      if (chunk.segment().empty()) continue;
      if (++chunks % kChunksBetweenChecks == 0) RETURN_IF_ERROR(callers_.StillMember(member));
      ASSIGN_OR_RETURN(const bool whole, upload.Add(AsBytes(chunk.segment())));
      if (whole) return absl::OkStatus();
    } while (reader.Read(&chunk));
    return absl::AbortedError(
        StrCat("the upload broke off; it goes on from segment ", upload.next_segment()));
  }

  const coordinator::Service::Parts& parts_;
  CallerTable& callers_;
};

class ResearchCalls final : public v1::ResearchService::Service {
 public:
  explicit ResearchCalls(const Desk& desk) : parts_(desk.parts), callers_(desk.callers) {
    MarkMethodStreamed(IndexOfDownloadModel("consilium.v1.ResearchService"),
                       ModelSender(desk, kReaders));
  }

  grpc::Status SubmitPlan(grpc::ServerContext* context, const v1::SubmitPlanRequest* request,
                          v1::SubmitPlanReply* reply) override {
    return As(kResearchers, *context, [&](const Member& member) -> absl::Status {
      PlanSubmission submission{.toml = request->plan_toml()};
      RETURN_IF_ERROR(Take(request->nonce(), "nonce", submission.nonce));
      RETURN_IF_ERROR(Take(request->signature(), "signature", submission.signature));
      ASSIGN_OR_RETURN(const RunId run, parts_.conductor.Submit(submission, member.name));
      reply->set_run(run.value);
      return absl::OkStatus();
    });
  }

  grpc::Status StopRun(grpc::ServerContext* context, const v1::StopRunRequest* request,
                       v1::StopRunReply*) override {
    return As(kResearchers, *context, [&](const Member& member) {
      return parts_.conductor.StopRun(RunId(request->run()), member.name);
    });
  }

  grpc::Status WatchRun(grpc::ServerContext* context, const v1::WatchRunRequest* request,
                        grpc::ServerWriter<v1::RunEvent>* writer) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      ASSIGN_OR_RETURN(const std::shared_ptr<RunWatch> watch,
                       parts_.conductor.Watch(RunId(request->run()), request->after()));
      std::vector<wire::RunEvent> events;
      v1::RunEvent proto;
      // The pause bounds how long a call outlives its caller or a revocation; events come at once.
      while (watch->Next(std::chrono::milliseconds(500), &events)) {
        RETURN_IF_ERROR(callers_.StillMember(member));
        if (context->IsCancelled()) return absl::CancelledError("the watcher went away");
        for (const wire::RunEvent& event : events) {
          wire::ToProto(event, &proto);
          if (!writer->Write(proto)) return absl::CancelledError("the watcher went away");
        }
      }
      return absl::OkStatus();
    });
  }

  grpc::Status ListRuns(grpc::ServerContext* context, const v1::ListRunsRequest*,
                        v1::JsonReply* reply) override {
    return AnswerJson(*context, reply, [](Ledger& ledger) { return ledger.RunsJson(); });
  }

  grpc::Status ShowRun(grpc::ServerContext* context, const v1::ShowRunRequest* request,
                       v1::JsonReply* reply) override {
    return AnswerJson(*context, reply,
                      [&](Ledger& ledger) { return ledger.RunJson(RunId(request->run())); });
  }

  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest*,
                          v1::JsonReply* reply) override {
    return AnswerJson(*context, reply, [](Ledger& ledger) { return ledger.ModelsJson(); });
  }

  grpc::Status FetchRecord(grpc::ServerContext* context, const v1::FetchRecordRequest* request,
                           v1::FetchRecordReply* reply) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      ASSIGN_OR_RETURN(const ModelEntry model, parts_.ledger.With([&](Ledger& ledger) {
        return ledger.FindModel(request->model());
      }));
      if (model.record_json.empty()) {
        return absl::FailedPreconditionError(StrCat("model ", model.id.Short(), " is ",
                                                    Name(model.stage),
                                                    "; only published models have a record"));
      }
      reply->set_model(wire::ToProtoBytes(model.id));
      reply->set_record_json(model.record_json);
      return parts_.ledger.With([&](Ledger& ledger) {
        return ledger.AddLogEntry(parts_.clock.Now(), member.name, "fetch", model.id.Hex());
      });
    });
  }

  grpc::Status FetchLog(grpc::ServerContext* context, const v1::FetchLogRequest* request,
                        grpc::ServerWriter<v1::JsonReply>* writer) override {
    return As(kReaders, *context, [&](const Member& member) -> absl::Status {
      v1::JsonReply reply;
      LogPieces pieces(request->from());
      while (!pieces.done()) {
        RETURN_IF_ERROR(callers_.StillMember(member));
        ASSIGN_OR_RETURN(std::string piece,
                         parts_.ledger.With([&](Ledger& ledger) { return pieces.Next(ledger); }));
        reply.set_json(std::move(piece));
        if (!writer->Write(reply)) return absl::CancelledError("the reader went away");
      }
      return absl::OkStatus();
    });
  }

 private:
  template <class Call>
  grpc::Status As(const Roles& roles, grpc::ServerContext& context, const Call& call) {
    const auto member = callers_.Identify(context, roles);
    return wire::ToGrpc(member.ok() ? call(*member) : member.status());
  }

  // The bytes of a field that has one length.
  template <std::size_t N>
  static absl::Status Take(const std::string& bytes, std::string_view field,
                           std::array<std::uint8_t, N>& out) {
    if (bytes.size() != N) {
      return absl::InvalidArgumentError(StrCat("the plan's ", field, " has ", bytes.size(),
                                               " bytes, not ", N, ": upgrade the program"));
    }
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return absl::OkStatus();
  }

  template <class Query>
  grpc::Status AnswerJson(grpc::ServerContext& context, v1::JsonReply* reply, const Query& query) {
    return As(kReaders, context, [&](const Member&) -> absl::Status {
      ASSIGN_OR_RETURN(std::string json, parts_.ledger.With(query));
      reply->set_json(std::move(json));
      return absl::OkStatus();
    });
  }

  const coordinator::Service::Parts& parts_;
  CallerTable& callers_;
};

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kLargestMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kLargestHeaders);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is an error
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256 << 10);
  // What a connection may hold of what nobody has read yet. Were it left to grow with the speed of
  // the network, a few fast sites would fill the quota, and gRPC then breaks calls at random.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadBytes);
  grpc::ResourceQuota quota("consilium-coordinator");
  quota.Resize(kBufferBytes).SetMaxThreads(kMostThreads);
  builder.SetResourceQuota(quota);
}

}  // namespace

struct Service::Impl {
  explicit Impl(const Parts& p)
      : parts(p),
        rosters(p.ledger, p.authority.root_key()),
        callers(p.ledger, rosters, p.clock),
        membership(MakeMembershipService({p.ledger, rosters, p.authority, callers, p.clock})),
        sites({parts, callers, pieces}),
        research({parts, callers, pieces}) {}
  const Parts parts;
  RosterInForce rosters;
  CallerTable callers;
  RecentPieces pieces{kPiecesKept};
  std::unique_ptr<grpc::Service> membership;
  SiteCalls sites;
  ResearchCalls research;
  std::unique_ptr<ServerTls> tls;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

absl::StatusOr<std::unique_ptr<Service>> Service::Start(const Parts& parts,
                                                        const std::string& address) {
  auto impl = std::make_unique<Impl>(parts);
  // Debian's Abseil looks for deadlocks at every lock; gRPC takes a great many.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ServerBuilder builder;
  Configure(builder);
  ASSIGN_OR_RETURN(impl->tls, ServerTls::Create(parts.authority));
  builder.AddListeningPort(address, impl->tls->Credentials(), &impl->port);
  builder.RegisterService(impl->membership.get());
  builder.RegisterService(&impl->sites);
  builder.RegisterService(&impl->research);
  impl->server = builder.BuildAndStart();
  if (!impl->server || impl->port == 0) {
    return absl::UnavailableError(
        StrCat("cannot listen on ", address,
               ": the port is in use or the address is not of this "
               "machine; stop the other program (`ss -ltnp` names it) or give --listen another"));
  }
  return std::unique_ptr<Service>(new Service(std::move(impl)));
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() { Stop(); }

int Service::port() const { return impl_->port; }

void Service::Stop() {
  impl_->parts.conductor.Stop();  // closes the queues and watches that calls wait on
  impl_->server->Shutdown(std::chrono::system_clock::now());
  impl_->server->Wait();
}

}  // namespace consilium::coordinator
