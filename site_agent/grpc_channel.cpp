#include "site_agent/grpc_channel.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/envelope.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "common/wire/raw_chunk.h"
#include "common/wire/refusal.h"

namespace consilium::site_agent {
namespace {

// How long a call waits for a connection that failed before and is tried again.
constexpr std::chrono::milliseconds kReconnectWithin(2000);

// gRPC 1.51 cannot switch TLS 1.2 off; these are the suites that have forward secrecy and an AEAD.
void RestrictCipherSuites() {
  setenv("GRPC_SSL_CIPHER_SUITES",
         "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
         "ECDHE-ECDSA-CHACHA20-POLY1305",
         /*overwrite=*/0);
}

// What a broken call means to the site.
absl::Status StatusOf(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  const std::string& message = status.error_message();
  const auto says = [&](const char* text) { return message.find(text) != std::string::npos; };
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (says("CERTIFICATE_VERIFY_FAILED") || says("certificate verify failed") ||
          says("Peer name") || says("Hostname Verification")) {
        return absl::UnauthenticatedError(
            StrCat("whoever answers at ", address,
                   " does not hold this federation's certificate; "
                   "check the address with the coordinator's operator, or enrol again (",
                   message, ")"));
      }
      // From the coordinator itself: it waits for the federation's operator to admit this site.
      if (wire::RefusalNamed(status.error_details()) != wire::Refusal::kNone) {
        return wire::FromGrpc(status);
      }
      return absl::UnavailableError(
          StrCat("the coordinator at ", address, " cannot be reached (", message, ")"));
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
      // A connection cut in the middle of a stream.
      if (says("RST_STREAM") || says("Stream removed") || says("GOAWAY")) {
        return absl::UnavailableError(StrCat("the connection to ", address, " broke"));
      }
      return wire::FromGrpc(status);
    case grpc::StatusCode::CANCELLED:  // by the other side: it shuts down, or has a newer
                                       // connection
      return absl::UnavailableError(StrCat("the coordinator at ", address, " ended the call"));
    case grpc::StatusCode::DEADLINE_EXCEEDED:  // the coordinator waited for us in vain
      return absl::UnavailableError(message);
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::FailedPreconditionError(
          StrCat("the server at ", address, " does not speak this protocol (", message, ")"));
    default:
      return wire::FromGrpc(status);
  }
}

absl::Status Stopped() { return absl::CancelledError("stopped"); }

// A status of kOutOfRange names the segment in its message: its last number.
std::optional<std::uint32_t> SegmentNamedIn(const std::string& message) {
  const std::size_t last = message.find_last_of("0123456789");
  if (last == std::string::npos) return std::nullopt;
  const std::size_t before = message.find_last_not_of("0123456789", last);
  const std::size_t first = before == std::string::npos ? 0 : before + 1;
  if (last - first >= 10) return std::nullopt;
  const unsigned long long value = std::stoull(message.substr(first, last - first + 1));
  if (value > crypto::kMaxSegments) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

using RawWriter = grpc::ClientWriter<grpc::ByteBuffer>;
using AttendStream = grpc::ClientReaderWriter<v1::FromSite, v1::ToSite>;

class GrpcSession final : public Session {
 public:
  GrpcSession(std::shared_ptr<void> link, v1::SiteService::Stub& stub, std::string address,
              std::stop_token stop)
      : link_(std::move(link)),
        address_(std::move(address)),
        stream_(stub.Attend(&context_)),
        on_stop_(std::move(stop), [this] { Close(); }) {}

  ~GrpcSession() override {
    Close();
    Finish().IgnoreError();
  }

  absl::StatusOr<wire::ToSite> Next() override {
    v1::ToSite proto;
    if (stream_->Read(&proto)) return wire::FromProto(proto);
    const absl::Status status = Finish();
    if (closed_) return Stopped();
    if (status.ok()) return absl::UnavailableError("the coordinator ended the connection");
    return status;
  }

  absl::Status Send(const wire::FromSite& message) override {
    v1::FromSite proto;
    wire::ToProto(message, &proto);
    const std::lock_guard lock(write_mutex_);
    // Why the stream broke is what Next() returns.
    if (!finished_ && stream_->Write(proto)) return absl::OkStatus();
    return absl::UnavailableError("the connection to the coordinator broke");
  }

  void Close() override {
    closed_ = true;
    context_.TryCancel();
  }

 private:
  absl::Status Finish() {
    const std::lock_guard lock(write_mutex_);
    if (!std::exchange(finished_, true)) status_ = StatusOf(stream_->Finish(), address_);
    return status_;
  }

  const std::shared_ptr<void> link_;  // keeps the channel and the stub alive
  const std::string address_;
  grpc::ClientContext context_;
  std::unique_ptr<AttendStream> stream_;
  std::atomic<bool> closed_ = false;
  std::mutex write_mutex_;
  bool finished_ = false;
  absl::Status status_;
  std::stop_callback<std::function<void()>> on_stop_;  // last: the first to go
};

}  // namespace

struct GrpcChannel::Link {
  explicit Link(std::shared_ptr<grpc::Channel> made)
      : channel(std::move(made)),
        upload("/consilium.v1.SiteService/Upload", grpc::internal::RpcMethod::CLIENT_STREAMING,
               channel),
        stub(channel) {}
  const std::shared_ptr<grpc::Channel> channel;
  const grpc::internal::RpcMethod upload;  // called with messages that are not copied
  v1::SiteService::Stub stub;
};

GrpcChannel::GrpcChannel(const identity::Identity& identity) : address_(identity.coordinator) {
  RestrictCipherSuites();
  Use(identity);
}

void GrpcChannel::Use(const identity::Identity& identity) {
  auto link = std::make_shared<Link>(identity::OpenChannel(identity));
  const std::lock_guard lock(mutex_);
  link_.swap(link);
}

std::shared_ptr<GrpcChannel::Link> GrpcChannel::Present() const {
  const std::lock_guard lock(mutex_);
  return link_;
}

GrpcChannel::~GrpcChannel() = default;

void GrpcChannel::Reconnect(const Link& link, const std::stop_token& stop) {
  if (link.channel->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE) return;
  grpc::experimental::ChannelResetConnectionBackoff(link.channel.get());
  constexpr std::chrono::milliseconds kSlice(100);
  for (auto left = kReconnectWithin; !stop.stop_requested() && left.count() > 0; left -= kSlice) {
    // By gRPC's own clock, which setting the system's does not move.
    const gpr_timespec slice = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                            gpr_time_from_millis(kSlice.count(), GPR_TIMESPAN));
    if (link.channel->WaitForStateChange(GRPC_CHANNEL_TRANSIENT_FAILURE, slice)) return;
  }
}

absl::StatusOr<std::unique_ptr<Session>> GrpcChannel::Attend(std::stop_token stop) {
  if (stop.stop_requested()) return Stopped();
  const std::shared_ptr<Link> link = Present();
  Reconnect(*link, stop);
  return std::make_unique<GrpcSession>(link, link->stub, address_, std::move(stop));
}

absl::Status GrpcChannel::DownloadModel(const ModelId& model,
                                        std::span<const wire::ByteRange> ranges,
                                        std::uint64_t offset, const ModelSink& sink,
                                        std::stop_token stop) {
  const std::shared_ptr<Link> link = Present();
  Reconnect(*link, stop);
  grpc::ClientContext context;
  const std::stop_callback on_stop(stop, [&context] { context.TryCancel(); });
  v1::DownloadRequest request;
  request.set_model(wire::ToProtoBytes(model));
  request.set_offset(offset);
  for (const wire::ByteRange& range : ranges) {
    v1::ByteRange& wanted = *request.add_ranges();
    wanted.set_begin(range.begin);
    wanted.set_size(range.size);
  }
  const auto reader = link->stub.DownloadModel(&context, request);
  v1::ModelChunk chunk;
  std::uint64_t total_size = 0;
  absl::Status kept;
  while (kept.ok() && reader->Read(&chunk)) {
    if (total_size == 0) total_size = chunk.total_size();
    kept = sink(AsBytes(chunk.data()), total_size);
  }
  if (!kept.ok()) context.TryCancel();
  const grpc::Status finished = reader->Finish();
  if (!kept.ok()) return kept;
  if (stop.stop_requested()) return Stopped();
  return StatusOf(finished, address_);
}

absl::StatusOr<UploadOutcome> GrpcChannel::Upload(const OutboxFile& update,
                                                  std::uint32_t first_segment,
                                                  std::stop_token stop) {
  const std::uint32_t segments = update.SegmentCount();
  if (first_segment > segments) {
    return absl::OutOfRangeError(
        StrCat("the coordinator asks for segment ", first_segment, " of ", segments));
  }
  const std::shared_ptr<Link> link = Present();
  Reconnect(*link, stop);
  grpc::ClientContext context;
  const std::stop_callback on_stop(stop, [&context] { context.TryCancel(); });
  v1::UploadReceipt receipt;
  const std::unique_ptr<RawWriter> writer(
      grpc::internal::ClientWriterFactory<grpc::ByteBuffer>::Create(
          link->channel.get(), link->upload, &context, &receipt));
  wire::UploadHeader header = update.header();
  header.first_segment = first_segment;
  v1::UploadChunk beginning;
  wire::ToProto(header, beginning.mutable_header());
  absl::Status read;
  bool open = writer->Write(wire::RawChunk(beginning, grpc::Slice()));
  for (std::uint32_t index = first_segment; open && index < segments; ++index) {
    const auto [begin, end] = update.SegmentAt(index);
    const grpc::Slice segment(end - begin);
    read = update.file().ReadAt(
        begin, {const_cast<std::uint8_t*>(segment.begin()), segment.size()});  // nobody else's yet
    if (!read.ok()) {
      context.TryCancel();
      break;
    }
    open = writer->Write(wire::RawChunk(v1::UploadChunk(), segment));
  }
  if (open && read.ok()) writer->WritesDone();
  const grpc::Status finished = writer->Finish();
  if (!read.ok()) return read;
  if (stop.stop_requested()) return Stopped();
  if (finished.ok()) return UploadOutcome{};
  if (finished.error_code() == grpc::StatusCode::OUT_OF_RANGE) {
    const auto wanted = SegmentNamedIn(finished.error_message());
    if (wanted && *wanted != first_segment) return UploadOutcome{wanted};
  }
  return StatusOf(finished, address_);
}

}  // namespace consilium::site_agent
